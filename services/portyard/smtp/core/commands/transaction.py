"""MAIL, RCPT, DATA and the message itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portyard.commons.effects import Effect, Expect, Note
from portyard.commons.events import DotBlock
from portyard.commons.mailstore.model import StoreFullError
from portyard.smtp.core import model, trace
from portyard.smtp.core.context import Context
from portyard.smtp.core.framing import MessageData
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.hop import KEYWORD, parse_hop, parse_taker
from portyard.smtp.core.model import Parameter, PeerError, Reply, Transaction, about, reply
from portyard.smtp.core.quirks import EXTENSION_OF

TOO_LARGE = reply(552, "5.3.4", "the message passes the size limit", name="too_large")
STORE_FULL = reply(452, "4.3.1", "no room to store the message")


async def mail(context: Context, command: model.Mail) -> Sequence[Effect]:
    """Begin a transaction (RFC 5321 §4.1.1.2)."""
    context.part()
    _demand_identity(context)
    transaction = Transaction(command.reverse_path, "")
    for parameter in command.parameters:
        read = _PARAMETERS.get(parameter.keyword)
        if read is None or _unserved(context, parameter):
            raise PeerError(_unknown_parameter(parameter))
        read(context, transaction, parameter)
    _demand_utf8(transaction, command.reverse_path)
    transaction.id = transaction.hop.id if transaction.hop else context.mint()
    await context.door.sender(context.peer, transaction)
    context.transaction = transaction
    return (context.say(reply(250, "2.1.0", "sender ok", name="sender")),)


async def rcpt(context: Context, command: model.Rcpt) -> Sequence[Effect]:
    """Add a recipient (RFC 5321 §4.1.1.3)."""
    transaction = context.transaction
    assert transaction is not None, "the state table admits RCPT only after MAIL"
    try:
        taker = _taker(context, transaction, command.parameters)
        _demand_utf8(transaction, command.forward_path)
        if len(transaction.recipients) >= context.limits.recipients:  # RFC 5321 §4.5.3.1.10
            raise PeerError(reply(452, "4.5.3", "too many recipients", name="recipients"))
        recipient = await context.door.recipient(context.peer, transaction, command.forward_path, taker)
    except PeerError as error:
        transaction.refused += 1
        await claimed(context, command)
        error.reply = about(error.reply, recipient=print_mailbox(command.forward_path))
        raise
    finally:
        transaction.looked = None
    transaction.recipients.append(recipient)
    address = print_mailbox(command.forward_path)
    if not recipient.late:
        context.join(recipient.sandbox)
    return (context.say(reply(250, "2.1.5", "recipient ok", name="recipient", recipient=address)),)


async def claimed(context: Context, command: model.Rcpt) -> str | None:
    """The sandbox that a recipient names; the session joins it, whether or not the recipient is taken. See `named`."""
    sandbox = await named(context, command)
    if sandbox is not None:
        context.join(sandbox)
    return sandbox


async def named(context: Context, command: model.Rcpt) -> str | None:
    """The sandbox that a recipient names.

    None where it was reset since the hop before took the recipient: what is late for it is nothing of its present one.
    """
    transaction = context.transaction
    hop = transaction.hop if transaction else None
    taker = _told_taker(context, hop, command.parameters)
    if context.role.auth:
        sandbox = context.peer.sandbox or context.peer.home  # the submitter's
    elif taker is not None:
        sandbox = taker.sandbox
    elif context.role.lmtp and hop:
        sandbox = hop.sandbox
    else:
        domain = command.forward_path.domain
        owner = await context.door.owner(domain)
        if transaction is not None:
            transaction.looked = (domain, owner)
        sandbox = owner.name if owner else hop.sandbox if hop else context.peer.home
    known = taker or (model.Taker(hop.sandbox, hop.generation) if hop and hop.sandbox == sandbox else None)
    return sandbox if known is None or await context.door.stands(known) else None


async def data(context: Context, command: model.Data) -> Sequence[Effect]:
    """Ask for the message (RFC 5321 §4.1.1.4)."""
    transaction = context.transaction
    assert transaction is not None, "the state table admits DATA only after RCPT"
    go_ahead = reply(354, "", "send the message, end it with a lone dot", name="go_ahead")
    return (Expect(MessageData(context.limits.message)), context.say(go_ahead))


def no_recipients(context: Context) -> Reply:
    """What DATA gets where every RCPT was refused (RFC 5321 §3.3; RFC 2033 §4.2 wants 503)."""
    refused = context.transaction is not None and context.transaction.refused
    code = 554 if refused and not context.role.lmtp else 503
    return reply(code, "5.5.1", "no valid recipients", name="no_recipients")


async def message(context: Context, block: DotBlock) -> Sequence[Effect]:
    """Take the message over, or refuse it; the transaction ends either way (RFC 5321 §4.1.1.4)."""
    transaction, context.transaction = context.transaction, None
    assert transaction is not None, "message data comes only in a transaction"
    try:
        _inspect(block)
        answers = await context.door.accept(context.peer, transaction, block.data)
    except PeerError as error:
        answers = (error.reply,)
    except StoreFullError:
        answers = (STORE_FULL,)
    if context.role.lmtp and len(answers) != len(transaction.recipients):
        answers = (answers[0],) * len(transaction.recipients)  # RFC 2033 §4.2: one reply for each
    note: dict[str, object] = {
        "id": transaction.id,
        "sender": print_mailbox(transaction.reverse_path),
        "recipients": [print_mailbox(recipient.mailbox) for recipient in transaction.recipients],
        "octets": block.size,
    }
    return (Note("data", note), *(context.say(answer) for answer in answers))


def _inspect(block: DotBlock) -> None:
    """Refuse what must not be passed on."""
    if block.too_large:
        raise PeerError(TOO_LARGE)  # RFC 1870 §6.1
    if (
        block.bare_lf or block.bare_cr
    ):  # RFC 5321 §2.3.8: CR and LF only together; anything else is how smuggling starts
        raise PeerError(reply(550, "5.6.0", f"the message holds a bare {'LF' if block.bare_lf else 'CR'}"))
    if b"\0" in block.data:  # RFC 5322 §4: NUL must not be in a message
        raise PeerError(reply(550, "5.6.0", "the message holds a NUL"))
    if trace.hops(block.data) > trace.LOOP_LIMIT:
        raise PeerError(reply(554, "5.4.6", "the message goes round in circles: too many Received fields"))


def _demand_identity(context: Context) -> None:
    if context.role.require_tls and not context.peer.tls:
        raise PeerError(reply(530, "5.7.0", "must issue a STARTTLS command first", name="needs_tls"))  # RFC 3207 §4
    if context.role.auth and not context.peer.account:
        raise PeerError(reply(530, "5.7.0", "authentication required", name="needs_login"))  # RFC 4954 §6


def _demand_utf8(transaction: Transaction, mailbox: model.Mailbox) -> None:
    if not mailbox.is_ascii and not transaction.smtputf8:  # RFC 6531 §3.5
        raise PeerError(reply(553, "5.6.7", "an address beyond ASCII needs the SMTPUTF8 parameter"))


def _unknown_parameter(parameter: Parameter) -> Reply:
    return reply(555, "5.5.4", f"parameter {parameter.keyword} isn't recognised")  # RFC 5321 §4.1.1.11


def _unserved(context: Context, parameter: Parameter) -> bool:
    extension = EXTENSION_OF.get(parameter.keyword)
    return extension is not None and context.quirks.lacks(extension)


def _bad_value(parameter: Parameter) -> PeerError:
    return PeerError(reply(501, "5.5.4", f"parameter {parameter.keyword} has a wrong value"))


def _size(context: Context, transaction: Transaction, parameter: Parameter) -> None:
    value = parameter.value or ""
    if not (value.isascii() and value.isdecimal() and len(value) <= 20):  # size-value = 1*20DIGIT, RFC 1870 §6
        raise _bad_value(parameter)
    if int(value) > context.limits.message:
        raise PeerError(TOO_LARGE)


def _body(context: Context, transaction: Transaction, parameter: Parameter) -> None:
    value = (parameter.value or "").upper()
    if value not in ("7BIT", "8BITMIME"):  # RFC 6152 §2
        raise _bad_value(parameter)
    transaction.eight_bit = value == "8BITMIME"


def _smtputf8(context: Context, transaction: Transaction, parameter: Parameter) -> None:
    if parameter.value is not None:  # RFC 6531 §3.4
        raise _bad_value(parameter)
    transaction.smtputf8 = True


def _auth(context: Context, transaction: Transaction, parameter: Parameter) -> None:
    """Who the submitter says is behind the message (RFC 4954 §5); we vouch for nobody, so it is read and left."""
    if not context.role.auth:
        raise PeerError(_unknown_parameter(parameter))
    if not parameter.value:
        raise _bad_value(parameter)


def _hop(context: Context, transaction: Transaction, parameter: Parameter) -> None:
    transaction.hop = parse_hop(parameter.value or "", context.secret)
    if transaction.hop is None:
        raise PeerError(_unknown_parameter(parameter))
    context.trust()


def _taker(context: Context, transaction: Transaction, parameters: Sequence[Parameter]) -> model.Taker | None:
    """Who takes the recipient, by the one parameter that RCPT may have, from a testbed peer."""
    if not parameters:
        return None
    taker = _told_taker(context, transaction.hop, parameters)
    if taker is None or len(parameters) > 1:
        raise PeerError(_unknown_parameter(parameters[0 if taker is None else 1]))
    return taker


def _told_taker(context: Context, hop: model.Hop | None, parameters: Sequence[Parameter]) -> model.Taker | None:
    if hop is None or not parameters or parameters[0].keyword != KEYWORD:
        return None
    return parse_taker(parameters[0].value or "", hop, context.secret)


_PARAMETERS: dict[str, Callable[[Context, Transaction, Parameter], None]] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "AUTH": _auth,
    KEYWORD: _hop,
}
