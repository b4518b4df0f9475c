"""The rules in control.db, counted there for every process together. Portable SQL.

A counted rule's match is a write that is awaited: what fires twice fires twice, whichever containers it is asked in. Hits of rules that
aren't counted are written behind; `list` writes this process's first.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial

from portyard.commons.database.engine import Database, Row, Transaction
from portyard.commons.sandbox.model import NoSuchSandboxError
from portyard.commons.scenario.counting import chance, due
from portyard.commons.scenario.engine import Claim
from portyard.commons.scenario.model import Rule, RuleError, StoredRule

COUNTER = "rules"
FLUSH_S = 0.02  # how long a hit may wait for company
MOST_RULES = 10_000  # of one sandbox
MOST_SCOPES = 100_000  # sessions, peers or accounts that one rule counts by; the oldest are forgotten
_FORGET_EVERY = 1_000
_COLUMNS = "id, sandbox, rule, matched, hits, last_session, last_at, revision"

_logger = logging.getLogger(__name__)


class SqlRules:
    """Every sandbox's rules. Implements `engine.RuleBook`.

    Args:
        database: control.db, with CONTROL_SCHEMA.
        now: A sandbox's time, which stamps hits.
        seed: Of the testbed's chance.
    """

    def __init__(self, database: Database, now: Callable[[str], datetime], seed: int = 0) -> None:
        self._database = database
        self.generation = database.reader(COUNTER)
        self._now = now
        self._seed = seed
        self._hits: dict[tuple[int, int], tuple[int, str, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    # -- what users do

    async def add(self, sandbox: str, *rules: Rule) -> builtins.list[StoredRule]:
        """Set rules behind those that stand; in force everywhere on return. All or none.

        Raises:
            RuleError: A name is taken, or there are too many rules.
            NoSuchSandboxError: There is no such sandbox.
        """

        def job(work: Transaction) -> builtins.list[StoredRule]:
            if not work.execute("SELECT 1 FROM sandboxes WHERE name = ?", (sandbox,)):
                raise NoSuchSandboxError(sandbox)
            _check_room(work, sandbox, len(rules))
            added = [_insert(work, sandbox, rule) for rule in rules]
            touch(work, sandbox)
            return added

        return await self._database.write(job)

    async def list(self, sandbox: str) -> builtins.list[StoredRule]:
        """The sandbox's rules in their order, with their hits."""
        await self.flush()
        return builtins.list(await self.load(sandbox))

    async def get(self, sandbox: str, rule_id: int) -> StoredRule | None:
        """One rule with its hits."""
        return next((stored for stored in await self.list(sandbox) if stored.id == rule_id), None)

    async def replace(self, sandbox: str, rule_id: int, rule: Rule) -> StoredRule | None:
        """Put another rule in a rule's place; it counts anew. None when there is no such rule.

        Raises:
            RuleError: Its name is another rule's.
        """

        def job(work: Transaction) -> StoredRule | None:
            from portyard.commons.scenario.checking import carries
            from portyard.commons.scenario.parsing import print_rule

            _check_name(work, sandbox, rule, rule_id)
            rows = work.execute(
                "UPDATE rules SET name = ?, rule = ?, carries = ?, matched = 0, hits = 0, scopes = 0, last_session = NULL, last_at = NULL, "  # noqa: S608
                f"revision = revision + 1 WHERE id = ? AND sandbox = ? RETURNING {_COLUMNS}",
                (rule.name or None, print_rule(rule), carries(rule, sandbox), rule_id, sandbox),
            )
            if not rows:
                return None
            work.execute("DELETE FROM rule_scopes WHERE rule_id = ?", (rule_id,))
            touch(work, sandbox)
            return _stored(rows[0])

        return await self._database.write(job)

    async def delete(self, sandbox: str, rule_id: int) -> bool:
        """Remove a rule; True when there was one."""

        def job(work: Transaction) -> bool:
            gone = work.execute("DELETE FROM rules WHERE id = ? AND sandbox = ? RETURNING id", (rule_id, sandbox))
            work.execute("DELETE FROM rule_scopes WHERE rule_id = ?", [row[0] for row in gone] or [0])
            touch(work, sandbox)
            return bool(gone)

        return await self._database.write(job)

    async def clear(self, sandbox: str) -> int:
        """Remove a sandbox's rules; how many there were."""
        return await self._database.write(lambda work: clear_rules(work, sandbox))

    # -- what the gate asks

    async def anything(self) -> bool:
        """See RuleBook."""
        sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM rules) OR EXISTS (SELECT 1 FROM sandboxes WHERE magic <> 0)"
        return bool(await self._database.read(sql))

    async def carried(self) -> tuple[frozenset[str], bool]:
        """See RuleBook."""
        sql = (
            "SELECT DISTINCT carries FROM rules WHERE carries <> '' "
            "UNION ALL SELECT '' WHERE EXISTS (SELECT 1 FROM sandboxes WHERE magic <> 0)"
        )
        found = {room for (room,) in await self._database.read(sql)}
        return frozenset(found - {""}), "" in found

    async def state(self, sandbox: str) -> tuple[int, bool]:
        """See RuleBook."""
        sql = "SELECT (SELECT version FROM rule_sets WHERE sandbox = ?), (SELECT magic FROM sandboxes WHERE name = ?)"
        version, magic = (await self._database.read(sql, (sandbox, sandbox)))[0]
        return version or 0, bool(magic)

    async def load(self, sandbox: str) -> tuple[StoredRule, ...]:
        """See RuleBook."""
        sql = f"SELECT {_COLUMNS} FROM rules WHERE sandbox = ? ORDER BY id"  # noqa: S608
        found = (_stored(row) for row in await self._database.read(sql, (sandbox,)))
        return tuple(stored for stored in found if stored is not None)

    async def claim(self, stored: StoredRule, identity: str, scope: str, session: str) -> Claim:
        """See RuleBook."""
        now, seed = self._now(stored.sandbox).isoformat(), self._seed
        return await self._database.write(lambda work: _claim(work, stored, identity, scope, (session, now), seed))

    async def claim_magic(self, sandbox: str, scope: str, times: int) -> bool:
        """See RuleBook."""

        def job(work: Transaction) -> bool:
            sql = (
                "INSERT INTO magic_counts (sandbox, scope, hits) VALUES (?, ?, 1) ON CONFLICT (sandbox, scope) "
                "DO UPDATE SET hits = magic_counts.hits + 1 WHERE magic_counts.hits < ? RETURNING hits"
            )
            return bool(work.execute(sql, (sandbox, scope, times)))

        return await self._database.write(job)

    def note_hit(self, stored: StoredRule, session: str) -> None:
        """See RuleBook."""
        key = (stored.id, stored.revision)
        count = self._hits[key][0] if key in self._hits else 0
        self._hits[key] = (count + 1, session, self._now(stored.sandbox).isoformat())
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._start_writing)

    async def flush(self) -> None:
        """Return once every hit noted so far by this process is readable everywhere."""
        await asyncio.sleep(0)  # who asks again and again for a hit to come lets it come
        while self._hits or self._writing is not None:
            if self._writing is None:
                self._start_writing()
            assert self._writing is not None
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Write what was noted."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_writing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._hits:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._hits:
                noted, self._hits = self._hits, {}
                rows = [(count, count, session, at, *key) for key, (count, session, at) in noted.items()]
                await self._database.write(partial(_write_hits, rows=rows))
        except Exception:
            _logger.exception("hits of rules could not be written")
        finally:
            self._writing = None


