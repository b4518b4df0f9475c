"""Libraries that live behind the layer."""

from __future__ import annotations

import asyncio
import io
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.layer import serve_tls
from tests.edges.tls.conftest import Run
from tests.edges.tls.peers import output_of, strict

SIZE = 3_000_000
POSTED = 1_000_000  # aiohttp takes a MiB


async def with_aiohttp(authority: Authority, folder: Path, errand: Any) -> None:
    big = folder / "big"
    big.write_bytes(b"file" * (SIZE // 4))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/file":
            return web.FileResponse(big)
        if request.path == "/socket":
            there = web.WebSocketResponse()
            await there.prepare(request)
            async for message in there:
                await there.send_str(f"{message.data} yourself")
            return there
        return web.Response(text=f"{request.scheme} {len(await request.read())}")

    server = web.Server(answer)
    context = authority.context("good", ("http/1.1",))
    listening = await asyncio.get_running_loop().create_server(
        lambda: serve_tls(server, lambda hello: context), "127.0.0.1", 0
    )
    try:
        await errand(f"localhost:{listening.sockets[0].getsockname()[1]}")
    finally:
        listening.close()
        await server.shutdown(1)
        await listening.wait_closed()


def test_aiohttp_behind_it(authority: Authority, run: Run, tmp_path: Path) -> None:
    async def errand(where: str) -> None:
        connector = aiohttp.TCPConnector(ssl=strict(authority))
        async with aiohttp.ClientSession(connector=connector, base_url=f"https://{where}") as session:
            for _ in range(3):  # over one kept connection
                async with session.post("/", data=io.BytesIO(b"x" * POSTED)) as response:
                    assert await response.text() == f"https {POSTED}"
            async with session.get("/file") as response:
                assert await response.read() == b"file" * (SIZE // 4)
            async with session.ws_connect("/socket") as there:
                await there.send_str("hello")
                assert await there.receive_str() == "hello yourself"

    run(with_aiohttp(authority, tmp_path, errand))


@pytest.mark.client
def test_curl_verifies_with_our_ca(authority: Authority, run: Run, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    async def errand(where: str) -> None:
        curl = ("curl", "-sS", "-v", "--cacert", str(authority.ca_path))
        status, printed = await output_of(*curl, "--data-binary", "hello", f"https://{where}/")
        assert status == 0, printed
        assert printed.endswith("https 5")
        assert "ALPN: server accepted http/1.1" in printed
        status, _ = await output_of(*curl, "-o", str(tmp_path / "got"), f"https://{where}/file")
        assert status == 0
        assert (tmp_path / "got").read_bytes() == b"file" * (SIZE // 4)

    run(with_aiohttp(authority, tmp_path, errand))
