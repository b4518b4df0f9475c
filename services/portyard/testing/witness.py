"""What a test's sandboxes did, for its report: those that stand are asked then, those that go are asked just before."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from portyard.testing.control import Control
    from portyard.testing.sandbox import Sandbox
    from portyard.testing.testbed import Testbed

MOST = 20  # sandboxes of one test that are told of, the first; and sessions of each, the latest
MOST_CHARACTERS = 100_000  # of one section: its beginning and its end
BRIEFLY_S = (
    0.2  # for asking a sandbox that goes while all is well: a test that passes shall not wait for what nobody reads
)
DEFAULT = "default"
NOBODY = (
    "(no session joined this test's sandbox; one does by its login, its recipient's domain, the URL's /~name/ (http.url, websocket.url), "
    "the Host field or TLS SNI)"
)
GONE = "(it was gone before the test failed; told is of a sandbox that stands then, or whose block the failure ends)"
Section = tuple[str, str]
"""A title and what stands below it."""
Key = tuple["Control", str]
"""Of which testbed, and its name: two testbeds may have sandboxes of one name."""


class Witness:
    """Keeps what the sandboxes of one test did, until the next one begins.

    Attributes:
        current: That of the test run that goes on, which hears of every testbed that is made meanwhile.
        wide: A fixture is made that may be for other tests as well: the `default` of a testbed that it starts isn't this test's own.
        failing: Whether the test is known to have failed, though no exception is under way.
    """

    current: Witness | None = None

    def __init__(self) -> None:
        self.wide = False
        self.failing: Callable[[], bool] = lambda: False
        self._testbeds: WeakSet[Testbed] = WeakSet()
        self._given: WeakSet[Control] = WeakSet()
        self._own: Key | None = None
        self._told: dict[Key, Sandbox | Callable[[], Sandbox] | list[Section]] = {}
        self._leaving: list[Sandbox] = []

    def attend(self, testbed: Testbed) -> None:
        """Hear of the sandboxes that this testbed makes."""
        self._testbeds.add(testbed)
        testbed.witness = self

    def gives(self, testbed: Testbed) -> None:
        """A fixture gives it: it was asked before, and a brief look costs a test that passes next to nothing."""
        self.attend(testbed)
        self._given.add(testbed.control)

    def starts(self, testbed: Testbed) -> None:
        """It was started by whoever made it, and ends with `close`; where that is the test, `default` is the test's own as well."""
        if not self.wide and len(self._told) < MOST:
            self._told[testbed.control, DEFAULT] = testbed.default

    def wait_until_open(self) -> None:
        """Wait until every room of the testbeds that run is open."""
        for testbed in self._testbeds:
            testbed.wait_until_open()

    def begin(self) -> None:
        """A test begins; of what was before nobody asks any more."""
        self._own = None
        self._told.clear()

    def made(self, sandbox: Sandbox) -> None:
        """The test made a sandbox."""
        if len(self._told) < MOST:
            self._told[sandbox.key] = sandbox

    def joins(self, sandbox: Sandbox) -> None:
        """The test has a sandbox of a fixture that may have been made for an earlier one."""
        if sandbox.key not in self._told:
            self.made(sandbox)

    def is_own(self, sandbox: Sandbox) -> None:
        """It is the one of the fixture, whose sections need no name."""
        self._told[sandbox.key] = sandbox
        self._own = sandbox.key

    def going(self, sandbox: Sandbox, *, failed: bool) -> None:
        """It is about to be deleted.

        Args:
            sandbox: Which.
            failed: Something is known to be wrong, so that what was said last is worth waiting for.
        """
        if sandbox.key not in self._told:
            return
        if failed:
            self._catch_up()
        if failed or sandbox.key[0] in self._given:
            self._told[sandbox.key] = list(_sections(sandbox, None if failed else BRIEFLY_S))
        else:
            self._told[sandbox.key] = [("transcript", GONE)]

    def leaves(self, sandbox: Sandbox) -> None:
        """Delete it once every other fixture has been torn down, for what fails there is reported, too."""
        self._leaving.append(sandbox)

    def take_leave(self, *, failed: bool) -> None:
        """Delete those that leave, and keep what they did where something failed."""
        while self._leaving:
            sandbox = self._leaving.pop()
            if failed:
                self.going(sandbox, failed=failed)
            else:
                self._told.pop(sandbox.key, None)
            sandbox.delete(missing_ok=True)

    def closes(self, testbed: Testbed, *, failed: bool, ends: bool) -> None:
        """The testbed is about to be closed, maybe in the midst of a teardown in which something may have failed or still may.

        Args:
            testbed: Which.
            failed: As for `going`.
            ends: It can't be asked any more then.
        """
        if any(sandbox.key[0] is testbed.control for sandbox in self._leaving):
            self.take_leave(failed=True)
        if testbed not in self._testbeds:
            return
        self._testbeds.discard(testbed)
        standing = {
            key: told
            for key, told in list(self._told.items())
            if key[0] is testbed.control and not isinstance(told, list)
        }
        if failed and standing:
            time.sleep(testbed.journal_lag_s)
        if failed:
            self._told |= {key: list(_sections(told)) for key, told in standing.items()}
        elif ends:
            self._told |= {key: [("transcript", GONE)] if key[1] != DEFAULT else [] for key in standing}

    def sections(self) -> Iterator[Section]:
        """Everything that a report should have, the fixture's sandbox first."""
        if any(not isinstance(each, list) for each in self._told.values()):
            self._catch_up()
        told = {key: each if isinstance(each, list) else list(_sections(each)) for key, each in self._told.items()}
        names = Counter(name for (_, name), sections in told.items() if sections)
        for key in sorted(told, key=lambda key: key != self._own):
            control, name = key
            whose = f" of {name} at {control.url}" if names[name] > 1 else f" of {name}"
            for title, text in told[key]:
                yield f"portyard {title}{'' if key == self._own else whose}", _shortened(text)

    def _catch_up(self) -> None:
        """Wait until what was said last is there, too."""
        time.sleep(max((testbed.journal_lag_s for testbed in self._testbeds), default=0.0))


