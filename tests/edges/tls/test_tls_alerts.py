"""Which alert an error means where OpenSSL's own socket sent it, unseen."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest

from portyard.commons.tls.alerts import Failure, explain
from portyard.commons.tls.authority import Authority


def failure_of(authority: Authority, recipe: str, client: ssl.SSLContext | bytes) -> Failure:
    """What a server's blocking socket makes of a client; of octets, where it isn't one of TLS."""
    ours, theirs = socket.socketpair()

    def knock() -> None:
        with theirs:
            if isinstance(client, bytes):
                theirs.sendall(client)
                return
            try:
                with client.wrap_socket(theirs, server_hostname="localhost") as secure:
                    secure.recv(1)
            except ssl.SSLError:
                pass

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        with ours, pytest.raises(ssl.SSLError) as told:
            authority.context(recipe).wrap_socket(ours, server_side=True)
    finally:
        knocking.join()
    return explain(told.value, None)


def test_what_it_sent(authority: Authority) -> None:
    older = authority.client_context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    assert failure_of(authority, "tls13_only", older)[1:] == ("protocol_version", "us")
    bare = authority.client_context()
    assert failure_of(authority, "client_certificate_required", bare)[1:] == ("certificate_required", "us")
    shown = authority.client_context(with_certificate=True)
    assert failure_of(authority, "client_certificate_wrong", shown)[1:] == ("unknown_ca", "us")


def test_what_the_peer_sent(authority: Authority) -> None:
    strict = authority.client_context()
    assert failure_of(authority, "expired", strict) == Failure(
        "sslv3 alert certificate expired", "certificate_expired", "peer"
    )


@pytest.mark.parametrize("octets", [b"", b"GET / HTTP/1.0\r\n\r\n"])
def test_what_has_no_alert_that_is_known(authority: Authority, octets: bytes) -> None:
    assert failure_of(authority, "good", octets)[1:] == (None, None)
