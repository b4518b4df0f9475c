"""The accounts over a Database, read again only when their counter moved.

Passwords are kept as given: challenge-response mechanisms need them, and they are a testbed's.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
import secrets

from portyard.commons.accounts.model import Account, AccountTakenError, ResetSinceError
from portyard.commons.database.engine import Database, Row, Transaction
from portyard.commons.sandbox.model import DEFAULT, NoSuchSandboxError, Sandboxes
from portyard.commons.scenario.magic import without_magic
from portyard.commons.settings import Settings

COUNTER = "accounts"
MAX_ADDRESS = 320  # characters: RFC 5321 §4.5.3.1 gives 64 for the local part and 255 for the domain
_COLUMNS = (
    "a.id, a.sandbox, a.local_part, a.domain, a.password, a.public_keys, "
    "COALESCE((SELECT generation FROM sandboxes WHERE name = a.sandbox), 0)"
)
_HOMES = 1000  # sandboxes with listeners of their own whose lookups are remembered
_CACHED = 10_000  # lookups remembered between two changes


class SqlAccounts:
    """The accounts of every sandbox. Implements `model.Accounts`.

    Args:
        database: control.db, with CONTROL_SCHEMA.
        sandboxes: Says who owns a domain.
        home: Whose a bare local part is.
    """

    def __init__(self, database: Database, sandboxes: Sandboxes, home: str = DEFAULT) -> None:
        self._database = database
        self._sandboxes = sandboxes
        self._home = home
        self._elsewhere: dict[str, SqlAccounts] = {}
        self._seen: int | None = None
        self._cache: dict[tuple[str, str], Account | None] = {}
        self._nobody = secrets.token_hex(16)  # what a password is compared with when there is no such account

    def at(self, home: str) -> SqlAccounts:
        """See `Accounts.at`."""
        if home == self._home:
            return self
        if home not in self._elsewhere:
            if len(self._elsewhere) >= _HOMES:
                self._elsewhere.clear()
            self._elsewhere[home] = SqlAccounts(self._database, self._sandboxes, home)
        return self._elsewhere[home]

    async def find(self, login: str) -> Account | None:
        """See `Accounts.find`."""
        found = await self._named(login)
        if found is not None or (plain := without_magic(login)) == login:
            return found
        meant = await self._named(plain)
        sandbox = await self._sandboxes.get(meant.sandbox) if meant is not None else None
        return meant if sandbox is not None and sandbox.magic else None

    async def _named(self, login: str) -> Account | None:
        """The account of that very name."""
        if "@" not in login:
            home = await self._sandboxes.get(self._home)
            return await self.by_address(home.name, f"{login}@{home.domains[0]}") if home and home.domains else None
        owner = await self._sandboxes.owner(login.rpartition("@")[2].lower())
        found = await self.by_address(owner.name if owner else DEFAULT, login)
        prefix, slash, address = login.partition("/")  # a local part may hold a slash, so the whole comes first
        if found is None and slash:
            found = await self.by_address(prefix, address)
        return found

    async def verify(self, login: str, password: str) -> Account | None:
        """See `Accounts.verify`."""
        account = await self.find(login)
        right = same_secret(account.password if account else self._nobody, password)
        return account if right else None

    async def by_address(self, sandbox: str, address: str) -> Account | None:
        """See `Accounts.by_address`."""
        generation = self._database.generation(
            COUNTER
        )  # before the SQL: a change in between is read twice, never missed
        if generation != self._seen or len(self._cache) > _CACHED:
            self._cache = {}
            self._seen = generation
        key = (sandbox, address.lower())
        if not is_text(key[0]) or not is_text(key[1]):
            return None
        if key in self._cache:
            return self._cache[key]
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM accounts a WHERE a.sandbox = ? AND a.address_key = ?",  # noqa: S608
            key,
        )
        account = _account(rows[0]) if rows else None
        self._cache[key] = account
        return account

    async def create(
        self,
        sandbox: str,
        address: str,
        password: str,
        public_keys: tuple[str, ...] = (),
        *,
        generation: int | None = None,
    ) -> Account:
        """See `Accounts.create`."""
        account, made = await self._put(sandbox, address, password, public_keys, generation)
        if not made:
            raise AccountTakenError(f"account {account.address} exists in sandbox {sandbox}")
        return account

    async def ensure(self, sandbox: str, address: str, password: str, public_keys: tuple[str, ...] = ()) -> Account:
        """The account of that address, made with this password and these keys when it is missing.

        Raises:
            ValueError: The address is malformed.
        """
        known = await self.by_address(sandbox, address)
        return known if known is not None else (await self._put(sandbox, address, password, public_keys))[0]

    async def set_password(self, sandbox: str, address: str, password: str) -> bool:
        """Change a password; True when there is such an account."""

        def job(work: Transaction) -> bool:
            sql = "UPDATE accounts SET password = ? WHERE sandbox = ? AND address_key = ? RETURNING id"
            work.bump(COUNTER)
            return bool(work.execute(sql, (password, sandbox, address.lower())))

        return await self._database.write(job)

    async def list(self, sandbox: str) -> builtins.list[Account]:
        """See `Accounts.list`."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM accounts a WHERE a.sandbox = ? ORDER BY a.address_key",  # noqa: S608
            (sandbox,),
        )
        return [_account(row) for row in rows]

    async def delete(self, sandbox: str, address: str) -> bool:
        """See `Accounts.delete`."""

        def job(work: Transaction) -> bool:
            sql = "DELETE FROM accounts WHERE sandbox = ? AND address_key = ? RETURNING id"
            work.bump(COUNTER)
            return bool(work.execute(sql, (sandbox, address.lower())))

        return await self._database.write(job)

    async def seed(self, settings: Settings) -> None:
        """Make the accounts that the settings name, where they are missing; one that exists keeps its password."""
        for seed in settings.accounts:
            owner = await self._sandboxes.owner(seed.address.rpartition("@")[2].lower())
            await self.ensure(owner.name if owner else DEFAULT, seed.address, seed.password, seed.public_keys)

    async def _put(
        self,
        sandbox: str,
        address: str,
        password: str,
        public_keys: tuple[str, ...],
        generation: int | None = None,
    ) -> tuple[Account, bool]:
        local_part, domain = split_address(address)
        keys = "\n".join(key.strip() for key in public_keys)

        def job(work: Transaction) -> tuple[Account, bool]:
            known = work.execute(
                f"SELECT {_COLUMNS} FROM accounts a WHERE a.sandbox = ? AND a.address_key = ?",  # noqa: S608
                (sandbox, address.lower()),
            )
            if known:
                return _account(known[0]), False
            standing = work.execute("SELECT generation FROM sandboxes WHERE name = ?", (sandbox,))
            if not standing:
                raise NoSuchSandboxError(sandbox)
            if generation not in (None, standing[0][0]):
                raise ResetSinceError(f"sandbox {sandbox} was reset")
            number = work.execute("UPDATE counters SET value = value + 1 WHERE name = 'account' RETURNING value")[0][0]
            work.execute(
                "INSERT INTO accounts (id, sandbox, address_key, local_part, domain, password, public_keys) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, sandbox, address.lower(), local_part, domain, password, keys),
            )
            work.bump(COUNTER)
            return _account((number, sandbox, local_part, domain, password, keys, standing[0][0])), True

        return await self._database.write(job)


def split_address(address: str) -> tuple[str, str]:
    """Local part as given and domain in lower case.

    Raises:
        ValueError: The address is malformed.
    """
    local_part, at, domain = address.rpartition("@")
    if not at or not local_part or not domain:
        raise ValueError(f"{address!r} is no address; expected local-part@domain")
    if (
        not is_text(address)
        or len(address) > MAX_ADDRESS
        or any(character.isspace() or ord(character) < 32 for character in address)
    ):
        raise ValueError(f"{address[:MAX_ADDRESS]!r} is no address: too long, or spaces or control characters in it")
    return local_part, domain.lower()


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold it; half of a surrogate pair, which a lax decoder may leave, it can't."""
    return text.isascii() or not any(0xD800 <= ord(character) < 0xE000 for character in text)


def same_secret(one: str, other: str) -> bool:
    """Compare in a time that tells neither content nor length."""
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (one, other)]
    return hmac.compare_digest(*digests)


def _account(row: Row) -> Account:
    number, sandbox, local_part, domain, password, keys, generation = row
    return Account(number, sandbox, local_part, domain, password, tuple(keys.split("\n")) if keys else (), generation)
