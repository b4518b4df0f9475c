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
from portyard.commons.scenario.vocabulary import Scalar
from portyard.pop3.core.model import Apop, Auth, Capa, Pass, PeerError, Stls, User
from portyard.pop3.core.quirks import Capability

if TYPE_CHECKING:
    from portyard.pop3.core.session import Session

MECHANISMS = ("PLAIN",)
CAPABILITIES: tuple[Capability, ...] = (
    "TOP",
    "UIDL",
    "RESP-CODES",
    "AUTH-RESP-CODE",
    "PIPELINING",
    "EXPIRE",
    "IMPLEMENTATION",
    "STLS",
    "USER",
    "SASL",
)


async def user(session: Session, command: User) -> AsyncIterator[Effect]:
    """RFC 1939 §7: any name is welcome, so that names can't be probed."""
    session.check_privacy()
    session.name = command.name
    session.machine.succeeded(command)
    yield session.ok("user", "send the password")


async def pass_(session: Session, command: Pass) -> AsyncIterator[Effect]:
    """RFC 1939 §7."""
    assert session.name is not None, "the state lets PASS follow USER only"
    account = await session.house.accounts.verify(session.login_of(session.name), command.string)
    async for effect in session.log_in(account, "USER", command):
        yield effect


async def apop(session: Session, command: Apop) -> AsyncIterator[Effect]:
    """RFC 1939 §7: MD5 of the timestamp followed by the shared secret."""
    account = await session.house.accounts.find(session.login_of(command.name))
    password = account.password if account is not None else ""
    wanted = hashlib.md5((session.house.timestamp + password).encode(), usedforsecurity=False).hexdigest()
    right = hmac.compare_digest(wanted, command.digest) and account is not None
    async for effect in session.log_in(account if right else None, "APOP", command):
        yield effect


async def auth(session: Session, command: Auth) -> AsyncIterator[Effect]:
    """RFC 5034 §4; without an argument the mechanisms are listed, as clients older than CAPA expect."""
    if command.mechanism is None:
        listing = "".join(f"{name}\r\n" for name in MECHANISMS).encode()
        yield Send(session.ok("mechanisms", "mechanisms follow").data + listing + b".\r\n")
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
        case Challenge(data, authcid):
            if authcid:
                async for effect in session.claim(session.login_of(authcid)):
                    yield effect
            yield Send(b"+ " + encode_line(data) + b"\r\n")
        case Malformed(reason):
            session.mechanism = None
            raise PeerError(reason)
        case Claim() as claim:
            session.mechanism = None
            login = session.login_of(claim.authcid)
            async for effect in session.claim(login):
                yield effect
            command = Auth(session.mechanism_name)
            fields: dict[str, Scalar] = {"mechanism": session.mechanism_name, "login": login}
            async for effect in session.proved(command, _proved(session, command, login, claim), fields):
                yield effect


async def _proved(session: Session, command: Auth, login: str, claim: Claim) -> AsyncIterator[Effect]:
    """Log in whoever proves to be who it claims to be."""
    account = await session.house.accounts.verify(login, claim.password)
    if account is not None and not acts_as_itself(claim, account.address):
        account = None
    async for effect in session.log_in(account, session.mechanism_name, command):
        yield effect


async def capa(session: Session, command: Capa) -> AsyncIterator[Effect]:
    """RFC 2449 §5: what is served now."""
    chosen = session.quirks.capabilities
    names = CAPABILITIES if chosen is None else chosen
    expire = "EXPIRE 0" if session.quirks.retrieved_once else "EXPIRE NEVER"  # RFC 2449 §6.7
    told = {"EXPIRE": expire, "IMPLEMENTATION": "IMPLEMENTATION Portyard", "SASL": f"SASL {' '.join(MECHANISMS)}"}
    absent = _unusable(session) | set(session.quirks.missing)  # a command's capability has its name
    listing = "".join(f"{told.get(name, name)}\r\n" for name in names if name not in absent).encode()
    yield Send(session.ok("capa", "capabilities follow").data + listing + b".\r\n")


def _unusable(session: Session) -> set[str]:
    """Capabilities that mean something before a login only, and some of them only with TLS or without."""
    if session.account is not None:
        return {"STLS", "USER", "SASL"}
    absent = set() if session.may_log_in else {"USER", "SASL"}
    return absent if session.house.upgradable and not session.tls else absent | {"STLS"}


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
