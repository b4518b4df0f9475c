"""The same recipes for libraries that stand on pyOpenSSL. Imported only by rooms whose library does."""

from __future__ import annotations

from ssl import TLSVersion
from typing import Final

from OpenSSL import SSL

from portyard.commons.tls.authority import Authority
from portyard.commons.tls.recipes import GOOD, RECIPES, ClientCertificate

_VERSIONS: Final = {
    TLSVersion.TLSv1: SSL.TLS1_VERSION,
    TLSVersion.TLSv1_1: SSL.TLS1_1_VERSION,
    TLSVersion.TLSv1_2: SSL.TLS1_2_VERSION,
    TLSVersion.TLSv1_3: SSL.TLS1_3_VERSION,
    TLSVersion.MAXIMUM_SUPPORTED: 0,
}
_DEMANDS: Final = {
    ClientCertificate.NONE: SSL.VERIFY_NONE,
    ClientCertificate.OPTIONAL: SSL.VERIFY_PEER,
    ClientCertificate.REQUIRED: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


def pyopenssl_context(authority: Authority, recipe: str = GOOD) -> SSL.Context:
    """Make a server context for a recipe.

    Args:
        authority: Whose certificates.
        recipe: A key of `RECIPES`.

    Returns:
        A context of pyOpenSSL's; its OpenSSL may be another one than Python's own.

    Raises:
        KeyError: There is no such recipe.
        AuthorityError: Its files can't be made.
    """
    wanted, paths = RECIPES[recipe], authority.certificate_paths(recipe)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    if wanted.ciphers is not None:
        context.set_cipher_list(wanted.ciphers.encode())
    context.set_min_proto_version(_VERSIONS[wanted.minimum])
    context.set_max_proto_version(_VERSIONS[wanted.maximum])
    context.use_certificate_chain_file(str(paths.chain))
    context.use_privatekey_file(str(paths.key))
    if wanted.client_certificate is not ClientCertificate.NONE and wanted.trusts_clients:
        context.load_verify_locations(str(authority.ca_path))
    context.set_verify(_DEMANDS[wanted.client_certificate])
    context.set_session_id(b"portyard")
    if not wanted.session_tickets:
        context.set_options(SSL.OP_NO_TICKET)
    return context
