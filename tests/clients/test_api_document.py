"""Every command of docs/api.md, run as it stands there, against a testbed of one's own."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from portyard.dns.card import CARD as DNS
from portyard.smtp.card import CARD as SMTP
from portyard.ssh.card import CARD as SSH
from tests.support.asyncio_tests import run
from tests.support.console import console
from tests.support.document import unhurried

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MISSING = [program for program in ("bash", "curl", "jq") if shutil.which(program) is None]


@pytest.mark.client
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_documents_commands(tmp_path: Path) -> None:
    blocks = BLOCKS.findall(DOCUMENT.read_text())
    assert len(blocks) > 10

    async def main() -> None:
        async with console(tmp_path / "state", DNS, SMTP, SSH) as client:
            script = "set -euo pipefail\nset -x\n" + "\n".join(map(unhurried, blocks))
            script = script.replace("http://127.0.0.1:8025/api/v1", client.api)
            script = script.replace("smtp://127.0.0.1:3025", f"smtp://127.0.0.1:{client.served.port('smtp')}")
            assert ":8025" not in script
            process = await asyncio.create_subprocess_exec(
                "bash", "-c", script, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()[-2000:]
            assert [each.name for each in await client.yard.sandboxes.list()] == ["default"]
            assert b"Subject: Your code" in (tmp_path / "messages.mbox").read_bytes()
            assert b'"kind":"command"' in (tmp_path / "events.jsonl").read_bytes()
            for name in ("ca.pem", "ca.p12", "known_hosts"):
                assert (tmp_path / name).stat().st_size > 100

    run(main())
