"""A sandbox's mail, as a test looks at it."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from portyard.testing.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORDS = 200  # characters of a near miss
PAGE = 1000  # messages that are asked for at once
DEFAULT_S = 5.0  # long for a delivery on one machine, short for a test that fails

CUT_SHORT = "there was no time to look through all that was there: ask for less, or give it longer"


class NothingCameError(AssertionError):
    """What a test waited for didn't come. The message lists what came instead, and why each missed.

    Attributes:
        came: What did fit, when it was too little; nothing where the error came out of another process.
        near_misses: What came and didn't fit, as the API tells it.
        complete: False where there was no time to look through all that was there.
    """

    def __init__(
        self,
        wanted: str,
        came: Sequence[object],
        near_misses: Sequence[dict[str, Any]],
        within_s: float,
        complete: bool = True,
    ) -> None:
        lines = [f"{wanted} didn't come within {within_s:g} s: {len(came)} did"]
        lines += [] if complete else [f"  {CUT_SHORT}"]
        lines += [f"  missed: {_shown(miss)}: {miss.get('because', '')}" for miss in near_misses]
        super().__init__("\n".join(lines))
        self.came = list(came)
        self.near_misses = list(near_misses)
        self.complete = complete

    def __reduce__(self) -> tuple[Callable[..., NothingCameError], tuple[object, ...]]:
        """It may come out of another process; what came needs that one's testbed."""
        return _told_again, (type(self), str(self), self.near_misses, self.complete)


def _told_again(
    kind: type[NothingCameError], text: str, near_misses: list[dict[str, Any]], complete: bool
) -> NothingCameError:
    error = kind("", (), near_misses, 0.0, complete)
    error.args = (text,)
    return error


def _shown(miss: dict[str, Any]) -> str:
    """A message by what is searched for in it; an event by its room, its kind, and what was said or noted there."""
    told = {name: miss[name] for name in ("subject", "from", "to", "room", "kind") if miss.get(name)}
    noted = miss.get("fields", {})
    if "text" in noted:
        noted = {"text": str(noted["text"])[:WORDS]}
    told |= {name: value for name, value in noted.items() if not isinstance(value, dict | list)}
    return ", ".join(f"{name}={value!r}" for name, value in told.items())


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message.

    Attributes:
        id: The testbed's key.
        subject: Decoded.
        sender: The first address of From.
        to: The addresses of To; the envelope's recipient where there is no To.
        account: In whose mailbox it lies.
        mailbox: The mailbox's name.
        fields: Everything that the API tells of it.
    """

    id: str
    subject: str
    sender: str
    to: list[str]
    account: str
    mailbox: str
    fields: dict[str, Any] = field(repr=False)
    _control: Control = field(repr=False, compare=False)
    _path: str = field(repr=False, compare=False)

    @property
    def raw(self) -> bytes:
        """Its octets."""
        return self._control.raw(f"{self._path}/raw")

    @property
    def parsed(self) -> EmailMessage:
        """Its octets as the standard library's message."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def text(self) -> str:
        """Its first plain text, decoded; empty when it has none."""
        return str(self._whole().get("text") or "")

    @property
    def html(self) -> str:
        """Its first HTML, decoded; empty when it has none."""
        return str(self._whole().get("html") or "")

    @property
    def links(self) -> list[str]:
        """The links in it, in order."""
        return list(self._whole().get("links") or [])

    @property
    def codes(self) -> list[str]:
        """What looks like one-time codes in it, the likeliest first."""
        return list(self._whole().get("codes") or [])

    @property
    def attachments(self) -> dict[str, bytes]:
        """What is attached, decoded, by file name; parts without a name are left out."""
        found = ((part.get_filename(), part.get_payload(decode=True)) for part in self.parsed.walk())
        return {name: content for name, content in found if name and isinstance(content, bytes)}

    def delete(self) -> None:
        """Take it away."""
        self._control.delete(self._path)

    def _whole(self) -> dict[str, Any]:
        return dict(self._control.get(self._path))


class Mail:
    """A sandbox's messages.

    Args:
        control: The API.
        sandbox: The sandbox's path in it.
    """

    def __init__(self, control: Control, sandbox: str) -> None:
        self._control = control
        self._path = f"{sandbox}/messages"

    def wait(
        self,
        *,
        to: str | None = None,
        subject: str | None = None,
        from_: str | None = None,
        timeout: float = DEFAULT_S,
    ) -> Message:
        """The newest message that fits, as soon as one is there; the server does the waiting.

        Args:
            to: A part of an address that it was sent to.
            subject: A part of its subject.
            from_: A part of its sender's address.
            timeout: Seconds.

        Raises:
            NothingCameError: Nothing fitted in time; it lists the near misses.
        """
        __tracebackhide__ = True  # the test's own line tells more
        return self.wait_for(1, to=to, subject=subject, from_=from_, timeout=timeout)[0]

    def wait_for(
        self,
        count: int,
        *,
        to: str | None = None,
        subject: str | None = None,
        from_: str | None = None,
        timeout: float = DEFAULT_S,
    ) -> list[Message]:
        """At least so many messages that fit, the newest first, and it may be more that are there by then. See `wait`."""
        __tracebackhide__ = True  # the test's own line tells more
        answer = self._control.get(
            f"{self._path}/wait",
            timeout_s=timeout or 0.0,  # without a bound the API refuses it, by its name
            to=to,
            subject=subject,
            from_=from_,
            count=count,
            timeout=timeout,
        )
        messages = [self._message(fields) for fields in answer["messages"]]
        if not answer["satisfied"]:
            asked = {"to": to, "subject": subject, "from": from_}
            given = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value is not None)
            wanted = f"{count} message(s) with {given or 'anything'}"
            raise NothingCameError(wanted, messages, answer["near_misses"], timeout, answer.get("complete", True))
        return messages

    def none(
        self,
        *,
        to: str | None = None,
        subject: str | None = None,
        from_: str | None = None,
        timeout: float = 1.0,
    ) -> None:
        """Assert that nothing that fits arrives for so long.

        Raises:
            AssertionError: Something did.
        """
        __tracebackhide__ = True  # the test's own line tells more
        answer = self._control.get(
            f"{self._path}/wait",
            timeout_s=timeout or 0.0,
            to=to,
            subject=subject,
            from_=from_,
            count=0,
            timeout=timeout,
        )
        if not answer["satisfied"]:
            came = [self._message(fields) for fields in answer["messages"]]
            raise AssertionError(f"it came: {came}" if came else CUT_SHORT)

    def all(self) -> list[Message]:
        """Every message, newest first."""
        return [self._message(fields) for fields in self._control.listed(self._path, limit=PAGE)]

    def _message(self, fields: dict[str, Any]) -> Message:
        return Message(
            id=fields["id"],
            subject=fields["subject"],
            sender=fields["from"],
            to=list(fields["to"]),
            account=fields["account"],
            mailbox=fields["mailbox"],
            fields=fields,
            _control=self._control,
            _path=f"{self._path}/{fields['id']}",
        )