def is_failure(error: BaseException | None) -> bool:
    """Whether a test fails with that: one that is skipped doesn't, and waits no more than one that passes."""
    unit, kit = sys.modules.get("unittest"), sys.modules.get("pytest")  # whoever raises theirs has imported them
    skipping = (*([unit.SkipTest] if unit else ()), *([kit.skip.Exception] if kit else ()))
    return error is not None and not isinstance(error, skipping)


def _sections(asked: Sandbox | Callable[[], Sandbox], within_s: float | None = None) -> Iterator[Section]:
    """What a sandbox did; of `default`, which nobody had to make, only what there is.

    Args:
        asked: Which, or what gets it.
        within_s: After so long nothing more is asked.
    """
    try:
        sandbox = asked() if callable(asked) else asked
        transcript = _transcript(sandbox, within_s)
        if transcript or sandbox.name != DEFAULT:
            yield "transcript", transcript or NOBODY
        if rules := sandbox.rules():
            yield "rules", "\n".join(_rule(rule) for rule in rules)
    except Exception as error:  # the report of the test matters more than the transcript's
        yield "transcript", f"(it can't be had: {error})"


def _transcript(sandbox: Sandbox, within_s: float | None) -> str:
    """The transcripts of the latest sessions, oldest first; of fewer where asking takes longer than so many seconds."""
    if within_s is None:
        return sandbox.transcript(MOST)
    end = time.monotonic() + within_s
    told: list[str] = []
    for session in sandbox.sessions(most=MOST):
        told.append(sandbox.talk(session))
        if time.monotonic() > end:
            break
    return "\n".join(reversed(told))


def _shortened(text: str) -> str:
    """Its beginning and its end, where it is longer than anybody reads."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n(… {len(text) - 2 * half} characters are left out …)\n{text[-half:]}"


def _rule(rule: dict[str, Any]) -> str:
    """A rule and whether it ever fired: one that didn't is often why."""
    where = "".join(f" {name}={value!r}" for name, value in (rule.get("where") or {}).items())
    counted = f"fired {rule['hits']}×, matched {rule['matched']}×{', spent' if rule.get('spent') else ''}"
    return f"{rule['on']}{where} → {json.dumps(rule['then'], ensure_ascii=False)}: {counted}"
