"""What every recipe looks like from outside, and every door at which TLS is met: the two sides of a product.

A view is one client's look at a recipe. The same rows are shown in docs/tls.md.
"""

from __future__ import annotations

import re
import socket
import ssl
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from portyard.commons.tls.recipes import RECIPES

LIMIT_S = 30.0
STALL_S = 0.3
FOR_EVER = "for ever"


@dataclass(frozen=True, slots=True)
class Files:
    """What clients are made of."""

    ca: Path
    crl: Path
    ours: tuple[Path, Path]
    stranger: tuple[Path, Path]


@dataclass(frozen=True, slots=True)
class Client:
    """A client of Python's and the same of openssl's."""

    says: str
    options: tuple[str, ...] = ()
    verifies: bool = True
    level: int = 2
    lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    looks_at_crl: bool = False
    shows: str = ""
    """Which certificate: a field of `Files`."""

    def context(self, files: Files) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(files.ca))
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN  # as Python 3.13 does by itself
        context.set_ciphers(f"DEFAULT:@SECLEVEL={self.level}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = self.lowest, self.highest
        if not self.verifies:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.looks_at_crl:
            context.load_verify_locations(files.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if self.shows:
            context.load_cert_chain(*getattr(files, self.shows))
        return context

    def s_client(self, files: Files, name: str) -> list[str]:
        words = ["-servername", name, "-cipher", f"DEFAULT:@SECLEVEL={self.level}", *self.options]
        if self.lowest is ssl.TLSVersion.TLSv1_2 is not self.highest:
            words += ["-min_protocol", "TLSv1.2"]
        if self.verifies:
            words += ["-CAfile", str(files.ca), "-verify_return_error", "-verify_hostname", name, "-x509_strict"]
        if self.looks_at_crl:
            words += ["-crl_check", "-CRL", str(files.crl)]
        if self.shows:
            chain, key = getattr(files, self.shows)
            words += ["-cert", str(chain), "-key", str(key)]
        return words


CLIENTS = {
    "strict": Client("a client with our CA"),
    "looking": Client("a client with our CA and its CRL", looks_at_crl=True),
    "newest": Client("a client that wants TLS 1.3", ("-tls1_3",), lowest=ssl.TLSVersion.TLSv1_3),
    "older": Client("a client that knows TLS 1.2 only", ("-tls1_2",), highest=ssl.TLSVersion.TLSv1_2),
    "ancient": Client(
        "a client that takes anything", ("-min_protocol", "TLSv1"), verifies=False, level=0, lowest=ssl.TLSVersion.TLSv1
    ),
    "ours": Client("a client with a certificate of our CA", shows="ours"),
    "stranger": Client("a client with a stranger's certificate", shows="stranger"),
}


@dataclass(frozen=True, slots=True)
class View:
    """What one client sees of a recipe.

    Attributes:
        client: Which, of `CLIENTS`.
        error: What Python's ssl fails with; empty for a good conversation.
        openssl: What s_client prints.
        alert: Its name and who sent it ("us" or "peer"), as the journal shows.
        version: What was agreed on.
        said_bye: Whether close_notify comes at the end.
        tickets: Whether the session can be resumed.
    """

    client: str
    error: str = ""
    openssl: str = "Verification: OK"
    alert: tuple[str, str] | None = None
    version: str = "TLSv1.3"
    said_bye: bool = True
    tickets: bool = True

    @property
    def row(self) -> str:
        """For the table in the docs."""
        who = CLIENTS[self.client].says
        if self.error == FOR_EVER:
            return f"{who}: waits, until its patience or 30 s end"
        if not self.error:
            odd = "" if self.said_bye else ", cut off without close_notify"
            return f"{who}: {self.version}{odd}" + ("" if self.tickets else ", no session to resume")
        told = "" if self.alert is None else f" (alert `{self.alert[0]}` from {_SENDERS[self.alert[1]]})"
        return f"{who}: “{self.error}”{told}"


_SENDERS = {"us": "the server", "peer": "the client"}


def _unverified(error: str, alert: str, openssl: str = "", client: str = "strict") -> View:
    return View(client, error, openssl or error, (alert, "peer"))


def _refused(client: str, error: str, alert: str) -> View:
    return View(client, error, error, (alert, "us"))


_OLD_VERSION = partial(_refused, error="alert protocol version", alert="protocol_version")
_UNKNOWN_CA = partial(_refused, error="alert unknown ca", alert="unknown_ca")
_GOOD = View("strict")

VIEWS: dict[str, tuple[View, ...]] = {
    "good": (_GOOD, View("older", version="TLSv1.2"), View("looking")),
    "expired": (_unverified("certificate has expired", "certificate_expired"),),
    "not_yet_valid": (_unverified("certificate is not yet valid", "bad_certificate"),),
    "wrong_host": (_unverified("Hostname mismatch", "bad_certificate", "hostname mismatch"),),
    "self_signed": (_unverified("self-signed certificate", "unknown_ca"),),
    "untrusted_root": (_unverified("self-signed certificate in certificate chain", "unknown_ca"),),
    "intermediate": (_GOOD,),
    "incomplete_chain": (_unverified("unable to get local issuer certificate", "unknown_ca"),),
    "revoked": (_unverified("certificate revoked", "certificate_revoked", client="looking"), _GOOD),
    "weak_key": (
        _unverified("EE certificate key too weak", "bad_certificate"),
        View("ancient", openssl="Server public key is 1024 bit"),
    ),
    "sha1": (
        _unverified("CA signature digest algorithm too weak", "bad_certificate"),
        View("ancient", openssl="sigalg: RSA-SHA1"),
    ),
    "rsa": (_GOOD,),
    "wrong_usage": (_unverified("unsuitable certificate purpose", "unsupported_certificate"),),
    "tls10_only": (_OLD_VERSION("strict"), View("ancient", version="TLSv1", openssl="Protocol  : TLSv1\n")),
    "tls11_only": (_OLD_VERSION("strict"), View("ancient", version="TLSv1.1", openssl="Protocol  : TLSv1.1\n")),
    "tls12_only": (_OLD_VERSION("newest"), View("strict", version="TLSv1.2", openssl="Protocol  : TLSv1.2\n")),
    "tls13_only": (_OLD_VERSION("older"), View("strict", openssl="New, TLSv1.3")),
    "no_tickets": (View("strict", tickets=False),),
    "no_close_notify": (View("strict", openssl="unexpected eof while reading", said_bye=False),),
    "client_certificate_required": (
        _refused("strict", "alert certificate required", "certificate_required"),
        View("ours"),
        _UNKNOWN_CA("stranger"),
    ),
    "client_certificate_optional": (_GOOD, View("ours"), _UNKNOWN_CA("stranger")),
    "client_certificate_wrong": (
        _UNKNOWN_CA("ours"),
        _refused("strict", "alert certificate required", "certificate_required"),
    ),
    "plaintext": (View("strict", "wrong version number", "wrong version number"),),
    "stalled": (View("strict", FOR_EVER),),
}


@dataclass(frozen=True, slots=True)
class Door:
    """A way to meet TLS.

    Attributes:
        room: Whose.
        port: The port's name.
        bye: Makes the server close, once TLS stands.
        steps: On a port that upgrades: what ends the server's words, and what is said then; the last words are the go-ahead.
        starttls: What s_client calls the upgrade.
    """

    room: str
    port: str
    bye: bytes = b"QUIT\r\n"
    steps: tuple[tuple[bytes, bytes], ...] = ()
    starttls: str = ""

    @property
    def name(self) -> str:
        return f"{self.port}-upgraded" if self.starttls else self.port


_LOGOUT = b"a LOGOUT\r\n"
_GET = b"GET /status/204 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def _hello(word: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (rb"220 .*\r\n", word + b" client.test\r\n"), (rb"250 .*\r\n", b"STARTTLS\r\n"), (rb"220 .*\r\n", b"")


_EHLO, _LHLO = _hello(b"EHLO"), _hello(b"LHLO")
DOORS = (
    Door("pop3", "pop3s"),
    Door("pop3", "pop3", steps=((rb"\+OK.*\r\n", b"STLS\r\n"), (rb"\+OK.*\r\n", b"")), starttls="pop3"),
    Door("imap", "imaps", _LOGOUT),
    Door("imap", "imap", _LOGOUT, steps=((rb"\* OK.*\r\n", b"a STARTTLS\r\n"), (rb"a OK.*\r\n", b"")), starttls="imap"),
    Door("smtp", "submissions"),
    Door("smtp", "submission", steps=_EHLO, starttls="smtp"),
    Door("smtp", "smtp", steps=_EHLO, starttls="smtp"),
    Door("smtp", "lmtp", steps=_LHLO, starttls="lmtp"),
    Door("http", "https", _GET),
    Door("websocket", "wss", _GET),
    Door("ftp", "ftps"),
    Door("ftp", "ftp", steps=((rb"220 .*\r\n", b"AUTH TLS\r\n"), (rb"234 .*\r\n", b"")), starttls="ftp"),
)


class Met(NamedTuple):
    """What a client of Python's met with."""

    local: int
    """Its port."""
    error: str = ""
    version: str | None = None
    said_bye: bool = True
    tickets: bool = False


def meet(door: Door, number: int, context: ssl.SSLContext, name: str, limit_s: float = LIMIT_S) -> Met:
    """Connect, upgrade, shake hands, say goodbye and listen to the end."""
    with socket.create_connection(("127.0.0.1", number), LIMIT_S) as raw:
        local = int(raw.getsockname()[1])
        for ends, say in door.steps:
            _read_until(raw, ends)
            raw.sendall(say)
        raw.settimeout(limit_s)
        try:
            secure = context.wrap_socket(raw, server_hostname=name, suppress_ragged_eofs=False)
        except ssl.SSLCertVerificationError as error:
            return Met(local, error.verify_message)
        except TimeoutError:
            return Met(local, FOR_EVER)
        except ssl.SSLError as error:
            return Met(local, str(error))
        with secure:
            return _talk(secure, door.bye, local)


def _talk(secure: ssl.SSLSocket, bye: bytes, local: int) -> Met:
    version, said_bye, error = secure.version(), True, ""
    try:
        secure.sendall(bye)
        while secure.recv(65_536):
            pass
    except ssl.SSLEOFError:
        said_bye = False
    except ssl.SSLError as failure:  # TLS 1.3 tells of a client's certificate after the client thinks that all is well
        error = str(failure)
    session = secure.session
    return Met(local, error, version, said_bye, session is not None and session.has_ticket)


def _read_until(raw: socket.socket, ends: bytes) -> None:
    heard = b""
    while not re.search(ends + rb"\Z", heard):
        more = raw.recv(4096)
        assert more, heard
        heard += more


def table() -> str:
    """Every recipe and what is seen of it, as Markdown: the part of docs/tls.md that a test compares."""
    rows = ["| name | the server | what is seen |", "| ---- | ---------- | ------------ |"]
    for name, views in VIEWS.items():
        rows.append(f"| `{name}` | {RECIPES[name].says} | {'<br>'.join(view.row for view in views)} |")
    return "\n".join(rows)


class Cell(NamedTuple):
    """A recipe at a door, as one client sees it."""

    door: Door
    recipe: str
    view: View

    @property
    def id(self) -> str:
        return f"{self.door.name}-{self.recipe}-{self.view.client}"


CELLS = [Cell(door, recipe, view) for door in DOORS for recipe, views in VIEWS.items() for view in views]
