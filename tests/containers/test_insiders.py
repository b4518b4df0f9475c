"""The testbed's own hops between containers spend no rule, from the first word on."""

from __future__ import annotations

import smtplib

from portyard.testing import Testbed
from tests.support.containers import Containers

PATIENCE_S = 60.0


def test_a_hop_between_containers_spends_no_rule_before_its_first_word(yard: Containers) -> None:
    with Testbed.connect(f"http://{yard.host}:{yard.ports['console']}") as testbed, testbed.own_sandbox() as sandbox:
        mira = sandbox.account("mira", "m-secret")
        rules = [
            testbed.control.post(
                "sandboxes/default/rules", {"on": on, "where": {"port": port}, "then": {"hang_up": True}}
            )
            for on, port in (("smtp.connect", "smtp"), ("smtp.greeting", "lmtp"))
        ]
        try:
            with smtplib.SMTP(yard.host, yard.ports["submission"], timeout=PATIENCE_S) as client:
                client.login(mira.address, mira.password)
                client.sendmail(mira.address, [mira.address], "Subject: within\r\n\r\nAcross three containers.\r\n")
            assert sandbox.mail.wait(subject="within", timeout=PATIENCE_S).to == [mira.address]
            hits = [testbed.control.get(f"sandboxes/default/rules/{rule['id']}")["hits"] for rule in rules]
            assert hits == [0, 0]
        finally:
            for rule in rules:
                testbed.control.delete(f"sandboxes/default/rules/{rule['id']}")
