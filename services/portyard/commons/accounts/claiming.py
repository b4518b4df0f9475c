"""Whose a login name is before anything is proved: the account's sandbox, else the one that the name itself names. Pure."""

from __future__ import annotations

from portyard.commons.accounts.model import Accounts
from portyard.commons.sandbox.model import Sandboxes


async def sandbox_of_login(accounts: Accounts, sandboxes: Sandboxes, login: str) -> str | None:
    """The sandbox that a login name claims, whether or not there is such an account.

    Args:
        accounts: Every account, at the listener's home.
        sandboxes: Every sandbox.
        login: An address, `<sandbox>/<address>`, or a bare local part.

    Returns:
        Its name; None where the name says nothing of a sandbox.
    """
    account = await accounts.find(login)
    if account is not None:
        return account.sandbox
    _, at, domain = login.rpartition("@")
    owner = await sandboxes.owner(domain.lower()) if at else None
    if owner is None:
        prefix, slash, _ = login.partition("/")
        owner = await sandboxes.get(prefix) if slash else None
    return None if owner is None else owner.name
