"""Who is there: CAPABILITY, ID, LOGOUT, STARTTLS, LOGIN, AUTHENTICATE, ENABLE (RFC 3501 §6.1, §6.2; RFC 2971; RFC 5161)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from portyard.commons.accounts import sasl
from portyard.commons.accounts.model import Account
from portyard.commons.effects import Authenticated, Close, Pause, StartTls
from portyard.commons.scenario.obeying import interrupted
from portyard.commons.scenario.quirks import worded
from portyard.commons.scenario.templates import fill
from portyard.imap.core.context import Answer, Claimed, Context, Dialogue
from portyard.imap.core.model import Authenticate, Capability, Enable, Id, Login, Logout, Starttls
from portyard.imap.core.replies import Refusal, Tagged, status_line, string

PRIVACY = ("Log in only after STARTTLS", "PRIVACYREQUIRED")  # RFC 5530 §3


async def capability(context: Context, _command: Capability) -> AsyncIterator[Answer]:
    """CAPABILITY (§6.1.1)."""
    yield b"* CAPABILITY " + context.capabilities().encode() + b"\r\n"
    yield Tagged("OK", "Capability completed")


async def identify(context: Context, _command: Id) -> AsyncIterator[Answer]:
    """ID (RFC 2971 §3.1)."""
    told = context.quirks.identity
    if told is None:
        told = {"name": "Portyard"} | ({"version": context.offer.version} if context.offer.version else {})
    fields = [part.encode() for name, value in told.items() for part in (name, fill(value, context.offer.facts))]
    yield b"* ID (" + b" ".join(map(string, fields)) + b")\r\n"
    yield Tagged("OK", "ID completed")


async def logout(context: Context, _command: Logout) -> AsyncIterator[Answer]:
    """LOGOUT (§6.1.3): BYE, then OK."""
    yield status_line("*", "BYE", worded(context.quirks.replies, "leaving", context.offer.facts, "Logging out"))
    yield Tagged("OK", "Logout completed", then=(Close(),))


async def starttls(context: Context, _command: Starttls) -> AsyncIterator[Answer]:
    """STARTTLS (§6.2.1)."""
    if context.secure:
        raise Refusal("TLS is active already", status="BAD")
    if not context.offer.starttls:
        raise Refusal("STARTTLS isn't offered here", status="BAD")
    yield Tagged("OK", "Begin TLS negotiation now", then=(StartTls(),), name="starttls")


async def enable(_context: Context, _command: Enable) -> AsyncIterator[Answer]:
    """ENABLE (RFC 5161 §3.1): what is unknown or needs no enabling is passed over, and so far everything is."""
    yield b"* ENABLED\r\n"
    yield Tagged("OK", "Enable completed")


async def login(context: Context, command: Login) -> AsyncIterator[Answer]:
    """LOGIN (§6.2.3)."""

    async def proved() -> AsyncIterator[Answer]:
        _check_privacy(context)
        try:
            account = await context.accounts.verify(command.user.decode(), command.password.decode())
        except UnicodeDecodeError:
            account = None  # nobody has such a name
        async for answer in _welcome(context, account, "LOGIN"):
            yield answer

    yield Claimed(command.user.decode("utf-8", "replace"), "LOGIN", proved())


def _check_privacy(context: Context) -> None:
    """Refuse a login in plaintext where TLS is required."""
    if not context.may_log_in:
        raise Refusal(*PRIVACY)


async def authenticate(context: Context, command: Authenticate) -> AsyncIterator[Answer]:
    """AUTHENTICATE (§6.2.2), with an initial response if the client has one (RFC 4959)."""
    exchange = sasl.mechanism(command.mechanism)
    if exchange is None:
        raise Refusal("Unknown mechanism", "CANNOT")
    if command.initial is None:
        _check_privacy(context)
    initial = None if command.initial is None else _decoded(sasl.decode_initial, command.initial)
    async for answer in _step(context, command.mechanism, exchange, initial):
        yield answer


async def _step(context: Context, name: str, exchange: sasl.Mechanism, response: bytes | None) -> AsyncIterator[Answer]:
    """One step of a SASL exchange: another challenge, or the end."""

    async def next_step(line: bytes) -> AsyncIterator[Answer]:
        async for answer in _step(context, name, exchange, _decoded(sasl.decode_line, line)):
            yield answer

    match exchange.step(response):
        case sasl.Challenge(data, authcid):
            if authcid:
                yield Claimed(authcid, name)
            _check_privacy(context)
            async for effect in interrupted(context.gate, "challenge", mechanism=name):
                yield effect
            yield b"+ " + sasl.encode_line(data) + b"\r\n"
            yield Dialogue(next_step, secret=True)
        case sasl.Claim() as claim:
            yield Claimed(claim.authcid, name, _proved(context, name, claim))
        case sasl.Malformed(reason):
            raise Refusal(reason, status="BAD")


async def _proved(context: Context, name: str, claim: sasl.Claim) -> AsyncIterator[Answer]:
    _check_privacy(context)
    account = await context.accounts.verify(claim.authcid, claim.password)
    if account is not None and not sasl.acts_as_itself(claim, account.address):
        raise Refusal("No right to act as somebody else", "AUTHORIZATIONFAILED")  # RFC 5530 §3
    async for answer in _welcome(context, account, name):
        yield answer


def _decoded(decode: Callable[[bytes], bytes], line: bytes) -> bytes:
    try:
        return decode(line)
    except sasl.Cancelled:
        raise Refusal("Authentication cancelled", status="BAD") from None  # §6.2.2
    except ValueError as error:
        raise Refusal(f"{error}", status="BAD") from None


async def _welcome(context: Context, account: Account | None, mechanism: str) -> AsyncIterator[Answer]:
    quirks = context.quirks
    if account is None:
        if quirks.failed_login_delay_s:
            yield Pause(quirks.failed_login_delay_s)
        raise Refusal("Wrong user or password", "AUTHENTICATIONFAILED")  # RFC 5530 §3
    if not context.offer.seats.take(account.id, context, quirks.limits.connections):
        raise Refusal("Too many sessions of this account", "LIMIT", name="connections")  # RFC 5530 §3
    context.account = account
    yield Authenticated(account.address, mechanism, account.sandbox)
    if "before-login-ok" in quirks.tells_capabilities:
        yield b"* CAPABILITY " + context.capabilities().encode() + b"\r\n"
    code = f"CAPABILITY {context.capabilities()}" if "login" in quirks.tells_capabilities else None
    yield Tagged("OK", "Logged in", code, name="logged_in")