_HIT = "UPDATE rules SET matched = matched + ?, hits = hits + ?, last_session = ?, last_at = ? WHERE id = ? AND revision = ?"


def _write_hits(work: Transaction, rows: Sequence[Sequence[object]]) -> None:
    work.execute_many(_HIT, rows)


def touch(work: Transaction, sandbox: str) -> None:
    """A sandbox's rules changed: give them a version that they never had, and have every gate read them again."""
    version = work.execute("UPDATE counters SET value = value + 1 WHERE name = 'rule_set' RETURNING value")[0][0]
    work.execute(
        "INSERT INTO rule_sets (sandbox, version) VALUES (?, ?) ON CONFLICT (sandbox) DO UPDATE SET version = excluded.version",
        (sandbox, version),
    )
    work.bump(COUNTER)


def clear_rules(work: Transaction, sandbox: str) -> int:
    """Remove a sandbox's rules and every count; how many rules there were."""
    work.execute("DELETE FROM rule_scopes WHERE rule_id IN (SELECT id FROM rules WHERE sandbox = ?)", (sandbox,))
    gone = work.execute("DELETE FROM rules WHERE sandbox = ? RETURNING id", (sandbox,))
    work.execute("DELETE FROM magic_counts WHERE sandbox = ?", (sandbox,))
    touch(work, sandbox)
    return len(gone)


def _check_room(work: Transaction, sandbox: str, more: int) -> None:
    standing = work.execute("SELECT count(*) FROM rules WHERE sandbox = ?", (sandbox,))[0][0]
    if standing + more > MOST_RULES:
        raise RuleError("rule", standing + more, f"at most {MOST_RULES} rules in a sandbox", "too many rules")


