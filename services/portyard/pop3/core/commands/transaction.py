"""The answers after the login (RFC 1939 §5, §6, §7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from portyard.commons.effects import Close, Effect, Send
from portyard.commons.mailstore.model import Message
from portyard.commons.scenario.obeying import interrupted
from portyard.pop3.core.grammar import print_reply
from portyard.pop3.core.maildrop import PIECE, Maildrop
from portyard.pop3.core.model import Dele, List, Noop, PeerError, Quit, Reply, Retr, Rset, Stat, Top, Uidl

if TYPE_CHECKING:
    from portyard.pop3.core.session import Session


def _drop(session: Session) -> Maildrop:
    assert session.maildrop is not None, "TRANSACTION has a maildrop"
    return session.maildrop


def _ok(text: str) -> Send:
    return Send(print_reply(Reply(True, text)))


async def stat(session: Session, command: Stat) -> AsyncIterator[Effect]:
    """RFC 1939 §5: "+OK", messages, octets; marked messages aren't counted."""
    remaining = _drop(session).remaining()
    yield _ok(f"{len(remaining)} {sum(_drop(session).size(message) for _, message in remaining)}")


async def list_(session: Session, command: List) -> AsyncIterator[Effect]:
    """RFC 1939 §5: scan listings."""
    drop = _drop(session)
    if command.message is not None:
        yield _ok(f"{command.message} {drop.size(drop.message(command.message))}")
        return
    remaining, totals = drop.remaining(), drop.totals()
    yield session.ok("list", f"{totals['messages']} messages ({totals['octets']} octets)", **totals)
    for send in _listing((f"{number} {drop.size(message)}" for number, message in remaining)):
        yield send


async def uidl(session: Session, command: Uidl) -> AsyncIterator[Effect]:
    """RFC 1939 §7: unique-id listings."""
    drop = _drop(session)
    if command.message is not None:
        yield _ok(f"{command.message} {drop.unique_id(drop.message(command.message))}")
        return
    yield session.ok("uidl", "unique-id listing follows", messages=len(drop.remaining()))
    for send in _listing((f"{number} {drop.unique_id(message)}" for number, message in drop.remaining())):
        yield send


def _listing(lines: Any) -> list[Send]:  # noqa: ANN401 - any iterable of str
    """Lines with their terminator, in pieces, so that a huge listing is drained between."""
    sends: list[Send] = []
    piece = bytearray()
    for line in lines:
        piece += line.encode() + b"\r\n"
        if len(piece) > PIECE:
            sends.append(Send(bytes(piece)))
            piece.clear()
    sends.append(Send(bytes(piece) + b".\r\n"))
    return sends


async def retr(session: Session, command: Retr) -> AsyncIterator[Effect]:
    """RFC 1939 §5: the whole message."""
    drop = _drop(session)
    message = drop.message(command.message)
    drop.retrieved.add(command.message)
    yield session.ok("retr", f"{drop.size(message)} octets", octets=drop.size(message))
    async for send in _message(session, message, None):
        yield send


async def top(session: Session, command: Top) -> AsyncIterator[Effect]:
    """RFC 1939 §7: the header, a blank line and some lines of the body."""
    message = _drop(session).message(command.message)
    yield session.ok("top", "top of message follows")
    async for send in _message(session, message, command.lines):
        yield send


async def _message(session: Session, message: Message, lines: int | None) -> AsyncIterator[Effect]:
    note: str | None = f"«message, {message.size} octets»"
    sent, gate = 0, session.house.gate
    async for piece in _drop(session).stuffed(message, lines):
        if gate is not None and gate.heeds("message", {"octets": sent}, event=sent):
            async for effect in interrupted(gate, "message", octets=sent):
                yield effect
        if piece.endswith(b".\r\n") and len(piece) <= 5:
            yield Send(piece, note=".")
        else:
            yield Send(piece, note=note)
            note = ""
        sent += len(piece)


async def dele(session: Session, command: Dele) -> AsyncIterator[Effect]:
    """RFC 1939 §5: mark; it goes at QUIT."""
    _drop(session).message(command.message)
    _drop(session).deleted.add(command.message)
    yield session.ok("dele", f"message {command.message} deleted", message=command.message)


async def noop(session: Session, command: Noop) -> AsyncIterator[Effect]:
    """RFC 1939 §5."""
    yield session.ok("noop", "")


async def rset(session: Session, command: Rset) -> AsyncIterator[Effect]:
    """RFC 1939 §5: unmark all."""
    drop = _drop(session)
    drop.deleted.clear()
    yield session.ok("rset", f"maildrop has {len(drop.messages)} messages", **drop.totals())


async def quit_(session: Session, command: Quit) -> AsyncIterator[Effect]:
    """RFC 1939 §6: remove what is marked, release the lock, say goodbye."""
    drop = session.maildrop
    try:
        if drop is not None:
            await drop.update()
    except Exception as error:
        session.release()
        raise PeerError("some deleted messages not removed", "SYS/TEMP") from error
    session.machine.succeeded(command)
    session.release()
    if drop is None:
        yield session.ok("goodbye", "Portyard POP3 signing off")
    else:
        ended = await session.why_ended()
        left, gone = 0 if ended else len(drop.remaining()), len(drop.deleted)
        told = f"the {ended}" if ended else f"{left} messages left"
        yield session.ok("quit", f"Portyard POP3 signing off ({told})", messages=left, deleted=gone)
    yield Close()


HANDLERS: dict[type, Callable[[Session, Any], AsyncIterator[Effect]]] = {
    Stat: stat,
    List: list_,
    Uidl: uidl,
    Retr: retr,
    Top: top,
    Dele: dele,
    Noop: noop,
    Rset: rset,
    Quit: quit_,
}
