"""The answers before the login, and CAPA, which may come at any time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from portyard.commons.accounts.sasl import (
    Cancelled,
    Challenge,
    Claim,
    Malformed,
    acts_as_itself,
    decode_initial,
    decode_line,
    encode_line,
    mechanism,
)
from portyard.commons.effects import Effect, Send
from portyard.pop3.core.grammar import print_reply
from portyard.pop3.core.model import Apop, Auth, Capa, Pass, PeerError, Reply, Stls, User

if TYPE_CHECKING:
    from portyard.pop3.core.session import Session

MECHANISMS = ("PLAIN",)


async def user(session: Session, command: User) -> AsyncIterator[Effect]:
    """RFC 1939 §7: any name is welcome, so that names can't be probed."""
    session.check_privacy()
    session.name = command.name
    session.machine.succeeded(command)
    yield Send(print_reply(Reply(True, "send the password")))


async def pass_(session: Session, command: Pass) -> AsyncIterator[Effect]:
    """RFC 1939 §7."""
    assert session.name is not None, "the state lets PASS follow USER only"
    account = await session.house.accounts.verify(session.name, command.string)
    async for effect in session.log_in(account, "USER", command):
        yield effect


async def apop(session: Session, command: Apop) -> AsyncIterator[Effect]:
    """RFC 1939 §7: MD5 of the timestamp followed by the shared secret."""
    account = await session.house.accounts.find(command.name)
    password = account.password if account is not None else ""
    wanted = hashlib.md5((session.house.timestamp + password).encode(), usedforsecurity=False).hexdigest()
    right = hmac.compare_digest(wanted, command.digest) and account is not None
    async for effect in session.log_in(account if right else None, "APOP", command):
        yield effect


async def auth(session: Session, command: Auth) -> AsyncIterator[Effect]:
    """RFC 5034 §4; without an argument the mechanisms are listed, as clients older than CAPA expect."""
    if command.mechanism is None:
        listing = "".join(f"{name}\r\n" for name in MECHANISMS).encode()
        yield Send(print_reply(Reply(True, "mechanisms follow")) + listing + b".\r\n")
        return
    if command.mechanism not in MECHANISMS:
        raise PeerError(f"no such mechanism; known are {', '.join(MECHANISMS)}")
    session.check_privacy()
    initial = None
    if command.initial_response is not None:
        initial = _decoded(decode_initial, command.initial_response.encode())
    session.mechanism = mechanism(command.mechanism)
    session.mechanism_name = command.mechanism
    async for effect in _step(session, initial):
        yield effect


async def respond(session: Session, line: bytes) -> AsyncIterator[Effect]:
    """A line of the client's while a mechanism runs (RFC 5034 §4); "*" cancels."""
    try:
        response = _decoded(decode_line, line)
    except PeerError:
        session.mechanism = None
        raise
    async for effect in _step(session, response):
        yield effect


def _decoded(decode: Callable[[bytes], bytes], line: bytes) -> bytes:
    try:
        return decode(line)
    except Cancelled:
        raise PeerError("authentication cancelled") from None
    except ValueError as error:
        raise PeerError(str(error)) from None


async def _step(session: Session, response: bytes | None) -> AsyncIterator[Effect]:
    assert session.mechanism is not None, "a mechanism runs"
    match session.mechanism.step(response):
        case Challenge(data):
            yield Send(b"+ " + encode_line(data) + b"\r\n")
        case Malformed(reason):
            session.mechanism = None
            raise PeerError(reason)
        case Claim() as claim:
            session.mechanism = None
            account = await session.house.accounts.verify(claim.authcid, claim.password)
            if account is not None and not acts_as_itself(claim, account.address):
                account = None
            async for effect in session.log_in(account, session.mechanism_name, Auth(session.mechanism_name)):
                yield effect


async def capa(session: Session, command: Capa) -> AsyncIterator[Effect]:
    """RFC 2449 §5: what is served now."""
    names = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "IMPLEMENTATION Portyard"]
    if session.account is None:
        if session.house.upgradable and not session.tls:
            names.append("STLS")
        if session.tls or not session.house.require_tls:
            names += ["USER", f"SASL {' '.join(MECHANISMS)}"]
    listing = "".join(f"{name}\r\n" for name in names).encode()
    yield Send(print_reply(Reply(True, "capabilities follow")) + listing + b".\r\n")


async def stls(session: Session, command: Stls) -> AsyncIterator[Effect]:
    """RFC 2595 §4."""
    if session.tls:
        raise PeerError("TLS is active already")
    if not session.house.upgradable:
        raise PeerError("TLS is not to be had here")
    session.machine.succeeded(command)
    async for effect in session.start_tls():
        yield effect


HANDLERS: dict[type, Callable[[Session, Any], AsyncIterator[Effect]]] = {
    User: user,
    Pass: pass_,
    Apop: apop,
    Auth: auth,
    Capa: capa,
    Stls: stls,
}
