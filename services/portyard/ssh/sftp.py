"""The conversation of SFTP, version 3 (draft-ietf-secsh-filexfer-02, § means it): what it grants, what rules want, how it ends.

Knows asyncssh's server side of it; what is done to files, `Files` knows.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import asyncssh
from asyncssh.constants import FX_NO_SUCH_FILE, FXP_STATUS
from asyncssh.packet import SSHPacket, String, UInt32
from asyncssh.sftp import (
    MAX_SFTP_PACKET_LEN,
    MAX_SFTP_READ_LEN,
    MAX_SFTP_WRITE_LEN,
    SFTPLimits,
    SFTPServerHandler,
)

from portyard.commons.scenario.model import Verdict
from portyard.ssh import extensions
from portyard.ssh.core.verbs import Status, parse_status
from portyard.ssh.files import Files
from portyard.ssh.handles import HANDLES, handle_of
from portyard.ssh.operations import event_of, names_a_path

if TYPE_CHECKING:
    from portyard.ssh.link import Link

VERSION = 3  # what OpenSSH speaks, and so every client
COPIED = 256 * 1024  # octets that copy-data moves at a time


class Handler(SFTPServerHandler):
    """asyncssh's conversation, which also reports how it ended, and what we really grant.

    Args:
        files: The files.
        reader: From the client.
        writer: To the client.
        link: The connection.
    """

    def __init__(self, files: Files, reader: Any, writer: Any, link: Link) -> None:  # noqa: ANN401 - asyncssh's streams
        super().__init__(files, reader, writer, VERSION)
        self.files = files
        self._link = link
        self._lie: Status | None = None
        own: dict[int | bytes, Any] = {
            b"limits@openssh.com": Handler._process_limits,
            b"copy-data": Handler._process_copy_data,
            **extensions.HANDLERS,
        }
        known = [*self._extensions, *extensions.OURS]
        self._extensions = extensions.announced(link.quirks, known)
        handlers = {**self._packet_handlers, **own}
        absent = extensions.left_out(link.quirks, known)
        self._packet_handlers = {key: handler for key, handler in handlers.items() if key not in absent}
        self._return_types = {**self._return_types, **extensions.RETURNS}

    # Rules

    async def _process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if self._link.armed:
            verdict = await self._judged(pkttype, packet)
            if verdict is not None:
                await self._obey(verdict, pkttype, pktid, packet)
                return
        if names_a_path(pkttype) and (words := await self._link.past()):  # what is open stays so to its end
            self._send_status(pktid, Status(FX_NO_SUCH_FILE, words))
            return
        await super()._process_packet(pkttype, pktid, packet)

    async def _judged(self, pkttype: int, packet: SSHPacket) -> Verdict | None:
        event = event_of(pkttype, SSHPacket(packet.get_remaining_payload()), self._path_of)
        if event is None:
            return None
        verb, fields = event
        if (
            verb == "sftp_symlink" and not self._nonstandard_symlink
        ):  # OpenSSH's clients send the link last, others first (§6.10)
            fields = {"path": fields["target"], "target": fields["path"]}
        return await self._link.judged(verb, **fields)

    def _path_of(self, handle: bytes) -> str:
        opened: Any = self._file_handles.get(handle) or self._dir_handles.get(handle)
        return "" if opened is None else str(opened.path)

    async def _obey(self, verdict: Verdict, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        if verdict.refuse is not None:
            self._send_status(pktid, parse_status(verdict.refuse))
        elif verdict.say is not None:
            self._lie = parse_status(verdict.say)
            await super()._process_packet(pkttype, pktid, packet)
        elif not (verdict.silence or verdict.hang_up):
            await super()._process_packet(pkttype, pktid, packet)
        self._link.end_as(verdict)

    def send_packet(self, pkttype: int, pktid: int | None, *args: bytes) -> None:
        """Send an answer, or in its place the status that a rule wants."""
        lie, self._lie = self._lie, None
        if lie is None or pktid is None:
            super().send_packet(pkttype, pktid, *args)
        else:
            self._send_status(pktid, lie)

    def _send_status(self, pktid: int, status: Status) -> None:
        self.files.note_answer(status.words)
        body = UInt32(pktid) + UInt32(status.code) + String(status.words) + String("")
        super().send_packet(FXP_STATUS, pktid, body)

    async def _process_limits(self, packet: SSHPacket) -> SFTPLimits:
        packet.check_end()
        return SFTPLimits(MAX_SFTP_PACKET_LEN, MAX_SFTP_READ_LEN, MAX_SFTP_WRITE_LEN, HANDLES)

    async def _process_copy_data(self, packet: SSHPacket) -> None:
        """draft-ietf-secsh-filexfer-extensions-00 §7, letting others run between pieces."""
        source, start, length = packet.get_string(), packet.get_uint64(), packet.get_uint64()
        target, goal = packet.get_string(), packet.get_uint64()
        packet.check_end()
        if source == target:  # §7 allows ranges that don't overlap; one that grows while it is read never ends
            raise asyncssh.SFTPInvalidParameter("a file can't be copied into itself")
        origin, copy = self._file_handles.get(source), self._file_handles.get(target)
        if origin is None or copy is None:
            raise asyncssh.SFTPInvalidHandle("Invalid file handle")
        if os.path.samestat(os.fstat(handle_of(origin).fd), os.fstat(handle_of(copy).fd)):
            raise asyncssh.SFTPInvalidParameter("a file can't be copied into itself")
        left = length or sys.maxsize  # §7: 0 means up to the end
        while left and (data := handle_of(origin).read(start, min(left, COPIED))):
            handle_of(copy).write(goal, data)
            start, goal, left = start + len(data), goal + len(data), left - len(data)
            await asyncio.sleep(0)

    async def recv_packets(self) -> None:
        """The conversation behind FXP_INIT."""
        if self._link.quirks.openssh_symlinks:
            self._nonstandard_symlink = True  # clients look at the server's version, asyncssh at the client's
        await super().recv_packets()

    async def _cleanup(self, exc: Exception | None) -> None:
        self.files.abandon()
        self._file_handles = {}
        if self._writer is not None:
            channel: Any = self._writer.channel
            channel.exit(0 if exc is None else 1)
        await super()._cleanup(exc)
