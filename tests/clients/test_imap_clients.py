"""Stock clients do a whole errand against the IMAP room: curl, isync and neomutt."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portyard.commons.yard import Yard
from portyard.imap.card import CARD
from tests.support.asyncio_tests import run
from tests.support.talks import PASSWORD, USER, deliver, messages_of
from tests.support.terminal import in_a_terminal
from tests.support.yard import Served, open_yard, serve

pytestmark = pytest.mark.client
PACKAGES = {"curl": "curl", "mbsync": "isync", "neomutt": "neomutt"}
WAYS = ["imap", "starttls", "imaps"]


def needs(program: str) -> pytest.MarkDecorator:
    reason = f"{program} is not installed (package {PACKAGES[program]})"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


@asynccontextmanager
async def served(tmp_path: Path, persona: str = "") -> AsyncIterator[Served]:
    personas = {"imap": persona} if persona else {}
    async with open_yard(tmp_path / "state", personas=personas) as yard, serve(yard, CARD) as running:
        await deliver(yard, "two-short.mbox")
        yield running


async def command(*words: str, environment: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return out.decode()


async def counts(yard: Yard, *names: str) -> list[int]:
    account = await yard.accounts.find(USER)
    assert account is not None
    found = [await yard.mail.mailbox(account.id, name) for name in names]
    return [box.messages if box else -1 for box in found]


@needs("curl")
@pytest.mark.parametrize("way", WAYS)
def test_curl_lists_reads_searches_uploads_and_stores(way: str, tmp_path: Path) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_bytes(b"Subject: from curl\r\n\r\nUploaded.\r\n")

    async def main() -> None:
        async with served(tmp_path) as running:
            name = "imaps" if way == "imaps" else "imap"
            url = f"{name}://localhost:{running.port(name)}"
            common = ["curl", "-sS", "--max-time", "60", "--cacert", running.ca_file, "-u", f"{USER}:{PASSWORD}"]
            common += ["--ssl-reqd"] if way == "starttls" else []
            assert '"/" "INBOX"' in await command(*common, url)
            assert "Subject: Tide table" in await command(*common, f"{url}/INBOX;MAILINDEX=1")
            text = messages_of("two-short.mbox")[1].decode().partition("\r\n\r\n")[2]
            assert await command(*common, f"{url}/INBOX;UID=2;SECTION=TEXT") == text
            assert await command(*common, f"{url}/INBOX?SUBJECT%20ropes") == "* SEARCH 2\r\n"
            await command(*common, "-T", str(letter), f"{url}/Drafts")
            stored = await command(*common, f"{url}/INBOX", "-X", "STORE 1 +FLAGS (\\Deleted)")
            assert "\\Deleted" in stored
            await command(*common, f"{url}/INBOX", "-X", "EXPUNGE")
            assert await counts(running.yard, "INBOX", "Drafts") == [1, 1]

    run(main())


MBSYNC = """\
IMAPAccount yard
Host localhost
Port {port}
User {user}
Pass {password}
{tls}
CertificateFile {ca}
AuthMechs {mechanism}

IMAPStore far
Account yard

