"""EHLO, HELO, LHLO, and the commands that need nothing and change nothing: NOOP, RSET, VRFY, EXPN, HELP, QUIT."""

from __future__ import annotations

from collections.abc import Sequence

from portyard.commons.effects import Close, Effect
from portyard.smtp.core import model
from portyard.smtp.core.context import Context, say
from portyard.smtp.core.grammar import VERBS
from portyard.smtp.core.model import PeerError, reply

MECHANISMS = ("PLAIN", "LOGIN")


async def hello(context: Context, command: model.Ehlo | model.Helo | model.Lhlo) -> Sequence[Effect]:
    """Greet the peer by its name; what was under way is void (RFC 5321 §4.1.4)."""
    if isinstance(command, model.Lhlo) is not context.role.lmtp:
        wanted = "LHLO" if context.role.lmtp else "EHLO"
        raise PeerError(reply(500, "5.5.1", f"this server speaks {wanted}"))  # RFC 2033 §4.1
    context.transaction = None
    context.peer.hello = command.domain
    context.peer.esmtp = not isinstance(command, model.Helo)
    greeting = f"{context.role.host} greets {command.domain}"
    extensions = capabilities(context) if context.peer.esmtp else ()
    return (say(model.Reply(250, "", (greeting, *extensions))),)  # no enhanced code here: RFC 2034 §4


def capabilities(context: Context) -> tuple[str, ...]:
    """What EHLO announces, all of it served, now."""
    role, encrypted = context.role, bool(context.peer.tls)
    found = ["PIPELINING", f"SIZE {context.limits.message}"]
    if role.starttls and not encrypted:  # RFC 3207 §4.2
        found.append("STARTTLS")
    if role.auth and (encrypted or not role.require_tls):
        found.append("AUTH " + " ".join(MECHANISMS))
    return (*found, "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "HELP")


async def noop(context: Context, command: model.Noop) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.9."""
    return (say(reply(250, "2.0.0", "ok")),)


async def rset(context: Context, command: model.Rset) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.5."""
    context.transaction = None
    return (say(reply(250, "2.0.0", "flushed")),)


async def vrfy(context: Context, command: model.Vrfy) -> Sequence[Effect]:
    """Neither yes nor no (RFC 5321 §3.5.3)."""
    return (say(reply(252, "2.5.0", "can't verify, but will take a message and try to deliver it")),)


async def expn(context: Context, command: model.Expn) -> Sequence[Effect]:
    """There are no lists (RFC 5321 §4.2.4)."""
    raise PeerError(reply(502, "5.5.1", "EXPN isn't offered here"))


async def help_(context: Context, command: model.Help) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.8."""
    return (say(reply(214, "2.0.0", "commands:", " ".join(sorted(_served(context))))),)


async def quit_(context: Context, command: model.Quit) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.10."""
    context.transaction = None
    return (say(reply(221, "2.0.0", f"{context.role.host} closes the connection")), Close())


def _served(context: Context) -> set[str]:
    absent = {"EHLO", "HELO"} if context.role.lmtp else {"LHLO"}
    if not context.role.auth:
        absent.add("AUTH")
    if not context.role.starttls:
        absent.add("STARTTLS")
    return set(VERBS) - absent - {"EXPN"}
