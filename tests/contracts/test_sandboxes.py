"""The contract of sandboxes: made, changed, found by their domains or refused, and taken over from an older state directory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.commons.database.control import CONTROL_SCHEMA
from portyard.commons.database.embedded import Schema, SqliteDatabase
from portyard.commons.database.engine import Transaction
from portyard.commons.database.generations import Generations
from portyard.commons.sandbox.model import (
    DomainTakenError,
    NoSuchSandboxError,
    Sandbox,
    SandboxError,
    SandboxTakenError,
)
from portyard.commons.scenario.parsing import make_rule
from tests.contracts.engines import opened
from tests.support.asyncio_tests import run


def test_a_sandbox_owns_its_domains_and_is_known_everywhere(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as one, opened(engine, tmp_path) as other:
            made = await one.sandboxes.create(
                "t1", domains=("Mail.Example.", "t1.test"), capture="own", default_password="x"
            )
            assert made == Sandbox("t1", 2, "own", ("t1.test", "mail.example"), "x")
            assert await other.sandboxes.get("t1") == await other.sandboxes.owner("mail.example") == made
            assert other.sandboxes.generation_now("t1") == 2
            assert other.sandboxes.generation_now("t2") == 0
            plain = await other.sandboxes.create("a" * 63)
            assert plain == Sandbox("a" * 63, 3, "any", (f"{'a' * 63}.test",))
            changed = await one.sandboxes.change(
                "t1", capture="any", domains=("b.example",), default_password="y", magic=True
            )
            assert changed == Sandbox("t1", 2, "any", ("t1.test", "b.example"), "y", magic=True)
            assert await other.sandboxes.owner("mail.example") is None
            assert await other.sandboxes.change("t1") == changed

    run(main())


@pytest.mark.parametrize(
    ("fields", "error", "key"),
    [
        ({"name": "t1"}, SandboxTakenError, "name"),
        ({"name": "default"}, SandboxTakenError, "name"),
        ({"name": "localhost"}, SandboxTakenError, "name"),
        ({"name": "expired"}, SandboxTakenError, "name"),
        ({"name": "tls13-only"}, SandboxTakenError, "name"),
        ({"name": "portyard"}, DomainTakenError, "domains"),
        ({"name": "t2", "domains": ("t1.test",)}, DomainTakenError, "domains"),
        ({"name": "t2", "domains": ("PORTYARD.test",)}, DomainTakenError, "domains"),
        *(
            ({"name": name}, SandboxError, "name")
            for name in ("", "T2", "-a", "a-", "a_b", "a.b", "a" * 64, "a b", "ä", "a\n", "../x", "٣")
        ),
        *(
            ({"name": "t2", "domains": (domain,)}, SandboxError, "domains")
            for domain in (
                "",
                ".",
                "a b",
                "-a.test",
                "a..b",
                "x" * 64 + ".test",
                "a." * 130 + "b",
                "*.test",
                "ä.test",
                "127.0.0.1",
                "mail.7",
                "10",
                "localhost",
                "LOCALHOST.",
                "expired.test",
                "Wrong-Host.mail.example.",
                "stalled.t2.test",
                "revoked",
            )
        ),
        ({"name": "t2", "domains": ("a.test",) * 1001}, SandboxError, "domains"),
        ({"name": "t2", "capture": "all"}, SandboxError, "capture"),
        ({"name": "t2", "default_password": ""}, SandboxError, "default_password"),
    ],
)
def test_what_can_not_be_made(
    fields: dict[str, object], error: type[SandboxError], key: str, engine: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.sandboxes.create("t1")
            before = await stores.sandboxes.list()
            with pytest.raises(error) as caught:
                await stores.sandboxes.create(**fields)  # type: ignore[arg-type]
            assert caught.value.key == key
            assert caught.value.allowed
            assert await stores.sandboxes.list() == before

    run(main())


def test_what_is_not_there_can_not_be_changed(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for attempt in (stores.sandboxes.change("t1"), stores.sandboxes.reset("t1"), stores.sandboxes.delete("t1")):
                with pytest.raises(NoSuchSandboxError):
                    await attempt
            with pytest.raises(SandboxError, match="always exists"):
                await stores.sandboxes.delete("default")
            with pytest.raises(NoSuchSandboxError):
                await stores.accounts.create("t1", "u@t1.test", "pw")
            with pytest.raises(DomainTakenError):
                await stores.sandboxes.change((await stores.sandboxes.create("t1")).name, domains=("portyard.test",))

    run(main())


def test_the_same_local_part_lives_in_many_sandboxes(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await asyncio.gather(*(stores.sandboxes.create(f"t{n}") for n in range(20)))
            made = await asyncio.gather(
                *(stores.accounts.create(f"t{n}", f"u@t{n}.test", f"pw{n}") for n in range(20)),
                *(stores.accounts.create(f"t{n}", "u@mail.example", f"foreign{n}") for n in range(20)),
            )
            assert len({account.id for account in made}) == 40
            for n in range(20):
                assert await stores.accounts.verify(f"u@t{n}.test", f"pw{n}") == made[n]
                assert await stores.accounts.verify(f"u@t{n}.test", f"pw{n + 1}") is None
                assert await stores.accounts.find(f"t{n}/u@mail.example") == made[20 + n]
            assert await stores.accounts.find("u@mail.example") is None
            assert await stores.accounts.find("u") is None

    run(main())


def test_a_state_directory_of_before_goes_on(tmp_path: Path) -> None:
    """Only files know older versions of themselves."""

    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        first = Schema("control", CONTROL_SCHEMA.migrations[:1])
        database = await SqliteDatabase.open(tmp_path / "control.db", first, generations)
        await database.write(
            lambda work: work.execute(
                "INSERT INTO sandboxes (name, generation, capture, default_password) VALUES ('t1', 7, 'own', 'pw')"
            )
        )
        await database.close()
        generations.close()
        async with opened("sqlite", tmp_path) as stores:
            assert await stores.sandboxes.get("t1") == Sandbox("t1", 7, "own", (), "pw")
            assert (await stores.sandboxes.create("t2")).generation == 8
            assert (await stores.sandboxes.reset("t1")).generation == 9
            await stores.rules.add("t1", make_rule("mail.rcpt", {"refuse": "550"}))

    run(main())


def test_rules_of_before_are_taken_to_mean_every_room(tmp_path: Path) -> None:
    """Which rooms they ask for faults of bytes is told by their `on`, which SQL doesn't read."""

    async def main() -> None:
        generations = Generations(tmp_path / "generations")
        database = await SqliteDatabase.open(
            tmp_path / "control.db", Schema("control", CONTROL_SCHEMA.migrations[:3]), generations
        )
        rules = [
            ("plain", '{"on":"mail.rcpt","then":[{"refuse":{"reply":"550"}}]}'),
            ("fault", '{"on":"mail.rcpt","then":[{"cut_after":{"octets":3}}]}'),
        ]

        def job(work: Transaction) -> None:
            for number, (name, rule) in enumerate(rules, 1):
                work.execute("INSERT INTO rules (id, sandbox, name, rule) VALUES (?, 't1', ?, ?)", (number, name, rule))

        await database.write(job)
        await database.close()
        generations.close()
        async with opened("sqlite", tmp_path) as stores:
            assert await stores.rules.carried() == (frozenset({"*"}), False)
            assert await stores.rules.delete("t1", 2)
            assert await stores.rules.carried() == (frozenset(), False)

    run(main())
