"""Full-screen programs, run by tests that look at nothing of what they paint."""

from __future__ import annotations

import asyncio
import os
import pty
from pathlib import Path

LIMIT_S = 120.0


async def in_a_terminal(*words: str, home: Path) -> None:
    """Run a full-screen program with a terminal of its own, reading what it paints until it ends."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "HOME": str(home), "LINES": "24", "COLUMNS": "80", "LC_ALL": "C"}
    process = await asyncio.create_subprocess_exec(
        *words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    painted = bytearray()
    loop = asyncio.get_running_loop()

    def paint() -> None:
        try:
            painted.extend(os.read(ours, 65536))
        except OSError:  # Linux says EIO once the other end has closed
            loop.remove_reader(ours)

    loop.add_reader(ours, paint)
    try:
        async with asyncio.timeout(LIMIT_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(painted.decode("utf-8", "replace")[-3000:]) from None
    finally:
        loop.remove_reader(ours)
        os.close(ours)
    assert code == 0, painted.decode("utf-8", "replace")[-3000:]
