"""Testbeds that a test makes itself, without a fixture: when it fails, its report tells what was done in them."""

from __future__ import annotations

import re
import time
import unittest
from types import SimpleNamespace

import pytest

from portyard.testing import Sandbox, Testbed, witness
from portyard.testing.witness import Witness
from tests.support.kit_look import CLIENT, look

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module", autouse=True)
def whole(testbed: Testbed) -> None:
    """All of it is imported before a pytester's test begins, which takes back what was imported in its time."""
    testbed.wait_until_open()
    with testbed.own_sandbox() as own:
        look(own, "ada")
        assert own.transcript()
        assert not own.rules()


def told(pytester: pytest.Pytester, *options: str, **outcomes: int) -> dict[str, list[str]]:
    """By each test that failed what its report has: the headings, and who named himself below them."""
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--color=no", "--tb=short", "-rN", *options)
    result.assert_outcomes(**outcomes)
    found: dict[str, list[str]] = {}
    lines = r"^_+ (?:\w+\.)?test_(\w+) _+$|^-+ portyard (.*?) -+$|^C: USER (\w+)@|^E +(\w+)|^(\(it was gone before)"
    for test, *said in re.findall(lines, result.stdout.str(), re.MULTILINE):
        if test:
            found[test] = []
        else:
            found[list(found)[-1]].append("".join(said))
    return found


ENDS = """
    def test_within():
        with Testbed.embedded() as testbed, testbed.own_sandbox(name="quay") as own:
            look(own, "ada")
            raise ValueError

    def test_default():
        with Testbed.embedded() as testbed:
            testbed.default().smtp.refuse("451 later", on="rcpt")
            look(testbed.default(), "alice")
            testbed.sandbox("quay")
            raise ValueError

    def test_finally():
        testbed = Testbed.embedded()
        try:
            look(testbed.sandbox("quay"), "bea")
            raise ValueError
        finally:
            testbed.close()

    def test_behind():
        with Testbed.embedded() as testbed:
            look(testbed.sandbox("quay"), "cleo")
        raise ValueError

    def test_behind_default():
        with Testbed.embedded() as testbed:
            look(testbed.default(), "alice")
        raise ValueError

    def test_open(request):
        testbed = Testbed.embedded()
        request.addfinalizer(testbed.close)
        look(testbed.sandbox("quay"), "dora")
        raise ValueError

    class TestCase(unittest.TestCase):
        def test_cleanup(self):
            testbed = Testbed.embedded()
            self.addCleanup(testbed.close)
            look(testbed.sandbox("quay"), "edda")
            raise ValueError

        def test_context(self):
            own = self.enterContext(self.enterContext(Testbed.embedded()).own_sandbox(name="quay"))
            look(own, "gwen")
            raise ValueError

    def test_passes():
        with Testbed.embedded() as testbed, testbed.own_sandbox() as own:
            look(own, "fay")
    """


def test_a_testbed_of_the_tests_own_has_its_transcripts_however_it_ends(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CLIENT + ENDS)
    found = told(pytester, failed=8, passed=1)
    quay = "transcript of quay"
    assert found == {
        "within": ["ValueError", quay, "ada"],
        "default": ["ValueError", "transcript of default", "alice", "rules of default", quay],
        "finally": ["ValueError", quay, "bea"],
        "behind": ["ValueError", quay, "(it was gone before"],
        "behind_default": ["ValueError"],
        "open": ["ValueError", quay, "dora"],
        "cleanup": ["ValueError", quay, "edda"],
        "context": ["ValueError", quay, "gwen"],
    }