def _check_name(work: Transaction, sandbox: str, rule: Rule, rule_id: int = 0) -> None:
    sql = "SELECT id FROM rules WHERE sandbox = ? AND name = ? AND id <> ?"
    if rule.name and work.execute(sql, (sandbox, rule.name, rule_id)):
        raise RuleError("name", rule.name, "a name that no other rule of the sandbox has", "this name is taken")


def _insert(work: Transaction, sandbox: str, rule: Rule) -> StoredRule:
    from portyard.commons.scenario.checking import carries  # a testbed without a rule starts without the language
    from portyard.commons.scenario.parsing import print_rule

    _check_name(work, sandbox, rule)
    number = work.execute("UPDATE counters SET value = value + 1 WHERE name = 'rule' RETURNING value")[0][0]
    work.execute(
        "INSERT INTO rules (id, sandbox, name, rule, carries) VALUES (?, ?, ?, ?, ?)",
        (number, sandbox, rule.name or None, print_rule(rule), carries(rule, sandbox)),
    )
    return StoredRule(number, sandbox, rule)


def _claim(work: Transaction, stored: StoredRule, identity: str, scope: str, hit: tuple[str, str], seed: int) -> Claim:
    """Count a match, and fire when it is due and something is left; the first statement holds the row against other processes."""
    rows = work.execute(
        "UPDATE rules SET matched = matched + 1 WHERE id = ? AND revision = ? RETURNING matched, hits",
        (stored.id, stored.revision),
    )
    if not rows:  # it was removed or replaced since
        return Claim(fires=False, spent=True, count=0)
    matched, hits, ordinal = (*rows[0], 0) if not scope else _count_scope(work, stored.id, scope)
    times = stored.rule.times
    if times is not None and hits >= times:  # spent, of which this process hears only now: it doesn't count
        _uncount(work, stored.id, scope)
        return Claim(fires=False, spent=True, count=matched)
    fires = due(stored.rule, matched, chance(seed, identity, ordinal, matched))
    if fires:
        work.execute("UPDATE rules SET hits = hits + 1, last_session = ?, last_at = ? WHERE id = ?", (*hit, stored.id))
        if scope:
            sql = "UPDATE rule_scopes SET hits = hits + 1 WHERE rule_id = ? AND scope = ?"
            work.execute(sql, (stored.id, scope))
    return Claim(fires, spent=times is not None and hits + fires >= times, count=matched)


def _uncount(work: Transaction, rule_id: int, scope: str) -> None:
    work.execute("UPDATE rules SET matched = matched - 1 WHERE id = ?", (rule_id,))
    if scope:
        sql = "UPDATE rule_scopes SET matched = matched - 1 WHERE rule_id = ? AND scope = ?"
        work.execute(sql, (rule_id, scope))


def _count_scope(work: Transaction, rule_id: int, scope: str) -> tuple[int, int, int]:
    rows = work.execute(
        "UPDATE rule_scopes SET matched = matched + 1 WHERE rule_id = ? AND scope = ? RETURNING matched, hits, ordinal",
        (rule_id, scope),
    )
    if rows:
        matched, hits, ordinal = rows[0]
        return matched, hits, ordinal
    ordinal = work.execute("UPDATE rules SET scopes = scopes + 1 WHERE id = ? RETURNING scopes", (rule_id,))[0][0]
    if ordinal % _FORGET_EVERY == 0:
        work.execute("DELETE FROM rule_scopes WHERE rule_id = ? AND ordinal <= ?", (rule_id, ordinal - MOST_SCOPES))
    work.execute(
        "INSERT INTO rule_scopes (rule_id, scope, ordinal, matched, hits) VALUES (?, ?, ?, 1, 0)",
        (rule_id, scope, ordinal),
    )
    return 1, 0, ordinal


def _stored(row: Row) -> StoredRule | None:
    number, sandbox, text, matched, hits, session, at, revision = row
    rule = _read(text)
    when = datetime.fromisoformat(at) if at else None
    return None if rule is None else StoredRule(number, sandbox, rule, matched, hits, session, when, revision)


@lru_cache(maxsize=MOST_RULES)  # every rule that stands is read again when one is set
def _read(text: str) -> Rule | None:
    from portyard.commons.scenario.parsing import parse_json

    try:
        (rule,) = parse_json(text)
    except RuleError as error:  # it must not keep the others from being read
        _logger.warning("a rule was set by an earlier version and is none any more, so it is left out: %s", error)
        return None
    return rule
