"""IMAP: how fast a large message leaves, what a large mailbox costs, how soon an idling session hears, and TLS handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from benchmarks.figures import Outcome, Table, median, percentile, shown, spread, verdict
from benchmarks.load import message
from benchmarks.plan import Plan
from benchmarks.processes import HOST, Testbed
from benchmarks.reading import MailboxReader

LOGIN = ("alice@portyard.test", "alice-secret")
IDLE_MS = 50.0
"""Wanted from a delivery to the idling session's line."""
BATCH = 500
Tell = Callable[[str], None]
Timings = dict[str, list[float]]


def measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    """All of it."""
    return asyncio.run(_measure(plan, folder, tell))


async def _measure(plan: Plan, folder: Path, tell: Tell) -> Outcome:
    one = folder / "one"
    one.mkdir()
    with contextlib.ExitStack() as running:
        testbed = Testbed(one, str(one / "state"))
        running.callback(testbed.stop)
        await asyncio.to_thread(testbed.wait_open)
        context = ssl.create_default_context(cafile=str(one / "state" / "tls" / "ca.pem"))
        tell(f"IMAP: fetching {plan.fetch_megabytes} MB")
        fetched = await _fetch(plan, testbed, context)
        tell(f"IMAP: a mailbox of {plan.mailbox:,} messages")
        large = await _large_mailbox(plan, testbed, tell)
        tell("IMAP: idling, one process")
        waits = {"one process": await _idle(plan, testbed, testbed)}
        tell("IMAP: TLS handshakes")
        rate = await _handshakes(plan, testbed.port("imaps"), context)
    two = folder / "two"
    two.mkdir()
    with contextlib.ExitStack() as running:
        tell("IMAP: idling, two processes")
        reading = Testbed(two, str(two / "state"), ("imap",))
        running.callback(reading.stop)
        await asyncio.to_thread(reading.wait_open)
        taking = Testbed(two, str(two / "state"), ("mda",), offset=reading.offset)
        running.callback(taking.stop)
        await asyncio.to_thread(taking.wait_open)
        waits["delivered by another process"] = await _idle(plan, taking, reading)
    data = {"fetch_mb_s": fetched, "large_ms": large, "idle_ms": waits, "handshakes_s": rate}
    return Outcome((_throughput(fetched, rate), _mailbox(plan, large), _waits(waits)), data)


async def _fetch(plan: Plan, testbed: Testbed, context: ssl.SSLContext) -> Timings:
    """MB a second, plain and by TLS in turn."""
    octets = message(plan.fetch_megabytes * 1_000_000)
    found: Timings = {"plain": [], "TLS": []}
    plain = await MailboxReader.open(testbed.port("imap"), *LOGIN)
    secret = await MailboxReader.open(testbed.port("imaps"), *LOGIN, context=context)
    await plain.append("INBOX", octets)
    for session in (plain, secret):
        await session.ask("EXAMINE INBOX")
    for _ in range(plan.fetches):
        for name, session in (("plain", plain), ("TLS", secret)):
            began = time.monotonic()
            await session.ask("FETCH * (BODY.PEEK[])")
            found[name].append(len(octets) / 1e6 / (time.monotonic() - began))
    for session in (plain, secret):
        await session.close()
    return found


async def _large_mailbox(plan: Plan, testbed: Testbed, tell: Tell) -> Timings:
    """Milliseconds of each command."""
    session = await MailboxReader.open(testbed.port("imap"), *LOGIN)
    await session.ask("CREATE large")
    small = message(600)
    for done in range(0, plan.mailbox, BATCH):
        tell(f"IMAP: a mailbox of {plan.mailbox:,} messages, {done:,} stored")
        await session.append_many("large", small, min(BATCH, plan.mailbox - done))
    await session.ask("SELECT large")
    commands = {
        "SELECT": "SELECT large",
        "SEARCH ALL": "SEARCH ALL",
        "SEARCH UNSEEN": "SEARCH UNSEEN",
        "SEARCH SUBJECT (every message)": "SEARCH SUBJECT benchmark",
        "SEARCH TEXT (no message)": "SEARCH TEXT nowhere-to-be-found",
        "FETCH 1:* (FLAGS)": "FETCH 1:* (FLAGS)",
        "FETCH 1:* (ENVELOPE)": "FETCH 1:* (ENVELOPE)",
    }
    found: Timings = {}
    for name, command in commands.items():
        tell(f"IMAP: {name}")
        found[name] = []
        for _ in range(plan.asks if "TEXT" not in name else min(3, plan.asks)):
            began = time.monotonic()
            await session.ask(command)
            found[name].append((time.monotonic() - began) * 1000)
    await session.close()
    return found


