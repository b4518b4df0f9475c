"""The write jobs on sandboxes: create, change, reset, delete. They run on the writer's thread, inside its transaction on control.db.

control.db is the truth: a reset raises the generation and gives every account a new number in one commit. Mail and files hang on the
account's number, so what is written to the old one, by whichever process and however late, is never seen; the sweeper removes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from portyard.commons.database.engine import Transaction
from portyard.commons.sandbox.domains import checked_name, with_own
from portyard.commons.sandbox.model import (
    DEFAULT,
    DomainTakenError,
    NoSuchSandboxError,
    Sandbox,
    SandboxError,
    SandboxTakenError,
)
from portyard.commons.scenario.store import clear_rules

COUNTER = "sandboxes"
# Moved by reset and delete after COUNTER, in this order: who still holds the old generation then holds the old account numbers too.
_FOLLOWERS = ("accounts", "clocks", "records", "journal")
CAPTURES = ("any", "own")


def checked(
    name: str, capture: str, domains: Iterable[str], default_password: str, magic: bool, generation: int = 0
) -> Sandbox:
    """A sandbox of these values, its own domain first.

    Raises:
        SandboxError: A value is wrong.
        SandboxTakenError: The name is reserved.
    """
    domains = with_own(checked_name(name), domains)
    return Sandbox(name, generation, _capture(capture), domains, _password(default_password), magic=bool(magic))


def insert(work: Transaction, sandbox: Sandbox) -> Sandbox:
    """See `Sandboxes.create`."""
    if work.execute("SELECT 1 FROM sandboxes WHERE name = ?", (sandbox.name,)):
        raise SandboxTakenError("name", sandbox.name, "a name that no other sandbox has", "this name is taken")
    made = Sandbox(
        sandbox.name,
        _next_generation(work),
        sandbox.capture,
        sandbox.domains,
        sandbox.default_password,
        sandbox.magic,
    )
    _check_owners(work, made)
    put(work, made)
    return made


def change(work: Transaction, name: str, changes: dict[str, object]) -> Sandbox:
    """See `Sandboxes.change`; `domains` are the whole here, checked as everything else."""
    current = find(work, name)
    values = {field: getattr(current, field) for field in Sandbox.__slots__} | changes
    changed = Sandbox(**values)
    _check_owners(work, changed)
    put(work, changed)
    return changed


def reset(work: Transaction, name: str, now_s: int) -> Sandbox:
    """See `Sandboxes.reset`."""
    current = find(work, name)
    generation = _next_generation(work)
    work.execute("UPDATE sandboxes SET generation = ? WHERE name = ?", (generation, name))
    accounts = _retire(work, current, now_s)
    if accounts:
        last = work.execute(
            "UPDATE counters SET value = value + ? WHERE name = 'account' RETURNING value", (len(accounts),)
        )[0][0]
        numbers = range(last - len(accounts) + 1, last + 1)
        pairs = list(zip(numbers, accounts, strict=True))
        work.execute_many("UPDATE accounts SET id = ? WHERE id = ?", pairs)
    _empty(work, name)
    return Sandbox(name, generation, current.capture, current.domains, current.default_password, current.magic)


def delete(work: Transaction, name: str, now_s: int) -> None:
    """See `Sandboxes.delete`."""
    if name == DEFAULT:
        raise SandboxError("name", name, "any other sandbox", "this one always exists; reset it")
    _retire(work, find(work, name), now_s)
    work.execute("DELETE FROM accounts WHERE sandbox = ?", (name,))
    work.execute("DELETE FROM domains WHERE sandbox = ?", (name,))
    work.execute("DELETE FROM records WHERE sandbox = ?", (name,))
    work.execute("DELETE FROM leases WHERE sandbox = ?", (name,))
    work.bump("leases")
    work.execute("DELETE FROM sandboxes WHERE name = ?", (name,))
    _empty(work, name)
    work.execute("DELETE FROM rule_sets WHERE sandbox = ?", (name,))


def seed(work: Transaction, default: Sandbox, mark: int) -> None:
    """Write `default` as the settings want it, and what they were by a number of theirs."""
    put(work, default)
    work.execute(
        "INSERT INTO counters (name, value) VALUES ('seed', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (mark,),
    )


def find(work: Transaction, name: str) -> Sandbox:
    """One sandbox, as the transaction sees it.

    Raises:
        NoSuchSandboxError: There is none.
    """
    rows = work.execute(
        "SELECT name, generation, capture, default_password, magic FROM sandboxes WHERE name = ?", (name,)
    )
    if not rows:
        raise NoSuchSandboxError(name)
    domains = work.execute("SELECT domain FROM domains WHERE sandbox = ? ORDER BY place", (name,))
    found, generation, capture, password, magic = rows[0]
    return Sandbox(found, generation, capture, tuple(row[0] for row in domains), password, bool(magic))


def put(work: Transaction, sandbox: Sandbox) -> None:
    """Write a sandbox as it shall be, its domains too; a domain that another one owns goes over to it."""
    work.execute(
        "INSERT INTO sandboxes (name, generation, capture, default_password, magic) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, capture = excluded.capture, "
        "default_password = excluded.default_password, magic = excluded.magic",
        (sandbox.name, sandbox.generation, sandbox.capture, sandbox.default_password, int(sandbox.magic)),
    )
    work.execute("DELETE FROM domains WHERE sandbox = ?", (sandbox.name,))
    work.execute_many(
        "INSERT INTO domains (domain, sandbox, place) VALUES (?, ?, ?) ON CONFLICT (domain) DO UPDATE "
        "SET sandbox = excluded.sandbox, place = excluded.place",
        [(domain, sandbox.name, place) for place, domain in enumerate(sandbox.domains)],
    )
    work.bump(COUNTER)
    work.bump("rules")  # the gates keep the magic switch beside the rules


def _next_generation(work: Transaction) -> int:
    """A number that no sandbox of any name has had, so that mail for a deleted one can't reach its namesake."""
    number: int = work.execute("UPDATE counters SET value = value + 1 WHERE name = 'generation' RETURNING value")[0][0]
    return number


