"""A control connection's replies, and what the journal has of it."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable
from functools import lru_cache

from portyard.commons.blanking import masked
from portyard.commons.journal.model import SessionLog
from portyard.commons.journal.pages import TEXTS, text_or_base64
from portyard.commons.tls.alerts import explain
from portyard.commons.tls.hello import ClientHello
from portyard.commons.tls.setup import hello_fields
from portyard.ftp.core.listing import one_line
from portyard.ftp.core.replies import SECRET_VERBS, printable, shown
from portyard.ftp.hosted import AsyncChat, FTPHandler
from portyard.ftp.tls import TlsChannel

_LAST_LINE = re.compile(r"\d{3}(?: |$)", re.ASCII)
_SAID = 128  # replies of which it is known how they go out: sessions mostly say the same

_logger = logging.getLogger("portyard.ftp")


class Notes(TlsChannel, FTPHandler):  # type: ignore[misc]
    """See Session, which says the rest.

    Attributes:
        pen: The journal's.
        greeting: The whole reply.
        begun: The first octets of the data connection that ended just now.
        untold: Of the same the port that no reply told, and whose it is.
    """

    pen: SessionLog
    greeting: str
    begun = b""
    untold: tuple[str, int] | None = None
    _reply = ""  # lines of one that isn't whole yet
    _note_line: Callable[[bytes], None]
    _note_octets: Callable[[bytes], None]

    def note_in(self, pen: SessionLog) -> None:
        """Have the journal's pen."""
        self.pen = pen
        self._note_line, self._note_octets = pen.noter(TEXTS["command"]), pen.noter(TEXTS["reply"])

    # Replies

    def push(self, data: str) -> None:
        """Send a reply's lines, and note the reply when it is whole."""
        AsyncChat.push(self, data.encode("utf-8", "surrogateescape"))
        self._reply += data
        told = self._reply.removesuffix("\r\n")
        if _LAST_LINE.match(told.rpartition("\r\n")[2]):
            self._reply = ""
            self._note_reply(told)

    def respond(self, resp: str, logfun: object = None) -> None:
        """Send a reply of one line, or the last line of several; nothing while a handshake is under way or failed."""
        if self._closed or self.handshaking:
            return
        said = self.in_dialect(resp)
        octets = None if self._reply else _whole(said)
        if octets is None or said == self.greeting:
            Notes.push(self, f"{one_line(said)}\r\n")
        else:
            AsyncChat.push(self, octets)
            self._note_octets(octets)  # as they are: nobody turns them into text before somebody reads it

    def _note_reply(self, told: str) -> None:
        text = printable(told)
        if text == self.greeting:
            self.pen.event("greeting", text=text)
        else:
            self.pen.reply(text)

    def in_dialect(self, resp: str) -> str:
        """The reply in the words of the server that the session is."""
        return resp

    def respond_w_warning(self, resp: str) -> None:
        """As `respond`; the journal has it, a log needn't."""
        self.respond(resp)

    # The journal

    def note_command(self, text: str, verb: str) -> None:
        """A command came; its verb is in capitals."""
        # a blank before or behind the verb makes it a syntax error, with a secret in it all the same
        plain = verb.isalpha() and verb not in SECRET_VERBS
        self.pen.command(printable(text) if plain else shown(text))

    def note_handshake(self, channel: str, fields: dict[str, object], seconds: float) -> None:
        """A handshake is done, so long after TLS was turned to.

        Its step is "established" on the control connection alone, where a talk has its upgrade.
        """
        step = "established" if channel == "control" else f"{channel} established"
        self.pen.event("tls", step=step, channel=channel, **fields, seconds=seconds)

    def note_hello(self, channel: str, hello: ClientHello, seconds: float) -> None:
        """A ClientHello came."""
        step = "hello" if channel == "control" else f"{channel} hello"
        offer = {key: value for key, value in hello_fields(hello).items() if value is not None}
        self.pen.event("tls", step=step, channel=channel, **offer, seconds=seconds)

    def note_failed_handshake(
        self, channel: str, error: BaseException | None, seconds: float, flights: dict[str, object]
    ) -> None:
        """A handshake failed; the alert is told where it is known."""
        fields: dict[str, object] = {"channel": channel, "error": str(error or "handshake failed")}
        if isinstance(error, ssl.SSLError):
            failure = explain(error, None)
            fields |= {key: value for key, value in failure._asdict().items() if value is not None}
        self.pen.event("tls", step="failed", **fields, seconds=seconds, **flights)

    def note_plaintext(self, channel: str, seconds: float) -> None:
        """There is plaintext where TLS belongs, because a recipe wants it."""
        step = "plaintext" if channel == "control" else f"{channel} plaintext"
        self.pen.event("tls", step=step, channel=channel, seconds=seconds)

    def note_error(self, text: str) -> None:
        """Something that is worth knowing when a test fails."""
        self.pen.event("error", text=text)

    def log_transfer(
        self,
        cmd: str,
        filename: str | None,
        receive: bool,
        completed: bool,
        elapsed: float,
        bytes: int,  # noqa: A002
    ) -> None:
        """A data connection ended."""
        fields: dict[str, object] = {"command": cmd, "direction": "receive" if receive else "send"}
        if filename is not None:
            fields["path"] = printable(filename)
        if self.untold is not None:
            fields[self.untold[0]], self.untold = self.untold[1], None
        begun, self.begun = self.begun, b""
        told = {"begun": _told(begun, bytes)} if begun else {}
        self.pen.event("transfer", **fields, bytes=bytes, seconds=elapsed, complete=completed, **told)

    def log(self, msg: str, logfun: object = None) -> None:
        """The library's lines: the journal has everything they say."""

    logline = log

    def logerror(self, msg: str) -> None:
        """What pyftpdlib calls an error."""
        _logger.error("%s", msg)

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """The library's summary of a command; see `log`."""

    def log_exception(self, instance: object) -> None:
        """An exception that nothing else handled."""
        _logger.exception("a connection failed")


def _told(begun: bytes, octets: int) -> dict[str, object]:
    """The beginning of what a data connection carried, secrets blanked: `text`, or `base64` where it isn't, and how many octets followed.

    Args:
        begun: It.
        octets: How many there were.
    """
    unkept = octets - len(begun)
    if unkept:  # the last character may have been cut (RFC 3629 §3)
        begun = next((begun[: len(begun) - back] for back in range(4) if _is_text(begun[: len(begun) - back])), begun)
        unkept = octets - len(begun)
    return text_or_base64(masked(begun)) | ({"unkept": unkept} if unkept else {})


def _is_text(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(_SAID)
def _whole(reply: str) -> bytes | None:
    """The octets of a reply that is one line of ASCII; None for another, or for one that goes on."""
    line = one_line(reply)
    return f"{line}\r\n".encode() if line.isascii() and _LAST_LINE.match(line) else None
