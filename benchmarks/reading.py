"""A small IMAP client: enough to wait for a message and to read it."""

from __future__ import annotations

import asyncio
import itertools
import re
import ssl

HOST = "127.0.0.1"
POLL_S = 0.005
LIMIT = 64 << 20


class MailboxReader:
    """One IMAP connection. Made by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._tags = itertools.count(1)

    @classmethod
    async def open(cls, port: int, user: str, password: str, context: ssl.SSLContext | None = None) -> MailboxReader:
        """Connect and log in."""
        reader, writer = await asyncio.open_connection(
            HOST, port, ssl=context, server_hostname="localhost" if context else None, limit=LIMIT
        )
        await reader.readline()
        found = cls(reader, writer)
        await found.ask(f"LOGIN {user} {password}")
        return found

    async def ask(self, command: str) -> list[bytes]:
        """A command's untagged answers, literals within.

        Raises:
            RuntimeError: The answer isn't OK.
        """
        tag = f"b{next(self._tags)}".encode()
        self.writer.write(tag + b" " + command.encode() + b"\r\n")
        lines: list[bytes] = []
        while True:
            line = await self.line()
            if line.startswith(tag + b" "):
                if not line.startswith(tag + b" OK"):
                    raise RuntimeError(f"{command}: {line.decode(errors='replace')}")
                return lines
            lines.append(line)

    async def line(self) -> bytes:
        """One answer with its literals.

        Raises:
            ConnectionError: The server is gone.
        """
        line = await self.reader.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        while found := re.search(rb"\{(\d+)\}\r\n\Z", line[-24:]):
            line = b"".join((line, await self.reader.readexactly(int(found[1])), await self.reader.readline()))
        return line

    async def append(self, mailbox: str, octets: bytes) -> None:
        """Store a message."""
        await self.append_many(mailbox, octets, 1)

    async def append_many(self, mailbox: str, octets: bytes, count: int) -> None:
        """Store a message so many times, without waiting in between (RFC 7888)."""
        for _ in range(count):
            self.writer.write(b"x APPEND %b {%d+}\r\n" % (mailbox.encode(), len(octets)) + octets + b"\r\n")
            await self.writer.drain()
        for _ in range(count):
            while not (line := await self.line()).startswith(b"x "):
                pass
            if not line.startswith(b"x OK"):
                raise RuntimeError(f"APPEND: {line.decode(errors='replace')}")

    async def count(self) -> int:
        """How many messages INBOX has."""
        for line in await self.ask("STATUS INBOX (MESSAGES)"):
            if found := re.search(rb"MESSAGES (\d+)", line):
                return int(found[1])
        raise RuntimeError("STATUS says no count")

    async def await_count(self, count: int) -> None:
        """Wait until INBOX has so many messages, and read the last one whole."""
        while await self.count() < count:  # noqa: ASYNC110 - polls a server, not a variable
            await asyncio.sleep(POLL_S)
        await self.ask("EXAMINE INBOX")
        if not any(b"The quick brown fox" in line for line in await self.ask("FETCH * (BODY.PEEK[])")):
            raise RuntimeError("the last message isn't what was sent")

    async def close(self) -> None:
        """Log out."""
        await self.ask("LOGOUT")
        self.writer.close()
