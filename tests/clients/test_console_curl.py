"""curl uses the console."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.console import console

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (package curl)"),
]


async def curl(*words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out


def test_an_errand(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            default = f"{client.api}/sandboxes/default"
            made = json.loads(await curl("-d", '{"name": "u1", "password": "pw1"}', f"{default}/accounts"))
            assert made["address"] == "u1@portyard.test"
            waiting = asyncio.create_task(curl(f"{default}/messages/wait?subject=code&count=1&timeout=30"))
            await client.deliver("your code", "u1@portyard.test")
            (message,) = json.loads(await waiting)["messages"]
            raw = await curl(f"{default}/messages/{message['id']}/raw")
            assert b"Subject: your code\r\n" in raw
            assert await curl("-X", "DELETE", f"{default}/messages/{message['id']}") == b""
            assert json.loads(await curl(f"{default}/messages")) == []
            assert b"BEGIN CERTIFICATE" in await curl(f"{client.api}/ca.pem")
            head = await curl("--head", f"{client.api}/endpoints")
            assert head.startswith(b"HTTP/1.1 200")

    run(main())
