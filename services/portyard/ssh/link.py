"""One connection: who logs in, by what, and which channels it gets. Nothing is forwarded anywhere (RFC 4254 §6.3, §7).

Knows asyncssh's connection and its hooks; knows no shell and no file.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Callable, Sequence

import asyncssh
from asyncssh.constants import DISC_PROTOCOL_ERROR, OPEN_ADMINISTRATIVELY_PROHIBITED
from asyncssh.packet import SSHPacket

from portyard.commons.accounts.model import Account, why_ended
from portyard.commons.accounts.sasl import blank
from portyard.commons.yard import Connection, Yard
from portyard.ssh.channel import Channel
from portyard.ssh.core.words import printable
from portyard.ssh.prompts import Challenge, Prompts
from portyard.ssh.ruled import Ruled
from portyard.ssh.session import Session

AUTH_TRIES = 6  # failures until a peer is sent away, OpenSSH's MaxAuthTries
SESSIONS = 10  # channels of one connection at once, OpenSSH's MaxSessions
KEYS_FILE = "/.ssh/authorized_keys"
KEYS_SIZE = 256 * 1024  # octets of that file that are read

_logger = logging.getLogger("portyard.ssh")


class Link(Ruled):
    """The connection, with limits and the journal.

    Args:
        loop: The loop.
        options: Its options; `protocol_factory` makes its owner.
        yard: The yard.
        connection: What the listener knows of it; its log is closed with the connection.
        open_links: Where it is while it is open.

    Attributes:
        account: Who is logged in, or whom the claimed name means; None when nobody.
        sessions: Those that run.
        method: How a login is tried.
        prompts: What keyboard-interactive asks.
        failed: Told when the connection ends after failed logins and no good one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        yard: Yard,
        connection: Connection,
        open_links: set[Link],
    ) -> None:
        super().__init__(loop, options, connection)
        self.yard = yard
        self.account: Account | None = None
        self.sessions: set[Session] = set()
        self.method = ""
        self._detail: dict[str, object] = {}
        self._acceptable: dict[str, object] = {}
        self._tries = 0
        self._asked = 0
        self.prompts = Prompts(self)
        self.failed: Callable[[], None] = _nothing
        self._welcomed = False
        self._open_links = open_links

    # Beginning and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._open_links.add(self)
        super().connection_made(transport)

    def part(self, reason: str, words: str) -> None:
        """Disconnect with a message (RFC 4253 §11.1); `reason` goes into the journal."""
        self._reason = reason
        if self._transport is not None:
            # Not `disconnect`: it closes the channels first, and a client whose channel is closed doesn't hear the message.
            self._send_disconnect(asyncssh.DISC_BY_APPLICATION, words, "en")
            self._force_close(None)

    async def ended(self) -> None:
        """Return once the connection and what ran on it has ended."""
        await self.wait_closed()
        tasks = [session.task for session in self.sessions if session.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def lost(self, error: Exception | None) -> None:
        """Close the session's record with the connection."""
        for session in list(self.sessions):
            session.abandon()
        # RFC 4253 §4.2: a version line is ASCII; the library doesn't expect another
        if error is not None and not isinstance(error, (asyncssh.Error, OSError, UnicodeDecodeError)):
            _logger.error("session %s failed", self.pen.id, exc_info=error)
        if isinstance(error, asyncssh.ConnectionLost) and not self._reason:
            self._reason = "peer closed" if error.reason == "Connection lost" else error.reason.lower()
        elif error is not None and not self._reason:
            self._reason = str(error) or type(error).__name__
            self.pen.event("error", text=self._reason)
        if self._tries and not self._welcomed:
            self.failed()
        self.pen.close(self._reason or "peer closed")
        self._open_links.discard(self)

    # Key exchange

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Note what was agreed on, once it is."""
        first = not self._session_id
        kex = self._kex.algorithm.decode() if self._kex is not None else ""
        super().send_newkeys(k, h)
        if first:
            host_key = self.get_server_host_key()
            self.pen.event(
                "greeting",
                text=printable(self._client_version.decode("ascii", "replace")),
                role="client",
                kex=kex,
                host_key=host_key.algorithm.decode() if host_key is not None else "",
                cipher=self.get_extra_info("recv_cipher"),
                mac=self.get_extra_info("recv_mac"),
                compression=self.get_extra_info("recv_compression"),
            )

    # Authentication (RFC 4252)

    async def reload_config(self) -> None:
        """There is no configuration file whose options depend on the user."""

    async def _finish_userauth(self, begin_auth: bool, method: bytes, packet: SSHPacket) -> None:
        self.method = method.decode("ascii", "replace")[:64]
        self._detail = {}
        self._asked += 1
        if begin_auth:
            await self.claim(self._username)
            if self.quirks.banner:
                self.send_auth_banner(self.quirks.banner.rstrip("\n") + "\n")
        if self.key_refused(method, packet):
            self.send_userauth_failure(False)
            return
        if self.armed and self.method != "none" and not _is_query(self.method, packet):
            verdict = await self.judged("auth", login=printable(self._username), method=self.method)
            if verdict is not None and verdict.refuse is not None:
                self.send_auth_banner(verdict.refuse + "\n")  # a failure has no words of its own (RFC 4252 §5.1, §5.4)
                self.send_userauth_failure(False)
            if verdict is not None and (self.end_as(verdict) or verdict.refuse is not None):
                return
        await super()._finish_userauth(begin_auth, method, packet)

    def send_userauth_failure(self, partial_success: bool) -> None:
        """Count and note a failure; too many end the connection."""
        if self.method != "none" or self._asked > 1:  # RFC 4252 §5.2: "none" asks which methods there are
            self._tries += 1
        self._note_auth("refused")
        if self._tries >= (self.quirks.auth_tries or AUTH_TRIES):
            raise asyncssh.DisconnectError(DISC_PROTOCOL_ERROR, "Too many authentication failures")
        super().send_userauth_failure(partial_success)

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Whether the key may log in, and with `msg` whether the signature is good."""
        digest = base64.b64encode(hashlib.sha256(key_data).digest()).decode().rstrip("=")
        self._detail = {"key": f"SHA256:{digest}"}
        good = self.account is not None and await super().validate_public_key(username, key_data, msg, signature)
        if good and self._detail != self._acceptable:  # RFC 4252 §7: it may ask first, or sign at once
            self._acceptable = self._detail
            self._note_auth("acceptable")
        return good

    async def check_password(self, username: str, password: str) -> bool:
        """Whether the password is right."""
        self._detail = {"secret": blank(len(password.encode()))}
        account = await self.yard.accounts.at(self._connection.home).verify(username, password)
        if account is not None:
            self.account = account
        return account is not None

    async def claim(self, username: str) -> None:
        """A name was claimed: join its sandbox and have its keys at hand."""
        self.account = await self.yard.accounts.at(self._connection.home).find(username)
        sandbox = await self._sandbox_of(username)
        if sandbox is not None:
            self.join(sandbox)
        self.set_authorized_keys(authorized_keys(self.yard, self.account) if self.account is not None else None)

    def welcome(self) -> None:
        """Somebody logged in."""
        assert self.account is not None
        self._welcomed = True
        self.join(self.account.sandbox)
        self.pen.authenticated(self.account.address, self.method)
        if self.gate is not None:
            self.gate.account = self.account.address

    async def past(self) -> str:
        """Why the files of who logged in aren't there any more, as a sentence; "" while they are."""
        words = await why_ended(self.yard.accounts, self.account) if self.account is not None else ""
        return words and f"the {words}"

    async def _sandbox_of(self, login: str) -> str | None:
        if self.account is not None:
            return self.account.sandbox
        named, slash, _ = login.partition("/")
        if slash:
            sandbox = await self.yard.sandboxes.get(named)
        else:
            sandbox = await self.yard.sandboxes.owner(login.rpartition("@")[2].lower())
        return sandbox.name if sandbox is not None else None

    def _note_auth(self, outcome: str) -> None:
        login = printable(self._username)
        self.pen.event("auth", login=login, mechanism=self.method, outcome=outcome, **self._detail)

    # Channels (RFC 4254 §5.1)

    def create_server_channel(
        self, encoding: str | None = "", errors: str = "", window: int = 0, max_pktsize: int = 0
    ) -> Channel:
        """A channel of our own kind."""
        self._update_recv_pktlen(max_pktsize or self._max_pktsize)
        return Channel(
            self,
            self._loop,
            self._allow_pty,
            self._line_editor,
            self._line_echo,
            self._line_history,
            self._max_line_length,
            self._encoding if encoding == "" else encoding,
            errors or self._errors,
            window or self._window,
            max_pktsize or self._max_pktsize,
        )

    def note_refusal(self, what: str) -> bool:
        """Note that something was asked for that nobody gets; always False."""
        self.pen.event("command", text=printable(what), request="forward")
        self.pen.reply("refused")
        return False

    def open_session(self) -> tuple[Channel, Session]:
        """A session for a channel that the peer opens.

        Raises:
            ChannelOpenError: There are too many.
        """
        if len(self.sessions) >= SESSIONS:
            raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, f"more than {SESSIONS} sessions")
        assert self.account is not None
        session = Session(self, self.account)
        self.sessions.add(session)
        channel = self.create_server_channel()
        channel.session = session
        return channel, session


