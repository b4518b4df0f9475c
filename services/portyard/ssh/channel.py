"""A session channel that takes only the environment that is welcome (RFC 4254 §6.4), and any terminal (§6.2)."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from asyncssh.channel import SSHServerChannel
from asyncssh.packet import SSHPacket, UInt32

from portyard.commons.scenario.model import Scalar

if TYPE_CHECKING:
    from portyard.ssh.session import Session

# Requests that rules are asked about, with the strings that each begins with (RFC 4254 §6.2, §6.4, §6.5).
_VERBS = {
    "env": ("env", ("name", "value")),
    "pty-req": ("pty", ("term",)),
    "shell": ("shell", ()),
    "exec": ("exec", ("command",)),
    "subsystem": ("subsystem", ("name",)),
}
WELCOME = ("LANG", "LC_*", "TZ", "COLORTERM", "NO_COLOR", "GIT_PROTOCOL", "PORTYARD_*")  # names that a client may set
VARIABLES = 64  # how many
VALUE = 4096  # octets of a value


class Channel(SSHServerChannel[Any]):
    """asyncssh's channel with a list of welcome variables, as sshd's AcceptEnv has.

    Attributes:
        session: Hears the status that the peer is told (RFC 4254 §6.10), and what rules want of its requests.
    """

    session: Session | None = None

    def exit(self, status: int) -> None:
        """Tell the status and close."""
        if self._send_state in {"close_pending", "closed"}:
            return
        if self.session is not None:
            self.session.told(status)
        # RFC 4254 §6.10: a uint32; asyncssh's own takes the last octet
        self._send_request(b"exit-status", UInt32(status))
        self.close()

    def _service_next_request(self) -> None:
        request, packet, _ = self._request_queue[0]
        session = self.session
        if session is None or not session.link.armed or request not in _VERBS:
            super()._service_next_request()
            return
        verb, names = _VERBS[request]
        copy = SSHPacket(packet.get_remaining_payload())
        fields: dict[str, Scalar] = {name: copy.get_string().decode("utf-8", "replace") for name in names}
        if session.link.heeds(verb, fields):
            session.link.create_task(self._ask(session, verb, fields))
        else:
            super()._service_next_request()

    async def _ask(self, session: Session, verb: str, fields: dict[str, Scalar]) -> None:
        verdict = await session.link.judged(verb, **fields)
        if self._send_state in {"close_pending", "closed"}:
            return
        if verdict is not None and verdict.refuse is not None:
            session.link.pen.reply("refused")
            self._report_response(False)
            session.link.end_as(verdict)
        elif verdict is not None and (verdict.respond is not None or verdict.say is not None):
            session.verdict = verdict
            super()._service_next_request()
        elif verdict is None or not session.link.end_as(verdict):
            super()._service_next_request()

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name = packet.get_string()
        value = packet.get_string()
        packet.check_end()
        text = name.decode("utf-8", "replace")
        if not any(fnmatch.fnmatchcase(text, pattern) for pattern in WELCOME):
            return False
        if len(value) > VALUE or len(self._env) >= VARIABLES:
            return False
        self._env[name] = value
        return True

    def _process_pty_req_request(self, packet: SSHPacket) -> bool:
        granted = super()._process_pty_req_request(packet)
        if self._term_type == "":  # a client whose TERM isn't set; asyncssh would give it no line editor
            self._term_type = "dumb"
        return granted
