"""Whose a recipient is: the sandbox, and the account in it."""

from __future__ import annotations

from portyard.commons.accounts.model import Account, Accounts, AccountTakenError, ResetSinceError
from portyard.commons.sandbox.model import Sandbox, Sandboxes
from portyard.smtp.core.grammar import print_mailbox
from portyard.smtp.core.model import Mailbox, PeerError, Recipient, Taker, Transaction, reply

RELAYING_DENIED = reply(550, "5.7.1", "relaying denied", name="relaying")
UNKNOWN_USER = reply(550, "5.1.1", "no such user here", name="no_user")
SEPARATOR = "+"  # between user and detail of a subaddress (RFC 5233 §1)


async def complete(sandboxes: Sandboxes, mailbox: Mailbox, sandbox: str) -> Mailbox:
    """A bare `<postmaster>` gets the sandbox's first domain (RFC 5321 §4.1.1.3)."""
    if mailbox.domain:
        return mailbox
    home = await sandboxes.get(sandbox)
    return Mailbox(mailbox.local_part, home.domains[0] if home and home.domains else "localhost")


async def stands(sandboxes: Sandboxes, taker: Taker) -> bool:
    """Whether a sandbox is there and wasn't reset since."""
    found = await sandboxes.get(taker.sandbox)
    return found is not None and found.generation == taker.generation


async def take(
    sandboxes: Sandboxes, mailbox: Mailbox, transaction: Transaction, home: str
) -> tuple[Sandbox, Recipient]:
    """The sandbox that takes mail for a completed address, owned or captured; `home` is whose listener it came to.

    Raises:
        PeerError: Nobody takes it: relaying is denied.
    """
    hop, looked = transaction.hop, transaction.looked
    if looked is not None and looked[0] == mailbox.domain:
        owner = looked[1]
    else:
        owner = await sandboxes.owner(mailbox.domain.lower())
    taker = owner or await sandboxes.get(hop.sandbox if hop else home)
    if taker is None or (owner is None and taker.capture != "any"):
        raise PeerError(RELAYING_DENIED)
    known = next((one for one in (hop, transaction.since) if one is not None and one.sandbox == taker.name), taker)
    generation = known.generation
    return taker, Recipient(mailbox, taker.name, generation, late=generation != taker.generation)


async def known_account(accounts: Accounts, sandbox: str, mailbox: Mailbox) -> Account | None:
    """The account that an address means in a sandbox: exactly, or without the subaddress."""
    found = await accounts.by_address(sandbox, print_mailbox(mailbox))
    if found is None and SEPARATOR in mailbox.local_part[1:]:
        found = await accounts.by_address(sandbox, print_mailbox(user_of(mailbox)))
    return found


async def account_for(accounts: Accounts, sandbox: Sandbox, mailbox: Mailbox) -> Account:
    """The account that gets the mail, made when the sandbox captures. Postmaster always exists (RFC 5321 §4.5.1).

    Raises:
        PeerError: There is none, or the address can't be an account.
        ResetSinceError: There is none any more: the sandbox was reset.
    """
    found = await known_account(accounts, sandbox.name, mailbox)
    if found is not None:
        return found
    if not may_make(sandbox, mailbox):
        raise PeerError(UNKNOWN_USER)
    address = print_mailbox(user_of(mailbox))
    try:
        return await accounts.create(sandbox.name, address, sandbox.default_password, generation=sandbox.generation)
    except ResetSinceError:
        raise
    except AccountTakenError:  # somebody else's delivery made it in between
        taken = await accounts.by_address(sandbox.name, address)
        if taken is None:
            raise PeerError(reply(451, "4.2.0", "the account came and went, try again")) from None
        return taken
    except ValueError:
        raise PeerError(reply(553, "5.1.3", "this address can't be an account")) from None


def may_make(sandbox: Sandbox, mailbox: Mailbox) -> bool:
    """True when a missing account is made at delivery."""
    return sandbox.capture == "any" or mailbox.local_part.lower() == "postmaster"


def user_of(mailbox: Mailbox) -> Mailbox:
    """The address without its subaddress: user+tag@domain is user@domain."""
    user, separator, _ = mailbox.local_part.partition(SEPARATOR)
    return Mailbox(user if user and separator else mailbox.local_part, mailbox.domain)