class Owner(asyncssh.SSHServer):
    """What asyncssh asks of a server object; whatever it doesn't define, forwarding before all, is refused.

    Args:
        link: The connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over, in whatever way."""
        self._link.lost(exc)

    async def begin_auth(self, username: str) -> bool:
        """Everybody has to prove themselves."""
        return True

    def auth_completed(self) -> None:
        """Somebody logged in."""
        self._link.welcome()

    def public_key_auth_supported(self) -> bool:
        """Announced to everybody, whether the name has keys or not."""
        return self._link.takes("publickey")

    def password_auth_supported(self) -> bool:
        """Announced to everybody."""
        return self._link.takes("password")

    async def validate_password(self, username: str, password: str) -> bool:
        """RFC 4252 §8."""
        return await self._link.check_password(username, password)

    def kbdint_auth_supported(self) -> bool:
        """Announced to everybody."""
        return self._link.takes("keyboard-interactive")

    async def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Challenge | bool:
        """What is asked first (RFC 4256 §3.2)."""
        return await self._link.prompts.begin(username)

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Challenge | bool:
        """What follows the answers (RFC 4256 §3.4)."""
        return await self._link.prompts.answer(username, responses)

    def session_requested(self) -> tuple[Channel, Session]:
        """A channel for a shell, a command or a subsystem."""
        return self._link.open_session()

    # Forwarding (RFC 4254 §6.3, §7): refused, each attempt noted

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """TCP from the client's side (§7.2)."""
        return self._refuse(f"direct-tcpip {dest_host}:{dest_port}")

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        """TCP from our side (§7.1)."""
        return self._link.note_refusal(f"tcpip-forward {listen_host}:{listen_port}")

    def unix_connection_requested(self, dest_path: str) -> bool:
        """A socket of the file system."""
        return self._refuse(f"direct-streamlocal {dest_path}")

    def unix_server_requested(self, listen_path: str) -> bool:
        """A socket of the file system, from our side."""
        return self._link.note_refusal(f"streamlocal-forward {listen_path}")

    def tun_requested(self, unit: int | None) -> bool:
        """A network interface."""
        return self._refuse("tun")

    def tap_requested(self, unit: int | None) -> bool:
        """A network interface."""
        return self._refuse("tap")

    def _refuse(self, what: str) -> bool:
        self._link.note_refusal(what)
        raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, "forwarding is refused")


