"""Plays a talk's client against a server: what was seen once, such as a session that the journal printed, is had again."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portyard.commons.talk.match import Bindings, Expectation, Turn, turns
from portyard.commons.talk.model import CLOSE, CLOSED, SILENCE, TLS, Step, Talk, TalkError, TalkLine
from portyard.commons.talk.parse import parse_talk, raw_octets

ROOMS: Final = ("ftp", "imap", "pop3", "smtp")
"""Those that talk in lines; of FTP what goes over the control connection."""
LINE_LIMIT: Final = 1 << 20  # octets of one line: no protocol here has longer ones
TIMEOUT_S: Final = 10.0  # for one line
_SHOWN: Final = 30  # lines of the conversation in a failure
_INSIDE: Final = (Step.STORE, Step.DELIVER, Step.RULE)  # what is seen or done behind a server's back

_DATA: Final = ("EPRT", "EPSV", "PASV", "PORT")  # open one (RFC 959 §4.1.2, RFC 2428)

Said = Callable[[str, str], None]
"""Is told each line: whose it is, such as `C` or `2 S`, and its text."""


class TalkFailure(AssertionError):
    """The server said something else, or nothing; the message shows the conversation so far."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a talk is played.

    Attributes:
        host: Name or address.
        port: The port number.
        context: What the server's certificate is held against at `C: <tls>`; None where the talk has no TLS.
        timeout_s: How long one line may take.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = None
    timeout_s: float = TIMEOUT_S


def read(talk: Talk | Path | str) -> Talk:
    """A talk that a client alone can play.

    Args:
        talk: It, its file, or its text (with a line feed in it, else it is a file's name).

    Raises:
        TalkError: It is malformed, of a room that doesn't talk in lines, or needs more than a client's side.
        OSError: The file can't be read.
    """
    if not isinstance(talk, Talk):
        inline = isinstance(talk, str) and "\n" in talk
        talk = parse_talk(str(talk)) if inline else parse_talk(Path(talk).read_text("utf-8"), Path(talk).name)
    if talk.room not in ROOMS:
        raise TalkError(f"room: {talk.room or '(missing)'}: expected one that talks in lines: {', '.join(ROOMS)}")
    for header in ("start", "mail"):
        if header in talk.headers:
            raise TalkError(f"{header}: {talk.headers[header]}: a client can't bring that about; say it in C: lines")
    for line in talk.lines:
        if line.step in _INSIDE or (line.step is Step.CLIENT and line.text == SILENCE):
            raise TalkError(
                f"line {line.number}: a client can't play {line.text if line.text == SILENCE else line.step}"
            )
        if talk.room == "ftp" and line.step is Step.CLIENT and line.text.partition(" ")[0].upper() in _DATA:
            raise TalkError(f"line {line.number}: {line.text}: what goes over FTP's data connections isn't played")
    return talk


def starts_with_tls(talk: Talk) -> bool:
    """Whether it is had on a port that speaks TLS from the first octet."""
    return bool(talk.lines) and talk.lines[0].step is Step.CLIENT and talk.lines[0].text == TLS


def values_of(login: str, password: str) -> dict[str, str]:
    """What `$user`, `$password` and `$plain` (RFC 4616) stand for."""
    return {"user": login, "password": password, "plain": base64.b64encode(f"\0{login}\0{password}".encode()).decode()}


def play(talk: Talk | Path | str, server: Server, values: Mapping[str, str] = {}, said: Said | None = None) -> int:
    """Be a talk's client, in each of its sessions.

    Args:
        talk: As `read` takes it.
        server: Where.
        values: What its variables stand for from the beginning; see `values_of`.
        said: Is told each line at once.

    Returns:
        How many lines the server said, each as the talk has it.

    Raises:
        TalkFailure: The server said something else.
        TalkError: As `read`, or a variable stands for nothing.
        OSError: Nobody listens there.
    """
    return _Player(read(talk), server, values, said or (lambda who, text: None)).play()


class _Player:
    def __init__(self, talk: Talk, server: Server, values: Mapping[str, str], said: Said) -> None:
        self._talk = talk
        self._server = server
        self._bindings = Bindings(dict(values))
        self._told = said
        self._peers: dict[int, _Peer] = {}
        self._said: list[str] = []
        self._heard = 0

    def play(self) -> int:
        with contextlib.ExitStack() as open_ones:
            for turn in turns(self._talk.lines):
                session = (turn.client or turn.expected[0]).session
                if session not in self._peers:
                    self._peers[session] = open_ones.enter_context(contextlib.closing(_Peer(self._server)))
                self._take(turn, session, self._peers[session])
        return self._heard

    def _take(self, turn: Turn, session: int, peer: _Peer) -> None:
        if turn.client is not None:
            self._say(peer, turn.client)
        expectation = Expectation(turn, self._bindings)
        while not expectation.complete:
            line = self._hear(peer, expectation)
            self._note(session, "S", CLOSED if line is None else line)
            if line is None and expectation.wants == CLOSED:
                expectation.take_word()
                continue
            complaint = "the server closed" if line is None else expectation.take(line)
            if complaint:
                wanted = f", wanted {expectation.next!r}" if line is None else ""
                raise self._failure(complaint + wanted)
            self._heard += 1

    def _hear(self, peer: _Peer, expectation: Expectation) -> str | None:
        try:
            return peer.line()
        except TimeoutError:
            raise self._failure(f"nothing came in {self._server.timeout_s:g} s, wanted {expectation.next!r}") from None

    def _say(self, peer: _Peer, line: TalkLine) -> None:
        self._note(line.session, line.step, line.text)
        word = line.text if line.step is Step.CLIENT else ""
        try:
            if word == TLS:
                peer.start_tls()
            elif word == CLOSE:
                peer.close()
            else:
                peer.send(self._octets(line))
        except OSError as error:  # the connection's end, TLS, or no octet that goes on
            raise self._failure(f"line {line.number}: {line.text[:80]}: {error}") from None

    def _octets(self, line: TalkLine) -> bytes:
        text = self._bindings.fill(line.text)
        return raw_octets(text) if line.step is Step.CLIENT_RAW else text.encode() + b"\r\n"

    def _note(self, session: int, who: str, text: str) -> None:
        speaker = f"{session} {who}" if len(self._talk.sessions) > 1 else str(who)
        self._said.append(f"{speaker}: {text[:200]}")
        self._told(speaker, text)

    def _failure(self, complaint: str) -> TalkFailure:
        return TalkFailure("\n".join([complaint, "so far:", *self._said[-_SHOWN:]]))


class _Peer:
    """A connection of the client's."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket: socket.socket = socket.create_connection((server.host, server.port), server.timeout_s)
        self._come = bytearray()

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def line(self) -> str | None:
        """The server's next line without its ending; None once it has closed."""
        while (end := self._come.find(b"\n")) < 0 and len(self._come) < LINE_LIMIT:
            try:
                octets = self._socket.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError:
                octets = b""
            if not octets:
                break
            self._come += octets
        if not self._come:
            return None
        line = bytes(self._come[: end + 1] if end >= 0 else self._come)
        del self._come[: len(line)]
        return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "backslashreplace")

    def start_tls(self) -> None:
        context = self._server.context or ssl.create_default_context()
        self._come.clear()  # RFC 3207 §4.2: what came before the handshake is worth nothing
        self._socket = context.wrap_socket(self._socket, server_hostname=self._server.host)

    def close(self) -> None:
        self._socket.close()
