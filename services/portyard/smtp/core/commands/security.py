"""STARTTLS and AUTH."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from portyard.commons.effects import Authenticated, Effect, StartTls
from portyard.smtp.core import model
from portyard.smtp.core.commands.hello import MECHANISMS
from portyard.smtp.core.context import Context
from portyard.smtp.core.grammar import UNKNOWN_COMMAND
from portyard.smtp.core.model import PeerError, reply

_CANCELLED: Final = reply(501, "5.7.0", "authentication cancelled")
_NOT_BASE64: Final = reply(501, "5.5.2", "this is no base64")
_FAILED: Final = reply(535, "5.7.8", "authentication credentials invalid", name="bad_login")
_USERNAME, _PASSWORD = base64.b64encode(b"Username:").decode(), base64.b64encode(b"Password:").decode()


@dataclass(slots=True)
class Exchange:
    """An AUTH exchange under way: the mechanism, and the name once LOGIN has it."""

    mechanism: str
    name: str | None = None


async def starttls(context: Context, command: model.StartTls) -> Sequence[Effect]:
    """Upgrade (RFC 3207 §4)."""
    if not context.role.starttls:
        raise PeerError(UNKNOWN_COMMAND)
    if context.peer.tls:
        raise PeerError(reply(503, "5.5.1", "TLS runs already", name="order"))
    return (context.say(reply(220, "2.0.0", "ready to start TLS", name="starttls")), StartTls())


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the client says it is, not yet proved."""

    mechanism: str
    name: str
    password: str = field(repr=False)


async def auth(context: Context, command: model.Auth) -> Sequence[Effect]:
    """Begin an exchange; it may end at once with an initial response (RFC 4954 §4)."""
    initial = begin(context, command)
    return challenge(context) if initial is None else await respond(context, initial)


async def respond(context: Context, line: bytes) -> Sequence[Effect]:
    """The client's next word in the exchange. `context.exchange` is None once it has ended.

    Raises:
        PeerError: The exchange failed.
    """
    claim = await hear(context, line)
    return challenge(context) if claim is None else await verify(context, claim)


def begin(context: Context, command: model.Auth) -> bytes | None:
    """Begin an exchange; the initial response, None where there is none.

    Raises:
        PeerError: There can be none now.
    """
    if not context.role.auth:
        raise PeerError(UNKNOWN_COMMAND)
    if context.peer.account:
        raise PeerError(reply(503, "5.5.1", "authenticated already", name="order"))
    if not context.peer.esmtp:
        raise PeerError(reply(503, "5.5.1", "AUTH needs EHLO", name="order"))
    if context.role.require_tls and not context.peer.tls:
        raise PeerError(
            reply(538, "5.7.11", "encryption required for the requested authentication mechanism", name="no_plaintext")
        )
    if command.mechanism not in MECHANISMS:
        raise PeerError(reply(504, "5.5.4", "this mechanism isn't offered", name="mechanism"))
    context.exchange = Exchange(command.mechanism)
    if command.initial_response is None:
        return None
    return b"" if command.initial_response == "=" else command.initial_response.encode()  # RFC 4954 §4


def challenge(context: Context) -> Sequence[Effect]:
    """What the exchange asks next."""
    exchange = context.exchange
    assert isinstance(exchange, Exchange)
    if exchange.mechanism != "LOGIN":
        return (context.say(reply(334, "", "")),)
    return (context.say(reply(334, "", _USERNAME if exchange.name is None else _PASSWORD)),)


async def hear(context: Context, line: bytes) -> Claim | None:
    """The client's next word: what it claims, or None where more is to be asked. Its sandbox is joined as soon as a name is known.

    Raises:
        PeerError: The exchange is over.
    """
    exchange = context.exchange
    assert isinstance(exchange, Exchange)
    context.exchange = None
    if line == b"*":
        raise PeerError(_CANCELLED)  # RFC 4954 §4
    try:
        text = base64.b64decode(line, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise PeerError(_NOT_BASE64) from None
    if exchange.mechanism == "PLAIN":
        claim = _plain(text)
        await _join(context, claim.name)
        return claim
    if exchange.name is not None:
        return Claim("LOGIN", exchange.name, text)
    exchange.name = text
    context.exchange = exchange
    await _join(context, text)
    return None


async def verify(context: Context, claim: Claim) -> Sequence[Effect]:
    """Check the password.

    Raises:
        PeerError: It is wrong, or nobody has that name.
    """
    account = await context.accounts.verify(claim.name, claim.password)
    if account is None:
        raise PeerError(_FAILED)
    peer = context.peer
    peer.account, peer.sandbox, peer.generation = account.address, account.sandbox, account.generation
    succeeded = context.say(reply(235, "2.7.0", "authentication succeeded", name="logged_in"))
    return (Authenticated(account.address, claim.mechanism, account.sandbox), succeeded)


def _plain(text: str) -> Claim:
    """Message = [authzid] NUL authcid NUL passwd (RFC 4616 §2)."""
    parts = text.split("\0")
    if len(parts) != 3:
        raise PeerError(reply(501, "5.5.2", "a PLAIN response has three parts"))
    authzid, name, password = parts
    if authzid and authzid != name:  # nobody here may act for another
        raise PeerError(_FAILED)
    return Claim("PLAIN", name, password)


async def _join(context: Context, name: str) -> None:
    """The sandbox of an account, or of its domain, or the one before a slash: the name is claimed before it is proved."""
    account = await context.accounts.find(name)
    if account is not None:
        context.join(account.sandbox)
        return
    owner = await context.door.owner(name.rpartition("@")[2])
    if owner is None and "/" in name:
        owner = await context.door.owner(f"{name.partition('/')[0]}.test")  # which every sandbox owns
    if owner is not None:
        context.join(owner.name)
