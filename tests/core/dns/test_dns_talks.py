from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portyard.dns.core.zones import View
from tests.support.dns_talks import TALKS, CoreStream, bed_of, datagrams, read, run_talk

WAYS = {"udp": None, "tcp whole, with a tail": 0, "tcp byte by byte": 1}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_talk(path: Path, way: str) -> None:
    talk = read(path)
    if talk.headers.get("transport", "both") not in ("both", way[:3]):
        return

    async def main() -> None:
        bed, view = await bed_of(talk), View(talk.headers.get("view", "host"))
        cut = WAYS[way]
        if cut is None:
            await run_talk(talk, datagrams(bed, view), bed.rule)
        else:
            stream = CoreStream(bed, view, cut)
            await run_talk(talk, stream.exchange, bed.rule)
            await stream.leave()

    asyncio.run(main())


def test_talks_are_there() -> None:
    assert len(TALKS) >= 10
