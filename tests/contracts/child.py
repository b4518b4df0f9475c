"""Another process on the same state directory: `python -m tests.contracts.child <errand> <engine> <state>`.

It says `ready` once its stores are open, does its errand at the first line on its standard input, and tells of it on its standard output.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from portyard.commons.mailstore.model import NoSuchMailboxError, StoreFullError
from portyard.commons.stores import Stores
from tests.contracts.engines import LARGE, MESSAGE, inbox, opened

TASKS = 20
FILE_LIMIT = 3 << 20


def say(*words: object) -> None:
    print(*words, flush=True)


def octets_of(number: int) -> bytes:
    """Every seventh message is a large one."""
    return b"X-Number: %d\r\n" % number + (LARGE if number % 7 == 0 else MESSAGE)


async def append_one(stores: Stores, state: Path) -> None:
    appended = await stores.mail.append(1, "INBOX", MESSAGE)
    say("appended", appended.uid)


async def append_for_ever(stores: Stores, state: Path) -> None:
    """Until killed; each acknowledged delivery is told."""

    async def deliver(first: int) -> None:
        number = first
        while True:
            await stores.mail.append(1, "INBOX", octets_of(number), delivery_id=f"d{number}", recipient="alice")
            say(number)
            number += TASKS

    await asyncio.gather(*(deliver(first) for first in range(TASKS)))


async def fill(stores: Stores, state: Path) -> None:
    """Until the disk is full (or the files' limit is met), then look at what is there, make room and go on."""
    ballast = state / "ballast"
    ballast.write_bytes(b"\0" * (256 << 10))
    stored: list[int] = []
    for kind in (LARGE * 3, MESSAGE * 100):  # first the disk is full for files, then for the table
        for number in range(10_000):
            try:
                appended = await stores.mail.append(
                    1, "INBOX", kind, delivery_id=f"{len(kind)}-{number}", recipient="a"
                )
            except StoreFullError as error:
                say("full", len(stored), error)
                break
            stored.append(appended.uid)
        else:
            say("never full")
    box = await inbox(stores)
    found = [message async for message in stores.mail.messages(box.id, range(1, 20_000))]
    whole = [len(await stores.mail.octets(message)) == message.size for message in found]
    say("intact", [message.uid for message in found] == stored, all(whole), box.messages == len(stored))
    say("files", sum(1 for _ in (state / "bodies").iterdir()) == sum(message.size > 65536 for message in found))
    ballast.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await stores.mail.append(1, "INBOX", MESSAGE)
    say("again", (await inbox(stores)).messages == len(stored) + 1)


async def fill_limited(stores: Stores, state: Path) -> None:
    """The same where no small disk can be had: no file may grow beyond a limit."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT // 8, resource.RLIM_INFINITY))
    await fill(stores, state)


async def ask_hundred(stores: Stores, state: Path) -> None:
    """Hold a hundred events against the rules, many at once, and tell how many fired."""
    gate = stores.gate.session("mail", session="child", peer="10.0.0.2")
    verdicts = await asyncio.gather(*(gate.ask("rcpt", recipient="bob@x.test") for _ in range(100)))
    say("fired", sum(verdict is not None for verdict in verdicts))


async def deliver_late(stores: Stores, state: Path) -> None:
    """Until killed: deliver as the delivery agent does, for the generation that was read first, and tell what went in."""
    sandbox = await stores.sandboxes.get("t1")
    assert sandbox is not None
    number = 0
    while True:
        account = await stores.accounts.by_address("t1", "u@t1.test")
        if account is None or account.generation != sandbox.generation:
            say("dropped")
        else:
            try:
                await stores.mail.append(
                    account.id, "INBOX", octets_of(number), delivery_id=f"d{number}", recipient="u"
                )
            except NoSuchMailboxError:  # what the reset retired was swept between the look and the write
                say("gone")
            else:
                say("stored")
        number += 1


ERRANDS = {
    "append-one": append_one,
    "append-for-ever": append_for_ever,
    "fill": fill,
    "fill-limited": fill_limited,
    "ask-hundred": ask_hundred,
    "deliver-late": deliver_late,
}


async def main(errand: str, engine: str, state: Path) -> None:
    async with opened(engine, state) as stores:
        await stores.mail.mailboxes(1)
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await ERRANDS[errand](stores, state)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
