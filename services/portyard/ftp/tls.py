"""FTP's TLS: pyOpenSSL contexts on the testbed's certificates, because pyftpdlib drives sockets by itself."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL


def server_context(chain: Path, key: Path) -> SSL.Context:
    """A context for the control and the data channel; one for both, so that a data channel can resume the control channel's session.

    Args:
        chain: The certificates' file, PEM.
        key: The key's file, PEM.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_chain_file(str(chain))
    context.use_privatekey_file(str(key))
    context.set_session_id(b"portyard-ftp")  # sessions are resumed between connections of this context alone
    return context


def handshake_fields(connection: SSL.Connection) -> dict[str, object]:
    """What a finished handshake agreed on, for the journal."""
    name = connection.get_servername()
    fields: dict[str, object] = {
        "version": connection.get_protocol_version_name(),
        "cipher": connection.get_cipher_name(),
        "session_reused": session_reused(connection),
    }
    if name:
        fields["server_name"] = name.decode("ascii", "replace")
    return fields


def session_reused(connection: SSL.Connection) -> bool:
    """Whether the peer resumed a session; pyOpenSSL tells it by its cffi binding alone."""
    return bool(SSL._lib.SSL_session_reused(connection._ssl))  # type: ignore[attr-defined]
