"""The kit's contract on one container with all services; and what a user of testcontainers expects of it."""

from __future__ import annotations

import ftplib
import imaplib
import io
import json
import smtplib
import socket
from collections.abc import Iterator

import docker
import docker.errors
import pytest
from testcontainers.core.config import ConnectionMode
from testcontainers.core.config import testcontainers_config as configuration
from testcontainers.core.container import DockerContainer
from testcontainers.core.labels import SESSION_ID
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy

from portyard.testing import Testbed, container
from portyard.testing.container import PortyardContainer
from portyard.testing.witness import Witness
from tests.support.containers import IMAGE
from tests.support.kit import KitContract, deliver, get

LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def no_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "ryuk_disabled", True)


def ours() -> set[str]:
    """The containers of this test run."""
    client = docker.from_env()
    try:
        label = f"org.testcontainers.session-id={SESSION_ID}"
        return {str(each.id) for each in client.containers.list(all=True, filters={"label": label})}
    finally:
        client.close()


class TestContainer(KitContract):
    @pytest.fixture(scope="class")
    @classmethod
    def testbed(cls, image: None) -> Iterator[Testbed]:
        with Testbed.container(IMAGE) as running:
            yield running


class TestPortyardContainer:
    @pytest.fixture(scope="class")
    @classmethod
    def running(cls, image: None) -> Iterator[PortyardContainer]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(configuration, "ryuk_disabled", True)
            made = (
                PortyardContainer(IMAGE, passive_ports=2, leased_ports=4)
                .with_seeded_account("mira@portyard.test", "m-secret")
                .with_seeded_file("mira", "in/report.txt", b"a report")
                .with_seeded_rule("smtp.rcpt", {"refuse": "451 4.7.1 later"}, times=1)
                .with_setting("limits.message", 2048)
                .with_seed(7)
            )
            with made as started:
                yield started

    def test_every_listener_has_its_method(self, running: PortyardContainer) -> None:
        for endpoint in running.get_testbed().endpoints:
            name = endpoint["port"].replace("-", "_")
            assert getattr(running, f"get_exposed_{name}_port")() == endpoint["host_number"]
        assert running.get_exposed_port(25) == running.get_exposed_smtp_port()

    def test_what_was_sown_is_there(self, running: PortyardContainer) -> None:
        host = running.get_container_host_ip()
        context = running.get_ssl_context()
        with imaplib.IMAP4_SSL(host, running.get_exposed_imaps_port(), ssl_context=context) as client:
            client.login("mira", "m-secret")
        with ftplib.FTP() as client:
            client.connect(host, running.get_exposed_ftp_port(), LIMIT_S)
            client.login("mira", "m-secret")
            kept = io.BytesIO()
            client.retrbinary("RETR in/report.txt", kept.write)
        assert kept.getvalue() == b"a report"
        with smtplib.SMTP(host, running.get_exposed_smtp_port(), timeout=LIMIT_S) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "2048"
            client.mail("a@harbour.test")
            assert client.rcpt("mira@portyard.test")[0] == 451
            assert client.rcpt("mira@portyard.test")[0] == 250

    def test_settings_are_those_of_an_embedded_one(self, image: None) -> None:
        accounts = [{"address": "noor@portyard.test", "password": "n, = secret"}]
        with Testbed.container(IMAGE, accounts=accounts, log={"rooms": {"imap": "debug"}}, magic=True) as testbed:
            (account,) = testbed.control.get("sandboxes/default/accounts")
            assert account["address"] == "noor@portyard.test"
            imap = testbed.default().imap
            with imaplib.IMAP4_SSL(imap.host, imap.tls_port, ssl_context=testbed.ssl_context()) as client:
                client.login("noor", "n, = secret")

    def test_readiness_is_no_session(self, image: None) -> None:
        with PortyardContainer(IMAGE, passive_ports=0, leased_ports=0) as running:
            assert running.get_testbed().default().sessions() == []

    def test_it_is_hardened(self, running: PortyardContainer) -> None:
        described = running.get_wrapped_container().attrs
        assert described["Config"]["User"] == "10000:10000"
        assert described["HostConfig"]["ReadonlyRootfs"]
        assert described["HostConfig"]["CapDrop"] == ["ALL"]
        assert described["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
        bindings = described["HostConfig"]["PortBindings"].values()
        assert {each["HostIp"] for binding in bindings for each in binding} == {running.get_container_host_ip()}
        assert running.exec("touch /opt/x").exit_code != 0

    def test_it_takes_kwargs_beside_its_own(self, image: None) -> None:
        with PortyardContainer(IMAGE, passive_ports=1, leased_ports=0).with_kwargs(mem_limit="300m") as running:
            described = running.get_wrapped_container().attrs["HostConfig"]
            assert described["Memory"] == 300 << 20
            assert described["ReadonlyRootfs"]


class TestNetwork:
    def test_an_alias_is_reached_on_standard_ports_and_named_by_the_certificate(self, image: None) -> None:
        with (
            Network() as network,
            PortyardContainer(IMAGE, passive_ports=2, leased_ports=2)
            .with_network(network)
            .with_network_aliases("harbour") as running,
            PortyardContainer(IMAGE, passive_ports=0, leased_ports=0).with_network(network) as beside,
        ):
            ca = running.get_ca_pem()
            script = f"""
import ftplib, imaplib, io, ssl, urllib.request
context = ssl.create_default_context(cadata={ca!r})
client = imaplib.IMAP4_SSL("harbour", 993, ssl_context=context)
client.login("alice", "alice-secret")
files = ftplib.FTP("harbour")
files.login("alice", "alice-secret")
files.storbinary("STOR x.txt", io.BytesIO(b"x"))
print(urllib.request.urlopen("http://harbour:8025/api/v1/health").status)
"""
            outcome = beside.exec(["python3", "-c", script])
            assert outcome.exit_code == 0, outcome.output
            assert outcome.output.strip() == b"200"

    def test_a_test_inside_the_network_uses_addresses_and_standard_ports(
        self, image: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(configuration, "connection_mode_override", ConnectionMode.bridge_ip)
        with Testbed.container(IMAGE) as testbed, testbed.own_sandbox() as sandbox:
            assert (sandbox.smtp.port, sandbox.imap.tls_port, sandbox.websocket.port) == (25, 993, 81)
            assert sandbox.smtp.host != "127.0.0.1"
            deliver(sandbox, "straight")
            sandbox.mail.wait(subject="straight", timeout=LIMIT_S)
            sandbox.http.hang_up(on="connect", times=1)
            with pytest.raises(OSError, match=r"closed|reset"):
                get(sandbox.http.url("/get"))
            assert b"headers" in get(sandbox.http.url("/get"))


class TestFailures:
    def test_what_was_done_in_it_is_told_where_the_failure_ends_it(
        self, image: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = Witness()
        monkeypatch.setattr(Witness, "current", kept)

        def fails() -> None:
            with PortyardContainer(IMAGE, passive_ports=0, leased_ports=0) as running:
                deliver(running.get_testbed().default(), "straight")
                raise ValueError("the test's own")

        with pytest.raises(ValueError, match="the test's own"):
            fails()
        told = dict(kept.sections())
        assert "C: MAIL FROM:<shop@harbour.test>" in told["portyard transcript of default"]

    def test_a_container_that_ends_says_why_and_leaves_nothing(self, image: None) -> None:
        before = ours()
        with pytest.raises(RuntimeError, match=r"capture = 'some'"):
            PortyardContainer(IMAGE).with_setting("capture", "some").start()
        assert ours() == before

    def test_a_seed_that_cannot_be_sown_leaves_nothing(self, image: None) -> None:
        before = ours()
        with pytest.raises(Exception, match="rctp"):
            PortyardContainer(IMAGE).with_seeded_rule("smtp.rctp", {"refuse": "451 later"}).start()
        assert ours() == before

    def test_a_taken_port_makes_it_choose_others(self, image: None, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen: list[range] = []
        choose = container.free_block

        def unlucky(count: int, address: str) -> range:
            chosen.append(choose(count, address))
            if len(chosen) == 1:
                taken.bind((address, chosen[0][3]))
                taken.listen()
            return chosen[-1]

        monkeypatch.setattr(container, "free_block", unlucky)
        before = ours()
        with socket.socket() as taken, PortyardContainer(IMAGE, passive_ports=0, leased_ports=0) as running:
            assert len(chosen) == 2
            assert running.is_ready()
            assert len(ours() - before) == 1
        assert ours() == before

    def test_a_port_that_the_user_bound_stays(self, image: None) -> None:
        (number,) = container.free_block(1)
        made = PortyardContainer(IMAGE, passive_ports=0, leased_ports=0).with_bind_ports(25, number)
        with made as running:
            assert running.get_exposed_smtp_port() == number
            assert running.get_testbed().default().smtp.port == number

    def test_without_the_reapers_image_it_goes_on(
        self, image: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(configuration, "ryuk_disabled", False)
        monkeypatch.setattr(configuration, "ryuk_image", "localhost:1/nowhere/reaper:0")
        with PortyardContainer(IMAGE, passive_ports=0, leased_ports=0) as running:
            assert running.is_ready()
        assert "can't be had" in caplog.text

    def test_stopping_twice_is_fine(self, image: None) -> None:
        running = PortyardContainer(IMAGE, passive_ports=0, leased_ports=0)
        running.start()
        running.stop()
        running.stop()

    def test_one_that_has_died_is_taken_away_though_its_sandboxes_cannot_be(self, image: None) -> None:
        before = ours()
        kept = Witness()
        running = PortyardContainer(IMAGE, passive_ports=0, leased_ports=0).start()
        kept.attend(running.get_testbed())
        kept.leaves(running.get_testbed().sandbox())
        running.get_wrapped_container().kill()
        with pytest.raises(ConnectionError):
            running.stop()
        assert ours() == before


def test_the_image_by_itself_is_healthy_and_tells_the_hosts_ports(image: None) -> None:
    """As a CI's service, whose command can't be chosen."""
    with DockerContainer(IMAGE).waiting_for(HealthcheckWaitStrategy()) as running:
        outcome = running.exec(["portyard", "endpoints", "--json", "--url", "http://127.0.0.1:8025"])
        assert outcome.exit_code == 0, outcome.output
        told = {each["port"]: each["host_number"] for each in json.loads(outcome.output)}
        assert (told["smtp"], told["imaps"], told["ws"], told["console"]) == (3025, 3993, 3081, 8025)
