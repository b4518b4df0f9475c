"""FTP, verb by verb: the control connection, and the phases of a transfer."""

from __future__ import annotations

import contextlib
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from tests.support.matrix.handshakes import NAME
from tests.support.matrix.lines import MIDST, Dialect, Scene, act, cells, led
from tests.support.matrix.place import DELAY_S, DOMAIN, LEAST_S, PASSWORD, Cell, Client, Place, dial

CONTENT = bytes(range(256)) * 64
_MIDST = ("refuse", *MIDST)
_FTP = Dialect(
    room="ftp",
    port="ftp",
    secure="ftps",
    greeting=b"220 ",
    refuse="450 not today",
    say="299 so they say",
    wire=lambda text: text.encode() + b"\r\n",
    again=(b"NOOP\r\n", b"200 "),
)
_USER = f"USER m-ftp@{DOMAIN}\r\n".encode()
_LOGIN = ((_USER, b"331 "), (f"PASS {PASSWORD}\r\n".encode(), b"230 "))
_OPENED = rb"1(?:25|50) [^\n]*\n"

# One line for each command that somebody who is logged in can say, and its true answer's code.
_COMMANDS = {
    "acct": ("ACCT x", "202"),
    "host": ("HOST localhost", "503"),
    "auth": ("AUTH TLS", "234"),
    "pbsz": ("PBSZ 0", "503"),
    "prot": ("PROT P", "503"),
    "ccc": ("CCC", "533"),
    "rein": ("REIN", "220"),
    "quit": ("QUIT", "221"),
    "pasv": ("PASV", "227"),
    "epsv": ("EPSV", "229"),
    "port": ("PORT 1", "501"),
    "eprt": ("EPRT 1", "501"),
    "type": ("TYPE I", "200"),
    "stru": ("STRU F", "200"),
    "mode": ("MODE S", "200"),
    "rest": ("REST 0", "501"),
    "allo": ("ALLO 5", "202"),
    "stor": ("STOR f", "425"),
    "appe": ("APPE f", "425"),
    "stou": ("STOU", "425"),
    "retr": ("RETR f", "425"),
    "list": ("LIST", "425"),
    "nlst": ("NLST", "425"),
    "mlsd": ("MLSD", "425"),
    "mlst": ("MLST f", "250"),
    "size": ("SIZE f", "213"),
    "mdtm": ("MDTM f", "213"),
    "mfmt": ("MFMT 20200101000000 f", "213"),
    "pwd": ("PWD", "257"),
    "cwd": ("CWD /", "250"),
    "cdup": ("CDUP", "250"),
    "mkd": ("MKD f", "550"),
    "rmd": ("RMD nothing", "550"),
    "dele": ("DELE nothing", "550"),
    "rnfr": ("RNFR f", "350"),
    "rnto": ("RNTO g", "503"),
    "abor": ("ABOR", "225"),
    "stat": ("STAT", "211"),
    "site": ("SITE HELP", "214"),
    "feat": ("FEAT", "211"),
    "opts": ("OPTS UTF8 ON", "200"),
    "syst": ("SYST", "215"),
    "help": ("HELP", "214"),
    "noop": ("NOOP", "200"),
    "unknown": ("FROBNICATE x", "500"),
}
_ENDS = {"auth", "quit"}  # whose lies change the connection
_STUBS = ("retr", "list", "nlst", "mlsd")


def _passive(place: Place, client: Client) -> Client:
    """A data connection."""
    client.say(b"EPSV\r\n")
    found = re.search(rb"\|\|\|(\d+)\|", client.line(b"229 "))
    assert found
    host, _ = place.ports["ftp"]
    return Client(dial(host, int(found[1])))


def _transfer(place: Place, client: Client) -> None:
    """A download that nobody reads to the end of; what comes of it stands in `client.data`."""
    client.data = _passive(place, client)
    client.say(b"RETR f\r\n")


def _whole(place: Place, client: Client) -> None:
    """A download that is read."""
    _transfer(place, client)
    while client.data.sock.recv(65536):
        pass


def _stub(verb: str, place: Place) -> None:
    scene = Scene(b"", b"", _LOGIN)
    with led(_FTP, scene, place) as client, _passive(place, client) as data:
        client.say(verb.upper().encode() + (b" f\r\n" if verb == "retr" else b"\r\n"))
        client.line(b"1")
        assert data.rest() == b"a stub"
        client.line(b"226 ")


