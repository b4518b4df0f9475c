"""Accounts as values, and the interface of their store. Pure: every core may import it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in and receive.

    Attributes:
        id: The store's key, never reused. A reset of the sandbox gives another one; mail and files hang on it.
        sandbox: The sandbox it lives in.
        local_part: As registered, e.g. "alice".
        domain: In lower case, e.g. "portyard.test".
        password: Kept as given, because challenge-response mechanisms need it; never shown in a repr or the journal.
        public_keys: OpenSSH public key lines that may log in.
        generation: The sandbox's when this was read, in the same glance as `id`; what was accepted for another one isn't for it.
    """

    id: int
    sandbox: str
    local_part: str
    domain: str
    password: str = field(repr=False)
    public_keys: tuple[str, ...] = ()
    generation: int = 1

    @property
    def address(self) -> str:
        """The login name and mail address."""
        return f"{self.local_part}@{self.domain}"


class AccountTakenError(ValueError):
    """An account of that address exists already in the sandbox."""


class ResetSinceError(ValueError):
    """The sandbox was reset since its generation was looked at."""


class Accounts(Protocol):
    """The accounts of every sandbox."""

    def at(self, home: str) -> Accounts:
        """The same as those mean them who connect to a sandbox's own listener: a bare local part is of that one's first domain."""

    async def find(self, login: str) -> Account | None:
        """The account that a login name means: an address, `<sandbox>/<address>`, or a bare local part of `default`'s first domain.

        Local parts and domains compare without case. Where nobody has the name, it means the account that has it without its magic words,
        if the switch of that account's sandbox is on: who logs in again by a name that was refused for its word gets in.
        """

    async def verify(self, login: str, password: str) -> Account | None:
        """The account when the password is right, else None; takes the same time either way."""

    async def by_address(self, sandbox: str, address: str) -> Account | None:
        """The account of exactly this address in the sandbox, without subaddress handling."""

    async def create(
        self,
        sandbox: str,
        address: str,
        password: str,
        public_keys: tuple[str, ...] = (),
        *,
        generation: int | None = None,
    ) -> Account:
        """Add an account with its INBOX to come; where a generation is given, only to a sandbox that still has it.

        Raises:
            AccountTakenError: The address exists in the sandbox.
            ResetSinceError: The sandbox has another generation by now.
            ValueError: The address is malformed, or there is no such sandbox (NoSuchSandboxError).
        """

    async def list(self, sandbox: str) -> list[Account]:
        """The sandbox's accounts by address."""

    async def delete(self, sandbox: str, address: str) -> bool:
        """Remove an account; True when there was one."""


async def why_ended(accounts: Accounts, account: Account) -> str:
    """Why somebody who logged in is nobody any more, as words for a kept session; "" while the account stands as it was.

    Args:
        accounts: Where it is looked for.
        account: Who logged in.
    """
    found = await accounts.by_address(account.sandbox, account.address)
    if found is not None and found.id == account.id:
        return ""
    if found is not None and found.generation != account.generation:
        return "sandbox was reset since the login"
    return "account was deleted"
