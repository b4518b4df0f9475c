"""Sessions without a journal: they keep nothing, and what a room does only so that the journal can show it isn't done either.

A session is one or the other from its beginning to its end, and all that is done for it is decided when it begins: beside one without a
journal, one with it is as it always is. Each seam stands here by its name, so that one that the product moves away is missed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portyard.commons import conversation, hosted_protocol
from portyard.commons.journal.store import StoredJournal
from portyard.commons.journal.unheard import UnheardLog
from portyard.dns import edge as dns
from portyard.dns.core import resolver
from portyard.ftp.session import Session as FtpSession
from portyard.ssh.files import Files


def install(is_off: Callable[[], bool]) -> None:
    """Have the sessions that begin while `is_off` says so keep nothing."""
    opened = StoredJournal.open_session

    def open_session(self: StoredJournal, **known: Any) -> Any:  # noqa: ANN401 - a pen of either kind
        return UnheardLog(known.get("closed") or _nothing) if is_off() else opened(self, **known)

    StoredJournal.open_session = open_session  # type: ignore[method-assign]
    _behind(conversation.Conversation, _quiet_conversation)
    _behind(hosted_protocol.HostedProtocol, _quiet_exchanges)
    _behind(FtpSession, _quiet_commands)
    _behind(Files, _quiet_files)
    _quiet_queries(is_off)


def seams() -> list[tuple[object, str]]:
    """What is put out of use, and where it stands: all of it has to be there."""
    return [
        (conversation.Conversation, "_remember"),
        (conversation.Conversation, "_write_down"),
        (hosted_protocol, "note_request"),
        (hosted_protocol, "BodyNotes"),
        (FtpSession, "note_command"),
        (FtpSession, "_note_reply"),
        (dns, "asked_text"),
        (resolver, "asked_text"),
        (resolver, "reply_text"),
    ]


def _behind(cls: type, quiet: Callable[[Any], None]) -> None:
    """Have something done to an object that was made."""
    made: Callable[..., None] = cls.__init__  # type: ignore[misc]

    def make(self: object, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as the class takes them
        made(self, *args, **named)
        quiet(self)

    cls.__init__ = make  # type: ignore[misc]


def _quiet_conversation(talk: Any) -> None:  # noqa: ANN401 - its own are put out of use
    if isinstance(talk._log, UnheardLog):
        talk._remember = talk._write_down = talk._session.transcript = _nothing


def _quiet_exchanges(protocol: Any) -> None:  # noqa: ANN401
    if isinstance(protocol.connection.log, UnheardLog):
        protocol.journalled = False
        protocol.bodies = _NoBodies()


class _NoBodies:
    """Stands for the notes of bodies (hosting_bodies.BodyNotes)."""

    coded = False
    content = None

    def asked(self, content: object) -> None:
        """Nothing is kept of a request's body."""

    def came(self, octets: bytes) -> bool:
        """No more of it is of interest."""
        return False

    def received(self) -> None:
        """Nothing is noted of it."""

    def sent(self, chunk: object) -> None:
        """Nothing is kept of a response's."""

    def ended(self, chunk: object, fields: object) -> None:
        """Nothing is noted of it."""

    def close(self) -> None:
        """Nothing is left."""


def _quiet_commands(session: Any) -> None:  # noqa: ANN401
    if isinstance(session.pen, UnheardLog):
        session.note_command = session._note_reply = _nothing


def _quiet_files(files: Any) -> None:  # noqa: ANN401
    if isinstance(files._pen, UnheardLog):
        files._told = False


def _quiet_queries(is_off: Callable[[], bool]) -> None:
    """Queries are sessions of their own, one as short as the other: what is asked of them is asked each time."""
    for module, name in ((dns, "asked_text"), (resolver, "asked_text"), (resolver, "reply_text")):
        told: Callable[..., str] = getattr(module, name)
        setattr(module, name, lambda *values, told=told: "" if is_off() else told(*values))


def _nothing(*_: object) -> Any:  # noqa: ANN401 - it stands for several
    return ""
