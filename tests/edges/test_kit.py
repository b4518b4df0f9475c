"""The kit as its users use it: fixtures, faults in words, waits on the server, a transcript when a test fails."""

from __future__ import annotations

import imaplib
import re
import smtplib
import subprocess
import sys

import pytest

from portyard.commons.settings import SettingError
from portyard.console import event_waits, waiting
from portyard.testing import ControlError, NothingCameError, Sandbox, Testbed
from portyard.testing.mail import CUT_SHORT

pytest_plugins = ["pytester"]
LIMIT_S = 30.0


def send(sandbox: Sandbox, subject: str, to: str = "someone") -> None:
    with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=20) as client:
        text = f"Subject: {subject}\r\n\r\nYour code is 418207, or go to https://harbour.test/confirm?t=1\r\n"
        client.sendmail("shop@harbour.test", [f"{to}@{sandbox.domain}"], text)


def test_fail_twice_then_succeed(sandbox: Sandbox) -> None:
    rule = sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="later"):
            send(sandbox, "hello")
    send(sandbox, "hello")
    message = sandbox.mail.wait(subject="hello", timeout=LIMIT_S)
    assert message.to == [f"someone@{sandbox.domain}"]
    assert rule.hits == 2


def test_another_kind_of_server_for_one_sandbox(sandbox: Sandbox, testbed: Testbed) -> None:
    """On listeners of its own, so that nobody else meets it."""
    rule = sandbox.imap.persona("dovecot", times=1)
    with imaplib.IMAP4(sandbox.imap.host, sandbox.imap.port, timeout=20) as client:
        assert client.welcome.endswith(b"Dovecot ready.")
    assert rule.hits == 1
    other = testbed.default().imap
    with imaplib.IMAP4(other.host, other.port, timeout=20) as client:
        assert b"Portyard" in client.welcome
    with pytest.raises(ControlError, match="did you mean dovecot"):
        sandbox.imap.persona("dovcot")


def test_codes_and_links_are_found(sandbox: Sandbox) -> None:
    send(sandbox, "your code")
    message = sandbox.mail.wait(subject="code", timeout=LIMIT_S)
    assert message.codes[0] == "418207"
    assert message.links == ["https://harbour.test/confirm?t=1"]
    assert "418207" in message.text


def test_what_did_not_come_is_told_with_the_near_misses(sandbox: Sandbox) -> None:
    send(sandbox, "something else")
    sandbox.mail.wait(subject="something else", timeout=LIMIT_S)
    with pytest.raises(NothingCameError, match=r"something else.*subject") as caught:
        sandbox.mail.wait(subject="invoice", timeout=0.2)
    assert caught.value.near_misses


def test_a_wait_that_had_no_time_to_look_through_all_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for subject in ("one", "two"):
        send(sandbox, subject)
        sandbox.mail.wait(subject=subject, timeout=LIMIT_S)
    sandbox.mail.none(subject="three", timeout=0)
    sandbox.events.none(text="three", timeout=0)
    for module in (event_waits, waiting):
        monkeypatch.setattr(module, "LOOK_BACK_S", 0.0)
    monkeypatch.setattr(event_waits, "NEWEST", 1)
    monkeypatch.setattr(waiting, "SLICE", 1)
    for what in (sandbox.mail, sandbox.events):
        named = {"subject" if what is sandbox.mail else "text": "three"}
        with pytest.raises(AssertionError, match=f"^{CUT_SHORT}$"):
            what.none(timeout=0, **named)
        with pytest.raises(NothingCameError, match=f"(?m)^  {CUT_SHORT}$") as caught:
            what.wait(timeout=0, **named)
        assert not caught.value.complete


def test_near_misses_of_events_say_what_was_said(sandbox: Sandbox) -> None:
    send(sandbox, "x")
    sandbox.mail.wait(subject="x", timeout=LIMIT_S)
    with pytest.raises(NothingCameError) as caught:
        sandbox.events.wait(room="smtp", kind="command", text="rcpt*nobody*", timeout=0.2)
    nearest = str(caught.value).splitlines()[1]
    assert re.search(r"room='smtp', kind='command', text='(?i:rcpt TO:<someone@.*)': text differs$", nearest)
    with pytest.raises(
        NothingCameError, match=r"room='smtp', kind='data', .*sender='shop@harbour.test'.*: kind differs"
    ):
        sandbox.events.wait(room="smtp", kind="transfer", timeout=0.2)


def test_an_event_tells_where_it_was_and_whose(sandbox: Sandbox) -> None:
    send(sandbox, "x")
    sandbox.mail.wait(subject="x", timeout=LIMIT_S)
    waited, listed = sandbox.events.wait(room="smtp", kind="command", timeout=LIMIT_S), sandbox.events.all(room="smtp")
    peers = {session["id"]: session["peer"] for session in sandbox.sessions(room="smtp")}
    for event in waited + listed:
        assert (event["sandbox"], event["peer"]) == (sandbox.name, peers[event["session"]])


