"""EHLO, HELO, LHLO, and the commands that need nothing and change nothing: NOOP, RSET, VRFY, EXPN, HELP, QUIT."""

from __future__ import annotations

from collections.abc import Sequence

from portyard.commons.effects import Close, Effect
from portyard.commons.scenario.quirks import worded
from portyard.smtp.core import model
from portyard.smtp.core.context import Context
from portyard.smtp.core.grammar import VERBS
from portyard.smtp.core.model import PeerError, reply
from portyard.smtp.core.quirks import Extension

EXTENSIONS: tuple[Extension, ...] = (
    "PIPELINING",
    "SIZE",
    "STARTTLS",
    "AUTH",
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "SMTPUTF8",
    "HELP",
)
MECHANISMS = ("PLAIN", "LOGIN")


async def hello(context: Context, command: model.Ehlo | model.Helo | model.Lhlo) -> Sequence[Effect]:
    """Greet the peer by its name; what was under way is void (RFC 5321 §4.1.4)."""
    if isinstance(command, model.Lhlo) is not context.role.lmtp:
        wanted = "LHLO" if context.role.lmtp else "EHLO"
        raise PeerError(reply(500, "5.5.1", f"this server speaks {wanted}"))  # RFC 2033 §4.1
    context.transaction = None
    context.peer.hello = command.domain
    context.peer.esmtp = not isinstance(command, model.Helo)
    values = context.spelt({**context.facts, "command": context.command, "hello": command.domain})
    greeting = worded(context.quirks.replies, "hello", values, f"{context.role.host} greets {values['hello']}")
    extensions = capabilities(context) if context.peer.esmtp else ()
    return (context.say(model.Reply(250, "", (greeting, *extensions))),)  # no enhanced code here: RFC 2034 §4


def capabilities(context: Context) -> tuple[str, ...]:
    """What EHLO announces, all of it served, now."""
    role, encrypted, chosen = context.role, bool(context.peer.tls), context.quirks.extensions
    absent = set() if role.starttls and not encrypted else {"STARTTLS"}  # RFC 3207 §4.2
    if not role.auth or (role.require_tls and not encrypted):
        absent.add("AUTH")
    told = {"SIZE": f"SIZE {context.limits.message}", "AUTH": f"AUTH {' '.join(MECHANISMS)}"}
    return tuple(told.get(name, name) for name in (EXTENSIONS if chosen is None else chosen) if name not in absent)


async def noop(context: Context, command: model.Noop) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.9."""
    return (context.say(reply(250, "2.0.0", "ok", name="noop")),)


async def rset(context: Context, command: model.Rset) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.5."""
    context.transaction = None
    return (context.say(reply(250, "2.0.0", "flushed", name="rset")),)


async def vrfy(context: Context, command: model.Vrfy) -> Sequence[Effect]:
    """Neither yes nor no (RFC 5321 §3.5.3)."""
    return (
        context.say(reply(252, "2.5.0", "can't verify, but will take a message and try to deliver it", name="vrfy")),
    )


async def expn(context: Context, command: model.Expn) -> Sequence[Effect]:
    """There are no lists (RFC 5321 §4.2.4)."""
    raise PeerError(reply(502, "5.5.1", "EXPN isn't offered here"))


async def help_(context: Context, command: model.Help) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.8."""
    return (context.say(reply(214, "2.0.0", "commands:", " ".join(sorted(_served(context))))),)


async def quit_(context: Context, command: model.Quit) -> Sequence[Effect]:
    """RFC 5321 §4.1.1.10."""
    context.transaction = None
    return (context.say(reply(221, "2.0.0", f"{context.role.host} closes the connection", name="quit")), Close())


def _served(context: Context) -> set[str]:
    absent = {"EHLO", "HELO"} if context.role.lmtp else {"LHLO"}
    if not context.role.auth:
        absent.add("AUTH")
    if not context.role.starttls:
        absent.add("STARTTLS")
    return set(VERBS) - absent - {"EXPN"}
