"""curl and lftp do whole errands."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.support.asyncio_tests import LOOPS, run
from tests.support.ftp import PASSWORD, USER, Ftp, open_ftp

pytestmark = pytest.mark.client
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (package curl)")
needs_lftp = pytest.mark.skipif(shutil.which("lftp") is None, reason="lftp is not installed (package lftp)")


async def program(*words: str) -> bytes:
    """Run a program to its end; its output."""
    environment = {**os.environ, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, f"{words}: {errors.decode()}{out.decode(errors='replace')[-500:]}"
    return out


def where(ftp: Ftp, kind: str) -> tuple[str, list[str]]:
    """The URL's beginning and curl's options for it."""
    if kind == "implicit":
        return f"ftps://localhost:{ftp.served.port('ftps')}", ["--cacert", ftp.served.ca_file]
    options = ["--ssl-reqd", "--cacert", ftp.served.ca_file] if kind == "explicit" else []
    return f"ftp://localhost:{ftp.served.port('ftp')}", options


@needs_curl
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["plain", "explicit", "implicit"])
def test_curl(kind: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            base, options = where(ftp, kind)
            curl = ["curl", "-sS", "--max-time", "180", "-u", f"{USER}:{PASSWORD}", *options]
            source = tmp_path / "source"
            data = os.urandom(2_000_000)
            source.write_bytes(data)
            await program(*curl, "-T", str(source), f"{base}/new/folder/f", "--ftp-create-dirs")
            assert await program(*curl, f"{base}/new/folder/f") == data
            assert await program(*curl, "-r", "10-19", f"{base}/new/folder/f") == data[10:20]
            assert await program(*curl, "-l", f"{base}/new/folder/") in (b"f\n", b"f\r\n")
            assert b"Content-Length: 2000000" in await program(*curl, "-I", f"{base}/new/folder/f")
            await program(*curl, "-a", "-T", str(source), f"{base}/new/folder/f")
            assert await ftp.content("/new/folder/f") == data * 2
            await program(*curl, "-Q", "DELE new/folder/f", "-l", f"{base}/")
            assert (await ftp.root()).list("/new/folder") == []
            if kind == "plain":  # curl before 8.0 begins no TLS on an active data connection
                assert await program(*curl, "-P", "127.0.0.1", "-l", f"{base}/") in (b"new\n", b"new\r\n")
                return
            tls = [event.fields for event in await ftp.events("tls")]
            assert {fields["resumed"] for fields in tls if fields["step"] == "data established"} == {True}

    run(go(), loop)


@needs_curl
def test_curl_resumes_an_upload(tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            base, _ = where(ftp, "plain")
            source = tmp_path / "source"
            source.write_bytes(b"0123456789")
            with (await ftp.root()).open("/f", "wb") as file:
                file.write(b"01234")
            await program("curl", "-sS", "-u", f"{USER}:{PASSWORD}", "-C", "-", "-T", str(source), f"{base}/f")
            assert await ftp.content("/f") == b"0123456789"

    run(go())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@needs_lftp
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["plain", "explicit", "implicit"])
def test_lftp_mirrors_both_ways(kind: str, loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            source, back = tmp_path / "source", tmp_path / "back"
            (source / "sub" / "deep").mkdir(parents=True)
            (source / "a b.txt").write_bytes(b"text\n")
            (source / "empty").write_bytes(b"")
            (source / "sub" / "ü.bin").write_bytes(os.urandom(500_000))
            for number in range(20):
                (source / "sub" / "deep" / f"f{number}").write_bytes(bytes([number]) * 1000)
            tls = "true" if kind == "explicit" else "false"
            scheme, port = ("ftps", "ftps") if kind == "implicit" else ("ftp", "ftp")
            script = "; ".join(
                [
                    "set cmd:fail-exit true; set net:max-retries 1; set net:timeout 60",
                    f"set ssl:ca-file {ftp.served.ca_file}",
                    f"set ftp:ssl-force {tls}; set ftp:ssl-allow {tls}; set ftp:ssl-protect-data true",
                    f"open -u {USER},{PASSWORD} {scheme}://localhost:{ftp.served.port(port)}",
                    f"mirror -R --parallel=3 {source} up",
                    f"mirror --parallel=3 up {back}",
                    "mv up/empty up/moved; chmod 600 up/moved; rm up/moved; rm -r up/sub; cls -1 up; bye",
                ]
            )
            assert (await program("lftp", "--norc", "-c", script)).decode() == "up/a b.txt\n"
            assert tree(back) == tree(source)
            assert [event for event in await ftp.events("transfer") if not event.fields["complete"]] == []
            assert await ftp.events("error") == []

    run(go(), loop)


@needs_lftp
@pytest.mark.parametrize("kind", ["plain", "implicit"])
def test_lftp_in_active_mode(kind: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            source, back = tmp_path / "source", tmp_path / "back"
            source.write_bytes(os.urandom(500_000))
            scheme, port = ("ftps", "ftps") if kind == "implicit" else ("ftp", "ftp")
            script = (
                "set cmd:fail-exit true; set net:max-retries 1; set ftp:passive-mode false; set ftp:ssl-allow false; "
                f"set ssl:ca-file {ftp.served.ca_file}; open -u {USER},{PASSWORD} {scheme}://localhost:{ftp.served.port(port)}; "
                f"put {source} -o f; get f -o {back}"
            )
            await program("lftp", "--norc", "-c", script)
            assert back.read_bytes() == source.read_bytes()

    run(go())


@needs_curl
@pytest.mark.parametrize("kind", ["plain", "implicit"])
def test_a_hundred_megabytes(kind: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with open_ftp(tmp_path / "state") as ftp:
            base, options = where(ftp, kind)
            curl = ["curl", "-sS", "--max-time", "180", "-u", f"{USER}:{PASSWORD}", *options]
            source, back = tmp_path / "source", tmp_path / "back"
            source.write_bytes(os.urandom(1 << 20) * 100)
            await program(*curl, "-T", str(source), f"{base}/f")
            await program(*curl, "-o", str(back), f"{base}/f")
            await program("cmp", str(source), str(back))

    run(go())
