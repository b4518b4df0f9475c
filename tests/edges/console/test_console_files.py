"""An account's files over the API: written, listed, read, removed, and never outside the root."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from yarl import URL

from portyard.commons.settings import Limits
from tests.support.asyncio_tests import run
from tests.support.console import console

FILES = "sandboxes/default/files/alice"


def test_a_files_life(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            assert await client.get(FILES) == []
            octets = os.urandom(700_000)
            made = await client.ask("PUT", f"{FILES}/a/b/data.bin", 201, data=octets)
            assert (made["name"], made["type"], made["size"]) == ("data.bin", "file", 700_000)
            assert await client.raw(f"{FILES}/a/b/data.bin") == octets
            assert [(each["name"], each["type"]) for each in await client.get(FILES)] == [("a", "directory")]
            assert [each["size"] for each in await client.get(f"{FILES}/a/b/")] == [700_000]
            await client.ask("PUT", f"{FILES}/a/b/data.bin", 200, data=b"short")
            assert await client.raw("sandboxes/default/files/alice%40portyard.test/a/b/data.bin") == b"short"
            folder = await client.ask("PUT", f"{FILES}/empty/", 201)
            assert (folder["name"], folder["type"]) == ("empty", "directory")
            account = await client.yard.accounts.find("alice")
            assert account is not None
            root = client.yard.files.root(account)
            root.symlink("/a/b/data.bin", "/link")
            listed = {each["name"]: each["type"] for each in await client.get(FILES)}
            assert listed == {"a": "directory", "empty": "directory", "link": "link"}
            assert await client.raw(f"{FILES}/link") == b"short"
            await client.ask("DELETE", f"{FILES}/a", 204)
            await client.problem("GET", f"{FILES}/a/b/data.bin", 404)
            await client.ask("DELETE", FILES, 204)
            assert await client.get(FILES) == []

    run(main())


def test_names_of_all_kinds(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            for name in ("Grüße €.txt", "a b", "100%", "?x=1#y", "-rf", "new\nline"):
                url = URL(f"{client.api}/{FILES}/{quote(name, safe='')}", encoded=True)
                async with client.http.put(url, data=name.encode()) as response:
                    assert response.status == 201
                async with client.http.get(url) as response:
                    assert (await response.read()).decode() == name
            assert len(await client.get(FILES)) == 6

    run(main())


def test_a_fragment_is_no_part_of_a_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("PUT", f"{FILES}/note", 201, data=b"some")
            url = URL(f"{client.api}/{FILES}/note")
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(f"GET {url.raw_path}#end HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n\r\n".encode())
            assert (await reader.read()).endswith(b"\r\n\r\nsome")
            writer.close()

    run(main())


def test_nothing_leads_outside(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            (tmp_path / "secret.txt").write_text("no")
            for path in ("%2e%2e/%2e%2e/%2e%2e/secret.txt", "..%2f..%2f..%2fsecret.txt", "%2fetc%2fpasswd"):
                await client.problem("GET", f"{FILES}/{path}", 404)
            account = await client.yard.accounts.find("alice")
            assert account is not None
            client.yard.files.root(account).symlink("/../../../secret.txt", "/out")
            await client.problem("GET", f"{FILES}/out", 404)
            await client.ask("PUT", f"{FILES}/..%2fx", 201, data=b"x")
            assert [each["name"] for each in await client.get(FILES)] == ["out", "x"]

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{FILES}/none", 404),
        ("DELETE", f"{FILES}/none", 404),
        ("GET", f"{FILES}/file/below", 409),
        ("PUT", f"{FILES}/file/below", 409),
        ("PUT", f"{FILES}/folder", 409),
        ("PUT", f"{FILES}/file/", 409),
        ("PUT", f"{FILES}/nul%00", 422),
        ("PUT", f"{FILES}/" + "n" * 300, 422),
        ("GET", "sandboxes/default/files/nobody/x", 404),
        ("GET", "sandboxes/nope/files/alice/x", 404),
    ],
)
def test_what_cant_be_done(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            await client.ask("PUT", f"{FILES}/file", 201, data=b"stays")
            await client.ask("PUT", f"{FILES}/folder/", 201)
            problem = await client.problem(method, path, status, data=b"x" if method == "PUT" else None)
            assert problem["key"] in ("path", "address", "sandbox")
            assert await client.raw(f"{FILES}/file") == b"stays"
            assert len(await client.get(FILES)) == 2

    run(main())


def test_an_upload_that_is_too_large_or_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def main() -> None:
        limits = msgspec.structs.replace(Limits(), upload=100_000)
        async with console(tmp_path, limits=limits) as client:
            await client.ask("PUT", f"{FILES}/file", 201, data=b"old")
            problem = await client.problem("PUT", f"{FILES}/file", 413, data=b"x" * 100_001)
            assert problem["key"] == "body"
            with contextlib.suppress(ConnectionError, OSError):
                await client.problem("PUT", f"{FILES}/file", 413, data=endless())
            _, writer = await asyncio.open_connection("127.0.0.1", client.served.port("console"))
            head = f"PUT /api/v1/{FILES}/file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"
            writer.write(head.encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert await client.raw(f"{FILES}/file") == b"old"
            assert [each["name"] for each in await client.get(FILES)] == ["file"]

    run(main())


def test_a_name_of_octets_that_are_no_text_is_listed_read_and_removed(tmp_path: Path) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            account = await client.yard.accounts.find("alice")
            assert account is not None
            with client.yard.files.root(account).replace("/caf\udce9.txt") as file:  # as SFTP writes it
                file.write(b"some")
            assert [each["name"] for each in await client.get(FILES)] == ["caf\\xe9.txt"]
            async with client.http.get(URL(f"{client.api}/{FILES}/caf%E9.txt", encoded=True)) as response:
                assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''caf%E9.txt"
                assert await response.read() == b"some"
            for path, status in (("caf%E9.txt", 200), ("%FF/%FE", 201), ("caf%25E9.txt", 201), ("caf%E9.txt/", 409)):
                async with client.http.put(
                    URL(f"{client.api}/{FILES}/{path}", encoded=True), data=b"other"
                ) as response:
                    assert response.status == status
            listed = [each["name"] for each in await client.get(FILES)]
            assert sorted(listed) == ["\\xff", "caf%E9.txt", "caf\\xe9.txt"]
            async with client.http.delete(URL(f"{client.api}/{FILES}/caf%E9.txt", encoded=True)) as response:
                assert response.status == 204
            assert sorted([each["name"] for each in await client.get(FILES)]) == ["\\xff", "caf%E9.txt"]

    run(main())
