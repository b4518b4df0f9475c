"""The corpus through FETCH and SEARCH: whatever a message looks like, the answers are well-formed and agree with each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portyard.commons.effects import Send
from portyard.commons.events import Line
from portyard.imap.core.session import ImapSession
from tests.support.asyncio_tests import run
from tests.support.corpus import corpus
from tests.support.imap import core, fetched
from tests.support.yard import open_yard

SEARCHES = ("BODY zebra", "TEXT a", "SUBJECT a", "FROM a", "SENTSINCE 1-Jan-1990", 'HEADER X-Any ""', "NOT TO a")


async def say(session: ImapSession, line: str) -> bytes:
    effects = [effect async for effect in session.receive(Line(line.encode()))]
    sent = b"".join(effect.data for effect in effects if isinstance(effect, Send))
    last = sent.split(b"\r\n")[-2]
    assert last.startswith(line.partition(" ")[0].encode() + b" OK"), last
    return sent


def leaves(structure: list[Any], path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
    """The parts of a BODYSTRUCTURE that aren't multiparts, by their numbers (RFC 3501 §6.4.5)."""
    if isinstance(structure[0], list):
        children = itertools.takewhile(lambda part: isinstance(part, list), structure)
        for number, child in enumerate(children, 1):
            yield from leaves(child, (*path, number))
        return
    yield path or (1,), structure
    if structure[0].lower() == b"message" and structure[1].lower() == b"rfc822":
        inner, here = structure[8], path or (1,)
        yield from leaves(inner, here if isinstance(inner[0], list) else (*here, 1))


def test_every_part_that_is_shown_can_be_fetched_and_is_as_long_as_shown(tmp_path: Path) -> None:
    samples = corpus()

    async def go() -> None:
        async with open_yard(tmp_path) as yard:
            account = await yard.accounts.find("alice")
            assert account is not None
            for sample in samples:
                await yard.mail.append(account.id, "INBOX", sample.octets)
            session, _ = core(yard)
            await say(session, "a LOGIN alice alice-secret")
            await say(session, "a EXAMINE INBOX")
            for number, sample in enumerate(samples, 1):
                shown = fetched(await say(session, f"a FETCH {number} (ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE)"))
                assert len(shown[b"ENVELOPE"]) == 10, sample.name
                assert int(shown[b"RFC822.SIZE"]) == len(sample.octets), sample.name
                for path, part in leaves(shown[b"BODYSTRUCTURE"]):
                    name = ".".join(map(str, path))
                    (body,) = fetched(await say(session, f"a FETCH {number} (BODY.PEEK[{name}])")).values()
                    assert len(body) == int(part[6]), (sample.name, name)
                header = fetched(await say(session, f"a FETCH {number} (BODY.PEEK[HEADER])"))[b"BODY[HEADER]"]
                text = fetched(await say(session, f"a FETCH {number} (BODY.PEEK[TEXT])"))[b"BODY[TEXT]"]
                assert header + text == sample.octets, sample.name
                only = fetched(await say(session, f"a FETCH {number} (BODY.PEEK[HEADER.FIELDS (To)])"))
                rest = fetched(await say(session, f"a FETCH {number} (BODY.PEEK[HEADER.FIELDS.NOT (To)])"))
                both = b"".join([*only.values(), *rest.values()])
                empty_line = b"\r\n" if header == b"\r\n" or header.endswith(b"\r\n\r\n") else b""
                assert sorted(both) == sorted(header + empty_line), sample.name
                for search in SEARCHES:
                    await say(session, f"a SEARCH {number} {search}")

    run(go())
