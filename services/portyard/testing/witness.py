"""What a test's sandboxes did, for its report: those that stand are asked then, those that go are asked just before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portyard.testing.sandbox import Sandbox
    from portyard.testing.testbed import Testbed

MOST = 20  # sandboxes of one test that are told of, the first; and sessions of each, the latest
BRIEFLY_S = (
    0.2  # for asking a sandbox that goes while all is well: a test that passes shall not wait for what nobody reads
)
NOBODY = (
    "(no session joined this test's sandbox; one does by its login, its recipient's domain, the URL's /~name/ (http.url, websocket.url), "
    "the Host field or TLS SNI)"
)
Section = tuple[str, str]
"""A title and what stands below it."""


class Witness:
    """Keeps what the sandboxes of one test did, until the next one begins."""

    def __init__(self) -> None:
        self._testbeds: list[Testbed] = []
        self._own: str | None = None
        self._told: dict[str, Sandbox | list[Section]] = {}
        self._leaving: list[Sandbox] = []

    def attend(self, testbed: Testbed) -> None:
        """Hear of the sandboxes that this testbed makes."""
        if testbed not in self._testbeds:
            self._testbeds.append(testbed)
        testbed.witness = self

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
            self._told[sandbox.name] = sandbox

    def joins(self, sandbox: Sandbox) -> None:
        """The test has a sandbox of a fixture that may have been made for an earlier one."""
        if sandbox.name not in self._told:
            self.made(sandbox)

    def is_own(self, sandbox: Sandbox) -> None:
        """It is the one of the fixture, whose sections need no name."""
        self._told[sandbox.name] = sandbox
        self._own = sandbox.name

    def going(self, sandbox: Sandbox, *, failed: bool) -> None:
        """It is about to be deleted.

        Args:
            sandbox: Which.
            failed: Something is known to be wrong, so that what was said last is worth waiting for.
        """
        if sandbox.name in self._told:
            if failed:
                self._catch_up()
            self._told[sandbox.name] = list(_sections(sandbox, None if failed else BRIEFLY_S))

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
                self._told.pop(sandbox.name, None)
            sandbox.delete(missing_ok=True)

    def closes(self, testbed: Testbed) -> None:
        """The testbed is about to be closed, in the midst of a teardown in which something may have failed or still may."""
        self.take_leave(failed=True)
        if testbed in self._testbeds:
            self._testbeds.remove(testbed)

    def sections(self) -> Iterator[Section]:
        """Everything that a report should have, the fixture's sandbox first."""
        if any(not isinstance(each, list) for each in self._told.values()):
            self._catch_up()
        for name in sorted(self._told, key=lambda name: name != self._own):
            told = self._told[name]
            for title, text in told if isinstance(told, list) else _sections(told):
                yield f"portyard {title}{'' if name == self._own else f' of {name}'}", text

    def _catch_up(self) -> None:
        """Wait until what was said last is there, too."""
        if self._testbeds:
            time.sleep(max(testbed.journal_lag_s for testbed in self._testbeds))


def _sections(sandbox: Sandbox, within_s: float | None = None) -> Iterator[Section]:
    try:
        yield "transcript", _transcript(sandbox, within_s) or NOBODY
        if rules := sandbox.rules():
            yield "rules", "\n".join(_rule(rule) for rule in rules)
    except Exception as error:  # the report of the test matters more than the transcript's
        yield "transcript", f"(it can't be had: {error})"


def _transcript(sandbox: Sandbox, within_s: float | None) -> str:
    """The transcripts of the latest sessions, oldest first; of fewer where asking takes longer than so many seconds."""
    if within_s is None:
        return sandbox.transcript()
    end = time.monotonic() + within_s
    told: list[str] = []
    for session in sandbox.sessions(most=MOST):
        told.append(sandbox.talk(session))
        if time.monotonic() > end:
            break
    return "\n".join(reversed(told))


def _rule(rule: dict[str, Any]) -> str:
    """A rule and whether it ever fired: one that didn't is often why."""
    where = "".join(f" {name}={value!r}" for name, value in (rule.get("where") or {}).items())
    counted = f"fired {rule['hits']}×, matched {rule['matched']}×{', spent' if rule.get('spent') else ''}"
    return f"{rule['on']}{where} → {json.dumps(rule['then'], ensure_ascii=False)}: {counted}"