async def _idle(plan: Plan, taking: Testbed, reading: Testbed) -> list[float]:
    """Milliseconds from the end of a delivery's data until the idling session hears of it."""
    session = await MailboxReader.open(reading.port("imap"), "bob@portyard.test", "bob-secret")
    await session.ask("SELECT INBOX")
    session.writer.write(b"i IDLE\r\n")
    await session.reader.readline()
    found: list[float] = []
    async with _courier(taking.port("lmtp")) as deliver:
        for _ in range(plan.idles):
            began = await deliver()
            while b" EXISTS" not in await session.line():
                pass
            found.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(0.005)
    session.writer.write(b"DONE\r\n")
    while not (await session.line()).startswith(b"i "):
        pass
    await session.close()
    return found


@contextlib.asynccontextmanager
async def _courier(port: int) -> AsyncIterator[Callable[[], asyncio.Future[float]]]:
    """Delivers a message by LMTP; when its last octet was sent. The answer is read behind, before the next one."""
    reader, writer = await asyncio.open_connection(HOST, port)
    octets = message(1000) + b".\r\n"

    async def say(words: bytes) -> None:
        writer.write(words)
        while (await reader.readline())[3:4] == b"-":
            pass

    await reader.readline()
    await say(b"LHLO bench.test\r\n")
    unread = False

    async def deliver() -> float:
        nonlocal unread
        if unread:
            await reader.readline()
        await say(b"MAIL FROM:<load@example.org>\r\n")
        await say(b"RCPT TO:<bob@portyard.test>\r\n")
        await say(b"DATA\r\n")
        writer.write(octets)
        unread = True
        return time.monotonic()

    yield lambda: asyncio.ensure_future(deliver())
    writer.close()


async def _handshakes(plan: Plan, port: int, context: ssl.SSLContext) -> float:
    """New TLS connections a second, each until the greeting, none resumed."""
    left = plan.handshakes

    async def shake() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost")
            await reader.readline()
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    began = time.monotonic()
    await asyncio.gather(*(shake() for _ in range(plan.connections)))
    return plan.handshakes / (time.monotonic() - began)


def _throughput(fetched: Timings, rate: float) -> Table:
    plain = median(fetched["plain"])
    rows = [
        (f"FETCH, {name}", f"{shown(median(values) / plain, 2)} ×", f"{shown(median(values))} MB/s", spread(values))
        for name, values in fetched.items()
    ]
    rows.append(("TLS connections until the greeting", "–", f"{shown(rate)} a second", "–"))
    note = "The client is asyncio's own streams in the benchmark's process: its share of the work is in these figures."
    return Table(
        "IMAP: a message of 25 MB, and handshakes",
        ("what", "of plain", "median", "lowest … highest"),
        tuple(rows),
        note,
    )


def _mailbox(plan: Plan, large: Timings) -> Table:
    first = median(large["SELECT"])
    rows = tuple(
        (name, f"{shown(median(values) / first, 1)} ×", shown(median(values), 1), spread(values, 1))
        for name, values in large.items()
    )
    columns = ("command", "of SELECT", "ms, median", "lowest … highest")
    return Table(f"IMAP: a mailbox of {plan.mailbox:,} messages", columns, rows)


def _waits(waits: Timings) -> Table:
    rows = tuple(
        (
            name,
            f"{shown(percentile(values, 0.99) / IDLE_MS, 2)} ×",
            verdict(percentile(values, 0.99), IDLE_MS),
            shown(median(values), 1),
            shown(percentile(values, 0.99), 1),
        )
        for name, values in waits.items()
    )
    columns = ("delivery by LMTP", "p99 of the wanted 50 ms", "kept", "median ms", "p99 ms")
    note = "From the last octet of the message that is sent to the idling session's EXISTS line: the store's commit is in it."
    return Table("IMAP: how soon an idling session hears", columns, rows, note)
