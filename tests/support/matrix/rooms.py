"""Every room's cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.support.matrix.dns import dns
from tests.support.matrix.ftp import ftp
from tests.support.matrix.imap import imap
from tests.support.matrix.mail import pop3, smtp
from tests.support.matrix.place import Cell, Place
from tests.support.matrix.ssh import ssh
from tests.support.matrix.web import http, websocket

ROOMS: Mapping[str, Callable[[Place], Iterator[Cell]]] = {
    "smtp": smtp,
    "pop3": pop3,
    "imap": imap,
    "ftp": ftp,
    "dns": dns,
    "http": http,
    "websocket": websocket,
    "ssh": ssh,
}
