"""The mbox that is exported, read by neomutt: it takes each message out of it, and each is the one that came."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.support.asyncio_tests import run
from tests.support.console import console
from tests.support.corpus import corpus
from tests.support.terminal import in_a_terminal

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("neomutt") is None, reason="neomutt is not installed (package neomutt)"),
]
# All messages are copied into a Maildir: a file each, as neomutt has it.
MUTTRC = """\
set folder={home}
set mbox_type=Maildir
set confirmappend=no
set confirmcreate=no
set wait_key=no
set move=no
set auto_tag=yes
set header_cache=""
push "T~A<enter>C{folder}<enter>x"
"""
# What wants care in an mbox, besides what the corpus has.
ODD = (
    b"Subject: quoted\r\n\r\nFrom here\r\n>From there\r\n>>From afar\r\n From within\r\nFrom",
    b"Subject: looks like the next one\r\n\r\n\r\nFrom mira@harbour.test Mon Mar  2 09:30:00 2026\r\nSubject: inner\r\n\r\nx\r\n",
    b'From: "Mira  Holt" <mira@harbour.test>\r\nSubject: no body\r\n',
    b"Subject: an empty body\r\n\r\n",
    b"Subject: ends in empty lines\r\n\r\nx\r\n\r\n\r\n",
    b"Subject: no end of line\r\n\r\nx",
    b'From: "an odd\tone"@harbour.test\r\nSubject: odd\r\n\r\nx\r\n',
    b"From: K\xc3\xa4pt'n <k\xc3\xa4ptn@harbour.test>\r\nSubject: raw\r\n\r\nx\r\n",
    b"Subject: counts wrongly\r\nContent-Length: 3\r\nLines: 70\r\n\r\nFrom here\r\nto there\r\n",
)

# Neomutt writes a header's end before the line that is no field.
UNREAD = {"starts-with-blank-fold", "header-without-colon", "space-before-colon"}


def taken(octets: bytes) -> bytes:
    """What neomutt took out, without what it leaves to us: it knows the kind of mbox that quotes once, or counts."""
    return uncounted(re.sub(rb"^>(?=>*From )", b"", octets, flags=re.MULTILINE))


def put(octets: bytes) -> bytes:
    """What was put in, as an mbox can carry it: one kind of line ends, and an end of the last line."""
    lines = re.sub(rb"\r\n|\r", b"\n", octets)
    return uncounted(lines if lines.endswith(b"\n") else lines + b"\n")


def uncounted(octets: bytes) -> bytes:
    """Without what neomutt writes anew: lengths, and an end of the header where a message has none."""
    header, _, body = octets.partition(b"\n\n")
    return (
        re.sub(rb"^(?:Content-Length|Lines): .*\n?", b"", header.rstrip(b"\n") + b"\n", flags=re.MULTILINE)
        + b"\n"
        + body
    )


def test_neomutt_takes_every_message_out(tmp_path: Path) -> None:
    messages = [*ODD, *(sample.octets for sample in corpus() if sample.name not in UNREAD)]
    folder = tmp_path / "taken"

    async def main() -> None:
        async with console(tmp_path / "state") as client:
            for octets in messages:
                await client.put(octets)
            (tmp_path / "export.mbox").write_bytes(await client.raw("sandboxes/default/messages/export"))
        config = tmp_path / "muttrc"
        config.write_text(MUTTRC.format(folder=folder, home=tmp_path))
        await in_a_terminal("neomutt", "-n", "-F", str(config), "-f", str(tmp_path / "export.mbox"), home=tmp_path)

    run(main())
    files = list(folder.glob("*/*"))
    assert len(files) == len(messages)
    found, wanted = {taken(path.read_bytes()) for path in files}, set(map(put, messages))
    assert (sorted(found - wanted), sorted(wanted - found)) == ([], [])
