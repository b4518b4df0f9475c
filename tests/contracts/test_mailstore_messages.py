"""The contract of a Mailstore's messages: kept octet for octet, counted, flagged, copied, moved, expunged and swept."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from portyard.commons.mailstore import structure
from portyard.commons.mailstore.model import (
    DELETED,
    FLAGGED,
    SEEN,
    Copied,
    Entry,
    FlagChange,
    Message,
    MessageGoneError,
    NoSuchMailboxError,
)
from portyard.commons.stores import Stores
from tests.contracts.engines import LARGE, MESSAGE, NOON, inbox, opened
from tests.contracts.mail import ME, YOU, bodies, fill
from tests.support.asyncio_tests import run

NO_FLAGS: frozenset[str] = frozenset()


async def one(stores: Stores, uid: int) -> Message:
    (found,) = [message async for message in stores.mail.messages((await inbox(stores)).id, [uid])]
    return found


@pytest.mark.parametrize("octets", [b"", b"\0\xff\r\r\n", MESSAGE, b"x" * 65536, b"x" * 65537, LARGE], ids=len)
def test_octets_come_out_as_they_went_in_whole_and_in_pieces(octets: bytes, engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            appended = await stores.mail.append(ME, "INBOX", octets)
            message = await stores.mail.message(appended.message_id)
            assert message is not None
            assert message.size == len(octets)
            assert structure.decode(message.structure).size == len(octets)
            assert await stores.mail.octets(message) == octets
            for start in (0, 1, 15, 17, 18, 19, 65535, 65536, 65537, len(octets) - 1, len(octets), len(octets) + 1):
                for length in (None, 0, 1, 3, 65536, 1 << 40):
                    stop = None if length is None else max(start, 0) + length
                    expected = octets[start:stop] if start >= 0 else b""
                    assert await stores.mail.octets(message, start, length) == expected, (start, length)

    run(main())


def test_append_keeps_flags_date_and_zone(engine: str, tmp_path: Path) -> None:
    date = datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(-timedelta(hours=7)))

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.append(ME, "inbox", MESSAGE, flags=[SEEN, "$Work", "\\Recent"], internal_date=date)
            await stores.mail.append(ME, "INBOX", MESSAGE)
            first, second = await one(stores, 1), await one(stores, 2)
            assert first.flags == {SEEN, "$Work"}
            assert first.internal_date.isoformat() == "1996-07-17T02:44:25-07:00"
            assert second.internal_date == NOON
            assert second.modseq > first.modseq
            with pytest.raises(ValueError, match="flags"):
                await stores.mail.append(ME, "INBOX", MESSAGE, flags=["two words"])

    run(main())


def test_the_counters_follow_every_change(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            mail = stores.mail
            await fill(stores, 5)
            await mail.append(ME, "INBOX", LARGE, flags=[SEEN])
            box = (await inbox(stores)).id
            await mail.change_flags(box, [1, 2], FlagChange.ADD, frozenset({SEEN}))
            await mail.change_flags(box, [2], FlagChange.REMOVE, frozenset({SEEN}))
            await mail.copy(box, [1, 6], ME, "INBOX")
            await mail.move(box, [3], ME, "Trash")
            await mail.expunge(box, [4, 99])
            for mailbox in await mail.mailboxes(ME):
                entries = await mail.entries(mailbox.id)
                messages = [message async for message in mail.messages(mailbox.id, [entry.uid for entry in entries])]
                assert mailbox.messages == len(entries)
                assert mailbox.unseen == sum(SEEN not in entry.flags for entry in entries)
                assert mailbox.size == sum(message.size for message in messages)
                assert mailbox.highest_modseq >= max((entry.modseq for entry in entries), default=1)
            assert (await inbox(stores)).uid_next == 9

    run(main())


def test_append_into_no_mailbox_stores_nothing(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for octets in (MESSAGE, LARGE):
                with pytest.raises(NoSuchMailboxError, match="none"):
                    await stores.mail.append(ME, "none", octets, delivery_id="d", recipient="r")
            assert await bodies(stores, tmp_path) == (0, 0)
            await stores.mail.append(ME, "INBOX", MESSAGE, delivery_id="d", recipient="r")
            assert (await inbox(stores)).messages == 1

    run(main())


def test_a_repeated_delivery_stores_once(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for octets in (MESSAGE, LARGE):
                outcomes = await asyncio.gather(
                    *(
                        stores.mail.append(
                            ME, "INBOX", octets, delivery_id=f"d{len(octets)}", recipient="me@portyard.test"
                        )
                        for _ in range(5)
                    )
                )
                assert len(set(outcomes)) == 1
            await stores.mail.append(
                YOU, "INBOX", MESSAGE, delivery_id=f"d{len(MESSAGE)}", recipient="you@portyard.test"
            )
            assert (await inbox(stores)).messages == 2
            assert (await inbox(stores, YOU)).messages == 1
            assert await bodies(stores, tmp_path) == (3, 1)
            assert (await one(stores, 1)).delivery_id == f"d{len(MESSAGE)}"

    run(main())


def test_recent_is_claimed_once(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await fill(stores, 3)
            box = (await inbox(stores)).id
            assert await stores.mail.claim_recent(box) == 1
            assert await stores.mail.claim_recent(box) == 4
            await fill(stores, 1)
            assert (await inbox(stores)).recent_from == 4
            assert await stores.mail.claim_recent(box) == 4
            assert await stores.mail.claim_recent(box) == 5

    run(main())


def test_changes_tell_what_moved_and_what_vanished(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            mail = stores.mail
            await fill(stores, 4)
            mailbox = await inbox(stores)
            box, since = mailbox.id, mailbox.highest_modseq
            assert await mail.changes(box, since) == await mail.changes(box, since)
            assert (await mail.changes(box, 0)).changed == tuple(await mail.entries(box))
            await mail.change_flags(box, [2, 3], FlagChange.ADD, frozenset({FLAGGED}))
            await mail.expunge(box, [3, 1])
            await mail.append(ME, "INBOX", MESSAGE)
            moved = await mail.changes(box, since)
            assert [(entry.uid, entry.flags) for entry in moved.changed] == [(2, {FLAGGED}), (5, NO_FLAGS)]
            assert moved.vanished == (1, 3)
            assert moved.modseq == (await inbox(stores)).highest_modseq
            again = await mail.changes(box, moved.modseq)
            assert (again.modseq, again.changed, again.vanished) == (moved.modseq, (), ())

    run(main())


def test_flags_are_replaced_added_removed(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            mail = stores.mail
            await fill(stores, 2)
            mailbox = await inbox(stores)
            steps = [
                (FlagChange.REPLACE, {SEEN, "$x"}, {SEEN, "$x"}),
                (FlagChange.ADD, {DELETED}, {SEEN, "$x", DELETED}),
                (FlagChange.REMOVE, {SEEN, FLAGGED}, {"$x", DELETED}),
                (FlagChange.REPLACE, set(), set()),
            ]
            for step, (how, given, expected) in enumerate(steps, 1):
                changed, refused = await mail.change_flags(mailbox.id, [1, 77], how, frozenset(given))
                assert changed == [Entry(1, frozenset(expected), mailbox.highest_modseq + step)]
                assert refused == []
            assert await mail.change_flags(mailbox.id, [1, 2], FlagChange.REPLACE, NO_FLAGS) == ([], [])
            assert (await inbox(stores)).highest_modseq == mailbox.highest_modseq + len(steps)

    run(main())


def test_unchanged_since_refuses_those_that_moved(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await fill(stores, 3)
            mailbox = await inbox(stores)
            flagged, seen = frozenset({FLAGGED}), frozenset({SEEN})
            await stores.mail.change_flags(mailbox.id, [2], FlagChange.ADD, flagged)
            changed, refused = await stores.mail.change_flags(
                mailbox.id, [3, 2, 1], FlagChange.ADD, seen, unchanged_since=mailbox.highest_modseq
            )
            assert ([entry.uid for entry in changed], refused) == ([1, 3], [2])

    run(main())


def test_copy_and_move_keep_flags_dates_and_octets(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            mail = stores.mail
            for octets in (MESSAGE, LARGE):
                await mail.append(ME, "INBOX", octets, flags=[FLAGGED], internal_date=NOON + timedelta(days=1))
            box, trash = (await inbox(stores)).id, await mail.mailbox(ME, "Trash")
            assert trash is not None
            assert await mail.copy(box, [2, 1, 9], ME, "Trash") == Copied(trash.uid_validity, (1, 2), (1, 2))
            assert await mail.move(box, [1, 2], YOU, "inbox") == Copied(
                (await inbox(stores, YOU)).uid_validity, (1, 2), (1, 2)
            )
            assert await mail.move(box, [1, 2], ME, "Trash") == Copied(trash.uid_validity, (), ())
            assert (await inbox(stores)).messages == 0
            await mail.sweep(keep_s=-1)
            for mailbox_id in (trash.id, (await inbox(stores, YOU)).id):
                found = [message async for message in mail.messages(mailbox_id, [1, 2])]
                assert [await mail.octets(message) for message in found] == [MESSAGE, LARGE]
                assert {(message.flags, message.internal_date) for message in found} == {
                    (frozenset({FLAGGED}), NOON + timedelta(days=1))
                }
            assert await bodies(stores, tmp_path) == (2, 1)
            with pytest.raises(NoSuchMailboxError):
                await mail.copy(trash.id, [1], ME, "none")
            with pytest.raises(NoSuchMailboxError):
                await mail.move(trash.id, [1], ME, "none")
            assert [entry.uid for entry in await mail.entries(trash.id)] == [1, 2]

    run(main())


def test_octets_outlive_an_expunge_until_they_are_swept(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for octets in (MESSAGE, LARGE):
                appended = await stores.mail.append(ME, "INBOX", octets)
                message = await stores.mail.message(appended.message_id)
                assert message is not None
                assert await stores.mail.expunge(message.mailbox_id, [message.uid]) == [message.uid]
                await stores.mail.sweep()
                assert await stores.mail.octets(message) == octets
                assert await stores.mail.message(appended.message_id) is None
                await stores.mail.sweep(keep_s=-1)
                with pytest.raises(MessageGoneError):
                    await stores.mail.octets(message)
            assert await bodies(stores, tmp_path) == (0, 0)

    run(main())


def test_uids_never_come_back(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await fill(stores, 3)
            await stores.mail.expunge((await inbox(stores)).id, [1, 2, 3])
        async with opened(engine, tmp_path) as stores:
            assert (await stores.mail.append(ME, "INBOX", MESSAGE)).uid == 4

    run(main())


def test_messages_come_in_the_order_asked_and_numbers_that_are_none_are_passed_over(
    engine: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.append(YOU, "INBOX", MESSAGE)
            await fill(stores, 450)
            box = (await inbox(stores)).id
            asked = [450, 3, 0, -5, 1 << 32, (1 << 32) + 1, (1 << 70), *range(4, 449), 451]
            found = [message.uid async for message in stores.mail.messages(box, asked)]
            assert found == [450, 3, *range(4, 449)]
            assert await stores.mail.expunge(box, [-5, 0, 1 << 40, 2]) == [2]
            assert (await inbox(stores, YOU)).messages == 1

    run(main())


def test_headers_are_searched_unfolded_or_not_each_time_they_occur(engine: str, tmp_path: Path) -> None:
    texts = [
        b"Subject: one\r\nsubject : two\r\n  folded\r\n\r\nSubject: body\r\n",
        b"X-Subject: no\r\n\r\n",
        b"SUBJECT:\r\n\r\n",
    ]

    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            for text in texts:
                await stores.mail.append(ME, "INBOX", text)
            await stores.mail.append(ME, "INBOX", texts[0] + LARGE)
            found = stores.mail.search_headers((await inbox(stores)).id, [1, 2, 3, 4, -1, 1 << 40], "Subject")
            two = b"two\r\n  folded"
            assert [pair async for pair in found] == [(1, b"one"), (1, two), (3, b""), (4, b"one"), (4, two)]

    run(main())


def test_orphans_of_killed_processes_are_swept_at_the_next_start(engine: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(engine, tmp_path) as stores:
            await stores.mail.append(ME, "INBOX", LARGE)
        (kept,) = (tmp_path / "bodies").iterdir()
        for name, age in (("old", 7200), ("old.part", 7200), ("young", 0)):
            (tmp_path / "bodies" / name).write_text("x")
            then = kept.stat().st_mtime - age
            os.utime(tmp_path / "bodies" / name, (then, then))
        os.utime(kept, (1, 1))
        async with opened(engine, tmp_path) as stores:
            assert {path.name for path in (tmp_path / "bodies").iterdir()} == {kept.name, "young"}
            assert await stores.mail.octets(await one(stores, 1)) == LARGE

    run(main())