def _nothing() -> None:
    """What nobody waits to hear."""


def _is_query(method: str, packet: SSHPacket) -> bool:
    """Whether a request only asks if a key would do (RFC 4252 §7)."""
    return method == "publickey" and packet.get_remaining_payload()[:1] == b"\0"


def authorized_keys(yard: Yard, account: Account) -> asyncssh.SSHAuthorizedKeys | None:
    """The keys that may log in: the account's own, and those of its `.ssh/authorized_keys`, options and all (sshd(8)).

    A line that can't be read is passed over, as sshd does.
    """
    lines = [*account.public_keys, *_lines_of(yard, account)]
    known: asyncssh.SSHAuthorizedKeys | None = None
    good = [line for line in lines if _readable(line)]
    if good:
        known = asyncssh.import_authorized_keys("\n".join(good) + "\n")
    return known


def _readable(line: str) -> bool:
    if not line.strip() or line.lstrip().startswith("#"):
        return False
    try:
        asyncssh.import_authorized_keys(line + "\n")
    except (ValueError, asyncssh.KeyImportError):
        return False
    return True


def _lines_of(yard: Yard, account: Account) -> list[str]:
    try:
        with yard.files.root(account).open(KEYS_FILE) as file:
            return file.read(KEYS_SIZE).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