MaildirStore near
SubFolders Verbatim
Path {folder}/
Inbox {folder}/INBOX

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
"""


@needs("mbsync")
@pytest.mark.parametrize("way", WAYS)
def test_mbsync_mirrors_both_ways(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()
    tls = {"imap": "SSLType None", "starttls": "SSLType STARTTLS", "imaps": "SSLType IMAPS"}[way]

    async def main() -> None:
        async with served(tmp_path) as running:
            config = tmp_path / "mbsyncrc"
            config.write_text(
                MBSYNC.format(
                    port=running.port("imaps" if way == "imaps" else "imap"),
                    user=USER,
                    password=PASSWORD,
                    tls=tls,
                    ca=running.ca_file,
                    mechanism="LOGIN",
                    folder=folder,
                )
            )
            await command("mbsync", "-c", str(config), "-a")
            got = sorted((folder / "INBOX" / "cur").iterdir()) + sorted((folder / "INBOX" / "new").iterdir())
            assert len(got) == 2
            assert (folder / "Sent").is_dir()
            # One is read and deleted here, one is new here: both go there.
            got[0].rename(folder / "INBOX" / "cur" / (got[0].name.partition(":")[0] + ":2,ST"))
            (folder / "INBOX" / "new" / "1.local").write_bytes(b"Subject: from here\n\nNew.\n")
            (folder / "INBOX" / "new" / "2.local").write_bytes(b"Subject: too\n\nNew.\n")
            await command("mbsync", "-c", str(config), "-a")
            assert await counts(running.yard, "INBOX") == [3]
            assert len(list((folder / "INBOX").glob("*/*"))) >= 3

    run(main())


@needs("mbsync")
@pytest.mark.parametrize(
    ("persona", "trash"), [("gmail", "[Gmail]/Trash"), ("exchange", "Deleted Items"), ("dovecot", "Trash")]
)
def test_mbsync_mirrors_each_persona(persona: str, trash: str, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()

    async def main() -> None:
        async with served(tmp_path, persona) as running:
            config = tmp_path / "mbsyncrc"
            config.write_text(
                MBSYNC.format(
                    port=running.port("imaps"),
                    user=USER,
                    password=PASSWORD,
                    tls="SSLType IMAPS",
                    ca=running.ca_file,
                    mechanism="PLAIN",
                    folder=folder,
                )
            )
            await command("mbsync", "-c", str(config), "-a")
            assert len(list((folder / "INBOX").glob("*/*"))) == 2
            assert (folder / trash).is_dir()
            (folder / trash / "new" / "1.local").write_bytes(b"Subject: from here\n\nNew.\n")
            (got, *_) = (folder / "INBOX" / "new").iterdir()
            got.rename(folder / "INBOX" / "cur" / (got.name.partition(":")[0] + ":2,ST"))
            await command("mbsync", "-c", str(config), "-a")
            kept = 1 if persona == "gmail" else 0
            assert await counts(running.yard, "INBOX", "Trash", "Archive") == [1, 1, kept]

    run(main())


MUTTRC = """\
set folder="{scheme}://{user}@localhost:{port}"
set spoolfile="+INBOX"
set imap_user="{user}"
set imap_pass="{password}"
set ssl_starttls={starttls}
set ssl_force_tls={force}
set certificate_file="{ca}"
set ssl_ca_certificates_file="{ca}"
set ssl_use_system_certs=no
set mbox="+Archive"
set move=no
set delete=yes
set quit=yes
set resolve=no
set confirmappend=no
set confirmcreate=no
set wait_key=no
set imap_check_subscribed=no
set header_cache=""
push "<flag-message><copy-message>=Archive<enter><delete-message><sync-mailbox><quit>"
"""


@needs("neomutt")
@pytest.mark.parametrize("persona", ["exchange", "dovecot"])
def test_neomutt_meets_each_persona(persona: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, persona) as running:
            config = tmp_path / "muttrc"
            fields = {"scheme": "imap", "user": USER, "password": PASSWORD, "port": running.port("imap")}
            config.write_text(MUTTRC.format(**fields, starttls="yes", force="yes", ca=running.ca_file))
            await in_a_terminal("neomutt", "-n", "-F", str(config), home=tmp_path)
            assert await counts(running.yard, "INBOX", "Archive") == [1, 1]

    run(main())


@needs("neomutt")
@pytest.mark.parametrize("way", WAYS)
def test_neomutt_flags_copies_and_deletes(way: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as running:
            config = tmp_path / "muttrc"
            scheme = "imaps" if way == "imaps" else "imap"
            config.write_text(
                MUTTRC.format(
                    scheme=scheme,
                    user=USER,
                    password=PASSWORD,
                    port=running.port(scheme),
                    starttls="yes" if way == "starttls" else "no",
                    force="no" if way == "imap" else "yes",
                    ca=running.ca_file,
                )
            )
            await in_a_terminal("neomutt", "-n", "-F", str(config), home=tmp_path)
            assert await counts(running.yard, "INBOX", "Archive") == [1, 1]
            account = await running.yard.accounts.find(USER)
            assert account is not None
            archive = await running.yard.mail.mailbox(account.id, "Archive")
            assert archive is not None
            (entry,) = await running.yard.mail.entries(archive.id)
            assert "\\Flagged" in entry.flags

    run(main())