def _data_is_reset(steps: Callable[[Place, Client], None], scene: Scene, place: Place) -> None:
    """The RST comes on the data connection, and the control connection goes on."""
    with led(_FTP, scene, place) as client:
        act(place, client, steps)
        client.data.is_reset()
        client.until(rb"(?:^|\n)[24]\d\d [^\n]*\n")
        client.say(_FTP.again[0])
        client.line(_FTP.again[1])


def _scenes() -> Iterator[tuple[str, Scene]]:
    yield "user", Scene(_USER, rb"331 [^\n]*\n")
    yield "pass", Scene(_LOGIN[1][0], rb"230 [^\n]*\n", _LOGIN[:1])
    for verb, (line, code) in _COMMANDS.items():
        special = {"respond": ("a stub", partial(_stub, verb))} if verb in _STUBS else {}
        truth = rb"(?:^|\n)" + code.encode() + rb" [^\n]*\n"
        yield (
            verb,
            Scene(f"{line}\r\n".encode(), truth, _LOGIN, lies_on=verb not in _ENDS, special=special),
        )
    binary = (*_LOGIN, (b"TYPE I\r\n", b"200 "))
    moments: Mapping[str, tuple[Callable[[Place, Client], None], bytes]] = {
        "data_connect": (_transfer, rb"(?:" + _OPENED + rb")?"),
        "transfer": (_transfer, _OPENED),
        "data": (_transfer, _OPENED),
        "complete": (_transfer, _OPENED),
    }
    for verb, (steps, before) in moments.items():
        says = ("say",) if verb in ("transfer", "complete") else ()
        scene = Scene(
            _whole,
            rb"226 [^\n]*\n",
            binary,
            before=before,
            only=steps,
            actions=(*_MIDST[:-1], *says),
            refuse="426 broken",
        )
        see = partial(_data_is_reset, _transfer, scene)
        yield verb, replace(scene, special={"bytes": (True, see)})


def ftp(place: Place) -> Iterator[Cell]:
    """FTP's cells; a file."""
    place.account("m-ftp")
    with led(_FTP, Scene(b"", b"", _LOGIN), place) as client:
        with _passive(place, client) as data:
            client.say(b"STOR f\r\n")
            client.line(b"1")
            data.say(CONTENT)
        client.line(b"226 ")
    yield from cells(_FTP, dict(_scenes()))
    for action, (then, see) in _SECURE.items():
        yield Cell(
            "ftp", "data_tls", action, {"reset" if action == "bytes" else action: then}, partial(_protected, see)
        )


# A data connection with TLS


def _protected(see: Callable[[Client], None], place: Place) -> None:
    """The control connection once a download's data connection has shaken hands."""
    context = place.trusting()
    with place.connect("ftps") as raw, Client(context.wrap_socket(raw, server_hostname=NAME)) as client:
        client.line(b"220 ")
        for say, beginning in (*_LOGIN, (b"PBSZ 0\r\n", b"200 "), (b"PROT P\r\n", b"200 ")):
            client.say(say)
            client.line(beginning)
        _transfer(place, client)
        client.until(_OPENED)
        with contextlib.suppress(
            ConnectionError, ssl.SSLEOFError
        ):  # the rule may end it as soon as our Finished is there
            client.data.sock = context.wrap_socket(client.data.sock, server_hostname=NAME)
        place.acted()
        see(client)


def _breaks_off(client: Client) -> None:
    assert client.until(rb"\r\n") == b"426 broken\r\n"


def _waits(client: Client) -> None:
    client.line(b"226 ")
    took = time.monotonic() - client.data.begun  # from before the handshake, for the rule may have begun long ago
    assert took >= 3 * LEAST_S, f"after {took:.3f} s"


def _ends(client: Client) -> None:
    assert client.rest() == b""


def _is_cut(client: Client) -> None:
    client.until(rb"(?:^|\n)[24]\d\d [^\n]*\n")


_SECURE: Mapping[str, tuple[object, Callable[[Client], None]]] = {
    "refuse": ("426 broken", _breaks_off),
    "silence": (True, Client.is_quiet),
    "delay": (DELAY_S * 3, _waits),
    "hang_up": (True, _ends),
    "bytes": (True, _is_cut),
}
