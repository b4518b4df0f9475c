"""What every engine's store of written records keeps."""

from __future__ import annotations

from pathlib import Path

from portyard.commons.records.model import WrittenRecord
from portyard.commons.records.sql import SqlRecords
from tests.support.asyncio_tests import run
from tests.support.yard import open_yard


def test_a_names_records_are_replaced_as_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            records = await SqlRecords.prepare(yard.control_database)
            await records.replace("t1", "X.t1.test.", "txt", 60, ["b", "a"])
            await records.replace("t1", "x.t1.test", "A", 5, ["192.0.2.1"])
            assert await records.of("t1") == (
                WrittenRecord("x.t1.test", "A", 5, "192.0.2.1"),
                WrittenRecord("x.t1.test", "TXT", 60, "b"),
                WrittenRecord("x.t1.test", "TXT", 60, "a"),
            )
            await records.replace("t1", "x.t1.test", "TXT", 60, [])
            assert [record.type for record in await records.of("t1")] == ["A"]
            assert await records.of("default") == ()

    run(main())


def test_another_stores_write_is_seen_and_the_serial_grows(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_yard(tmp_path) as yard:
            one = await SqlRecords.prepare(yard.control_database)
            other = await SqlRecords.prepare(yard.control_database)
            before = await one.of("default")
            assert await one.of("default") is before
            serial = one.serial()
            await other.replace("default", "x.portyard.test", "TXT", 60, ["new"])
            assert [record.value for record in await one.of("default")] == ["new"]
            assert one.serial() == serial + 1

    run(main())


def test_records_stay(tmp_path: Path) -> None:
    async def main() -> None:
        for serial in (1, 2):
            async with open_yard(tmp_path) as yard:
                records = await SqlRecords.prepare(yard.control_database)
                await records.of("default")
                assert records.serial() == serial
                if serial == 1:
                    await records.replace("default", "x.portyard.test", "TXT", 60, ["kept"])
                assert [record.value for record in await records.of("default")] == ["kept"]

    run(main())