def _retire(work: Transaction, sandbox: Sandbox, now_s: int) -> list[int]:
    """Note the sandbox's account numbers as those of which mail and files shall go."""
    accounts = work.execute("SELECT id, address_key FROM accounts WHERE sandbox = ? ORDER BY id", (sandbox.name,))
    work.execute_many(
        "INSERT INTO retired (account_id, sandbox, address, generation, since) VALUES (?, ?, ?, ?, ?)",
        [(number, sandbox.name, address, sandbox.generation, now_s) for number, address in accounts],
    )
    return [number for number, _ in accounts]


def _empty(work: Transaction, name: str) -> None:
    work.execute("DELETE FROM clocks WHERE sandbox = ?", (name,))
    work.bump(COUNTER)
    clear_rules(work, name)
    for counter in _FOLLOWERS:
        work.bump(counter)


def _check_owners(work: Transaction, sandbox: Sandbox) -> None:
    for domain in sandbox.domains:
        rows = work.execute("SELECT sandbox FROM domains WHERE domain = ? AND sandbox <> ?", (domain, sandbox.name))
        if rows:
            allowed = "domains that no other sandbox owns"
            raise DomainTakenError("domains", domain, allowed, f"sandbox {rows[0][0]} owns this domain")


def _capture(value: str) -> str:
    if value not in CAPTURES:
        raise SandboxError("capture", value, " or ".join(f'"{one}"' for one in CAPTURES), "no such way to capture")
    return value


def _password(value: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise SandboxError("default_password", "«secret»", "printable text, not empty", "no password")
    return value


checked_capture = _capture
checked_password = _password