SEVERAL = """
    @pytest.fixture(scope="module")
    def yard():
        with Testbed.embedded() as running:
            yield running

    @pytest.fixture
    def harbour():
        with Testbed.embedded() as running:
            yield running

    def test_two():
        with Testbed.embedded() as one, Testbed.embedded() as two:
            look(one.sandbox("quay"), "ada")
            look(two.sandbox("quay"), "bea")
            raise ValueError

    def test_wide(yard):
        look(yard.default(), "alice")
        look(yard.sandbox("quay"), "cleo")
        raise ValueError

    def test_narrow(harbour):
        look(harbour.default(), "alice")
        raise ValueError

    def test_connected(request):
        with Testbed.connect("{url}") as same:
            own = same.sandbox("quay")
            request.addfinalizer(own.delete)
            look(same.default(), "bob")
            look(own, "dora")
            raise ValueError

    def test_connected_behind(request):
        with Testbed.connect("{url}") as same, same.own_sandbox(name="mole") as mole:
            own = same.sandbox("quay")
            request.addfinalizer(own.delete)
            look(own, "edda")
            look(mole, "fay")
        raise ValueError
"""


def test_two_testbeds_are_told_apart_and_others_defaults_left_out(pytester: pytest.Pytester, testbed: Testbed) -> None:
    pytester.makepyfile(CLIENT + SEVERAL.format(url=testbed.control.url))
    found = told(pytester, failed=5)
    one, two = found["two"][1], found["two"][3]
    assert one != two
    assert {one[:-5].rstrip("0123456789"), two[:-5].rstrip("0123456789")} == {"transcript of quay at http://127.0.0.1:"}
    assert found == {
        "two": ["ValueError", one, "ada", two, "bea"],
        "wide": ["ValueError", "transcript of quay", "cleo"],
        "narrow": ["ValueError", "transcript of default", "alice"],
        "connected": ["ValueError", "transcript of quay", "dora"],
        "connected_behind": [
            *("ValueError", "transcript of mole", "(it was gone before"),
            *("transcript of quay", "edda"),
        ],
    }


def test_a_failure_outlives_a_testbed_that_cannot_be_asked() -> None:
    kept = Witness()

    def fails() -> None:
        with Testbed.embedded() as gone:
            kept.attend(gone)
            with gone.own_sandbox(name="quay"):
                gone._stop()
                raise ValueError("the test's own")

    with pytest.raises(ValueError, match="the test's own"):
        fails()
    ((title, text),) = kept.sections()
    assert title == "portyard transcript of quay"
    assert text.startswith("(it can't be had: ")


def test_a_testbed_ends_though_a_sandbox_that_leaves_cannot_be_deleted() -> None:
    kept = Witness()
    gone = Testbed.embedded()
    kept.attend(gone)
    kept.leaves(gone.sandbox())
    stopped: list[Testbed] = []
    end, gone._stop = gone._stop, lambda: stopped.append(gone)
    end()
    with pytest.raises(ConnectionError):
        gone.close()
    assert stopped == [gone]


def test_a_test_that_passes_asks_for_nothing(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def ask(*what: object, **how: object) -> tuple[()]:
        asked.append(what)
        return ()

    monkeypatch.setattr(witness, "_sections", ask)
    monkeypatch.setattr(witness, "time", SimpleNamespace(sleep=ask, monotonic=time.monotonic))
    with Testbed.connect(testbed.control.url) as same, same.own_sandbox():
        same.sandbox().delete()
    with Testbed.embedded() as own, own.own_sandbox():
        own.sandbox()
    for skip in (pytest.skip, unittest.TestCase().skipTest):
        with (
            pytest.raises((pytest.skip.Exception, unittest.SkipTest)),
            Testbed.connect(testbed.control.url) as same,
            same.own_sandbox(),
        ):
            skip("it can't run here")
    assert not asked


def test_what_nobody_reads_is_left_out(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "MOST_CHARACTERS", 400)
    for name in ("ada", "bea", "cleo"):
        look(sandbox, name)
    kept = Witness()
    kept.made(sandbox)
    ((_, text),) = kept.sections()
    whole = sandbox.transcript()
    assert text == f"{whole[:200]}\n(… {len(whole) - 400} characters are left out …)\n{whole[-200:]}"
