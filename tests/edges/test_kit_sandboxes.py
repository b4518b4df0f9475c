"""The kit's sandboxes in a test run: gone before their time, older than the test, with more in them than one page shows."""

from __future__ import annotations

import datetime as dt
import os
import re
import smtplib
import time
import warnings
from types import SimpleNamespace

import pytest

from portyard.testing import ControlError, Sandbox, Testbed
from portyard.testing import sandbox as kit
from portyard.testing.witness import Witness
from tests.support.kit_look import CLIENT, look

pytest_plugins = ["pytester"]
LIMIT_S = 20


def sockets(testbed: Testbed) -> list[object]:
    """Where its open connections come from."""
    open_ones = [each.connection.sock for each in testbed.control._open]
    return [sock.getsockname() for sock in open_ones if sock is not None]


def test_all_sessions_are_told_however_many(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"m{place}" for place in range(7)]
    for name in names:
        look(sandbox, name)
    monkeypatch.setattr(kit, "PAGE", 3)
    newest_first = [sandbox.talk(each) for each in sandbox.sessions("pop3")]
    assert [re.findall(r"USER (\w+)", talk) for talk in newest_first] == [[name] for name in reversed(names)]
    assert sandbox.sessions(most=4) == sandbox.sessions()[:4]
    assert sandbox.sessions(most=0) == sandbox.sessions(room="imap") == []
    assert re.findall(r"USER (\w+)", sandbox.transcript(most=5)) == names[-5:]


def test_more_sessions_than_the_api_lists_by_itself(sandbox: Sandbox) -> None:
    for _ in range(101):
        look(sandbox, "mira")
    assert len(sandbox.sessions()) == 101


def test_more_messages_than_the_api_lists_in_one_page(sandbox: Sandbox) -> None:
    with smtplib.LMTP(sandbox.lmtp.host, sandbox.lmtp.port, timeout=LIMIT_S) as client:
        for number in range(1001):
            client.sendmail("shop@harbour.test", [f"mira@{sandbox.domain}"], f"Subject: no. {number}\r\n\r\n")
    assert [each.subject for each in sandbox.mail.all()] == [f"no. {number}" for number in reversed(range(1001))]


def test_a_sandbox_that_is_gone_is_deleted_only_where_that_is_meant(testbed: Testbed) -> None:
    with testbed.own_sandbox() as own:
        own.delete()
        with pytest.raises(ControlError, match="no sandbox"):
            own.delete()
        own.delete(missing_ok=True)


def test_events_since_a_moment_of_pythons(sandbox: Sandbox) -> None:
    look(sandbox, "ada")
    since = dt.datetime.fromisoformat(sandbox.events.wait(room="pop3", kind="closed")[0]["at"])
    look(sandbox, "bea")
    sandbox.events.wait(2, room="pop3", kind="closed")
    later = since.astimezone(dt.timezone(dt.timedelta(hours=1))) + dt.timedelta(microseconds=1)
    for found in (sandbox.events.all(since=later, kind="command"), sandbox.events.wait(since=later, kind="command")):
        assert re.findall(r"USER (\w+)", str(found)) == ["bea"]


@pytest.mark.parametrize("name", ["", "Quay", "a quay", "q" * 64, "expired"])
def test_a_name_that_is_none_is_refused(testbed: Testbed, name: str) -> None:
    with pytest.raises(ControlError, match="name") as caught:
        testbed.sandbox(name)
    assert caught.value.problem["value"] == name


def test_a_forked_process_has_a_connection_of_its_own(testbed: Testbed) -> None:
    """Of two that ask on one connection each hears the other's answers."""
    with Testbed.connect(testbed.control.url) as same:
        same.control.get("health")
        (kept,) = sockets(same)
        with warnings.catch_warnings(action="ignore"):  # of threads that a forked process hasn't
            child = os.fork()
        if not child:
            try:
                same.control.get("health")
                (own,) = sockets(same)
                os._exit(0 if own != kept else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        same.control.get("health")
        assert sockets(same) == [kept]


def test_a_directory_is_no_file_and_a_list_in_a_file_is_one(sandbox: Sandbox) -> None:
    files = sandbox.files(sandbox.account("mira"))
    files.put("in/list.json", "[]")
    assert files.get("in/list.json") == b"[]"
    for folder in ("in", "in/", "/", ""):
        with pytest.raises(ControlError, match="is a directory") as caught:
            files.get(folder)
        assert caught.value.status == 409


@pytest.mark.parametrize(
    ("by", "now"),
    [
        (dt.timedelta(microseconds=1), "2030-01-02T03:04:05.000001Z"),
        (dt.timedelta(days=1, milliseconds=5), "2030-01-03T03:04:05.005Z"),
        ("2h", "2030-01-02T05:04:05Z"),
    ],
)
def test_a_clock_takes_pythons_own_times(sandbox: Sandbox, by: dt.timedelta | str, now: str) -> None:
    moment = dt.datetime(2030, 1, 2, 4, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    sandbox.clock.freeze(moment)
    sandbox.clock.advance(by)
    shown = sandbox._control.get(f"sandboxes/{sandbox.name}/clock")["now"]
    assert dt.datetime.fromisoformat(shown) == dt.datetime.fromisoformat(now)
    with pytest.raises(ControlError, match="freeze"):
        sandbox.clock.freeze(moment.replace(tzinfo=None))


def test_a_test_may_delete_its_sandbox(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENT
        + """
    def test_own(sandbox):
        sandbox.delete()

    def test_made(testbed):
        with testbed.own_sandbox() as own:
            own.delete()

    def test_after(testbed):
        assert len(testbed.control.get("sandboxes")) == 1

    @pytest.mark.portyard("own")
    def test_options_have_names(sandbox): pass
    """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--strict-markers")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*TypeError: @pytest.mark.portyard takes its options by their names*('own',)"])


def test_a_sandbox_older_than_the_test_has_its_transcript(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        CLIENT
        + """
    @pytest.fixture(scope="module")
    def quay(testbed):
        with testbed.own_sandbox(name="quay") as own:
            yield own

    @pytest.fixture
    def pier(quay):
        return object()

    def test_first(quay):
        look(quay, "ada")

    def test_second(pier):
        assert False

    def test_without(): assert False

    def test_third(quay, sandbox):
        look(quay, "bea")
        look(sandbox, "cleo")
        assert False
    """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--color=no", "--tb=line", "-rN")
    result.assert_outcomes(passed=1, failed=3)
    said = re.findall(r"^-+ portyard (transcript.*?) -+$|^C: USER (\w+)@", result.stdout.str(), re.MULTILINE)
    assert [heading or who for heading, who in said] == [
        *("transcript of quay", "ada"),
        *("transcript", "cleo", "transcript of quay", "ada", "bea"),
    ]


def test_of_two_testbeds_the_slower_journal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    own_time = SimpleNamespace(sleep=slept.append, monotonic=time.monotonic)  # others' threads may sleep meanwhile
    monkeypatch.setattr("portyard.testing.witness.time", own_time)
    with Testbed.embedded() as near, Testbed.connect(near.control.url) as far:
        witness = Witness()
        witness.attend(far)
        with Testbed.embedded() as second:
            witness.attend(second)
            with second.own_sandbox():
                assert dict(witness.sections())
        with far.own_sandbox():
            assert dict(witness.sections())
        witness.begin()
        assert not dict(witness.sections())
        assert slept == [far.journal_lag_s] * 2