def test_a_wait_without_a_bound_is_refused_by_name(sandbox: Sandbox) -> None:
    for wait in (sandbox.mail.wait, sandbox.mail.none, sandbox.events.wait, sandbox.events.none):
        with pytest.raises(ControlError, match="timeout is missing"):
            wait(timeout=None)  # type: ignore[operator]


def test_nothing_arrives(sandbox: Sandbox) -> None:
    sandbox.mail.none(timeout=0.1)
    send(sandbox, "oh")
    sandbox.mail.wait(subject="oh", timeout=LIMIT_S)
    with pytest.raises(AssertionError, match="it came"):
        sandbox.mail.none(subject="oh", timeout=0.1)


def test_two_sandboxes_never_meet(testbed: Testbed) -> None:
    with testbed.own_sandbox() as one, testbed.own_sandbox() as other:
        one.smtp.refuse("550 5.7.1 not here", on="rcpt")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(one, "to one")
        send(other, "to other")
        other.mail.wait(subject="to other", timeout=LIMIT_S)
        assert one.mail.all() == []
        assert one.sessions()[0]["id"] not in {session["id"] for session in other.sessions()}


def test_an_account_logs_in_and_a_reset_empties(sandbox: Sandbox, testbed: Testbed) -> None:
    account = sandbox.account("mira", "m-secret")
    send(sandbox, "first", to="mira")
    sandbox.mail.wait(subject="first", timeout=LIMIT_S)
    client = imaplib.IMAP4_SSL("localhost", sandbox.imap.tls_port, ssl_context=testbed.ssl_context(), timeout=20)
    client.login(account.address, account.password)
    assert client.select("INBOX")[1] == [b"1"]
    client.logout()
    sandbox.reset()
    assert sandbox.mail.all() == []
    assert sandbox.sessions() == []


def test_a_rule_that_cannot_be_honoured_is_refused_with_the_reason(sandbox: Sandbox) -> None:
    with pytest.raises(ControlError, match="rcpt"):
        sandbox.smtp.refuse("451 later", on="rctp")
    with pytest.raises(ControlError) as caught:
        sandbox.smtp.refuse("451 later", on="rcpt", times=-1)
    assert caught.value.status == 400 or caught.value.status == 422
    assert "times" in str(caught.value)


def test_the_transcript_is_in_a_failing_tests_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import smtplib

        def test_fails(sandbox):
            with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=20) as client:
                client.sendmail("a@harbour.test", [f"b@{sandbox.domain}"], "Subject: x\\r\\n\\r\\n")
            sandbox.mail.wait(subject="x", timeout=20)
            assert False

        def test_passes(sandbox):
            assert sandbox.domain.endswith(".test")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*portyard transcript*", "C: MAIL FROM:<a@harbour.test>*"])


def test_a_report_tells_which_rules_fired_and_hides_the_kits_own_lines(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import smtplib

        def test_wrong_address(sandbox):
            sandbox.smtp.refuse("451 4.7.1 later", on="rcpt", where={"recipient": "nobody@*"}, times=1)
            with smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=30) as client:
                client.sendmail("a@harbour.test", [f"mira@{sandbox.domain}"], "Subject: x\\r\\n\\r\\n")
            sandbox.mail.wait(subject="invoice", timeout=0.2)

        def test_another_sandbox(sandbox):
            assert not sandbox.rules(), "nothing was set"
            raise AssertionError
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*NothingCameError: 1 message(s) with subject='invoice' didn't come within 0.2 s: 0 did",
            "*portyard rules*",
            'smtp.rcpt *recipient=\'nobody@[*]\'* → {"refuse": "451 4.7.1 later"}: fired 0×, matched 0×',
            "*portyard transcript*",
            "(no session joined this test's sandbox; *",
        ]
    )
    result.stdout.no_fnmatch_line("*self._control.get(*")


def test_a_fixture_that_fails_has_its_transcript(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import poplib
        import pytest

        @pytest.fixture
        def maildrop(sandbox):
            client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=30)
            try:
                client.user(f"mira@{sandbox.domain}")
                client.pass_("wrong")
            finally:
                client.close()

        def test_any(maildrop): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*portyard transcript*", "C: USER mira@*"])


TROUBLE = """
    import poplib
    import pytest

    def trouble(sandbox, name):
        client = poplib.POP3(sandbox.pop3.host, sandbox.pop3.port, timeout=30)
        with pytest.raises(poplib.error_proto):
            client.user(f"{name}@{sandbox.domain}")
            client.pass_("wrong")
        client.close()
"""


@pytest.mark.parametrize("last", [False, True], ids=["amidst", "last of all"])
def test_a_fixture_that_fails_in_its_teardown_has_its_transcript(pytester: pytest.Pytester, last: bool) -> None:
    """Of the last test's teardown the testbed's own end is a part."""
    pytester.makepyfile(
        TROUBLE
        + """
    @pytest.fixture
    def maildrop(sandbox):
        yield
        trouble(sandbox, "mira")
        assert False, "left open"

    def test_any(maildrop): pass
    """
        + (
            ""
            if last
            else "\n    def test_after(sandbox, testbed): assert len(testbed.control.get('sandboxes')) == 2\n"
        )
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1 if last else 2, errors=1)
    result.stdout.fnmatch_lines(["*left open*", "*portyard transcript*", "C: USER mira@*"])


OWN = """
    def test_within(testbed):
        with testbed.own_sandbox(name="quay") as own:
            trouble(own, "ada")
            assert False

    def test_behind(testbed):
        with testbed.own_sandbox(name="quay") as own:
            own.smtp.refuse("451 later", on="rcpt", times=1)
            trouble(own, "bea")
        assert False

    def test_beside(testbed, sandbox):
        mole = testbed.sandbox("mole")
        trouble(mole, "cleo")
        trouble(sandbox, "dora")
        assert False

    @pytest.fixture
    def pier(testbed):
        with testbed.own_sandbox(name="pier") as own:
            yield own
            trouble(own, "edda")
            assert False

    def test_fixture(pier): pass

    def test_passes(testbed, sandbox):
        assert {each["name"] for each in testbed.control.get("sandboxes")} == {"default", "mole", sandbox.name}
"""


def test_sandboxes_that_a_test_makes_itself_have_their_transcripts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TROUBLE + OWN)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--color=no")
    result.assert_outcomes(passed=2, failed=3, errors=1)
    said = result.stdout.str()
    for heading, who in (
        ("portyard transcript of quay", "ada"),
        ("portyard transcript of quay", "bea"),
        ("portyard transcript of mole", "cleo"),
        ("portyard transcript", "dora"),
        ("portyard transcript of pier", "edda"),
    ):
        assert re.search(rf"^-+ {heading} -+\n(?:(?!---).*\n)*C: USER {who}@", said, re.MULTILINE), heading + said
        assert said.count(f"C: USER {who}@") == 1, who
    assert "portyard rules of quay" in said


def test_a_testbed_of_ones_own_may_end_before_the_sandbox(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TROUBLE
        + """
    from portyard.testing import Testbed

    @pytest.fixture
    def testbed():
        with Testbed.embedded() as running:
            yield running

    def test_passes(sandbox): pass

    def test_fails(sandbox):
        trouble(sandbox, "mira")
        assert False

    def test_fails_with_its_own(testbed):
        with testbed.own_sandbox() as own:
            trouble(own, "nora")
        assert False
    """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        ["*portyard transcript*", "C: USER mira@*", "*portyard transcript of *", "C: USER nora@*"]
    )


def test_a_testbed_that_does_not_answer_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_any(sandbox): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--portyard-url", "http://127.0.0.1:1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConnectionError: no testbed answers at http://127.0.0.1:1 *make up*"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"capture": "nope"}, "capture = 'nope': expected any or own"),
        ({"require_tls": "yes please"}, "require_tls = 'yes please'"),
        ({"port_offset": -1}, "port_offset = -1"),
        ({"limits": {"message": "big"}}, "limits.message = 'big'"),
        ({"capturing": "any"}, "capturing: no such setting"),
    ],
)
def test_settings_are_held_against_their_types(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=re.escape(words)):
        Testbed.embedded(**settings)


def test_nested_settings_are_tables() -> None:
    accounts = [{"address": "mira@portyard.test", "password": "m-secret"}]
    with Testbed.embedded(limits={"message": 100_000}, accounts=accounts) as small:
        smtp = small.default().smtp
        with smtplib.SMTP(smtp.host, smtp.port) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "100000"
        assert [each["address"] for each in small.control.get("sandboxes/default/accounts")] == ["mira@portyard.test"]


def test_deprecated_modules_are_imported_before_the_rooms() -> None:
    """The rooms are imported in a thread, where another's filters may be in force: a warning could be an error there."""
    program = (
        "import importlib, warnings; from portyard.rooms import ROOMS; from portyard.testing import embedded; "
        "embedded._import_quietly(); told = []; warnings._deprecated = lambda name, *_, **__: told.append(name); "
        "[importlib.import_module(f'portyard.{room}.edge') for room in ROOMS]; print(told)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
