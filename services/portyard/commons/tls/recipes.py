"""One recipe per named certificate: what it says, who signs it, and how the server that shows it behaves.

Data only. How a recipe becomes files is minting's business, how it becomes a context is the authority's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ssl import TLSVersion
from types import MappingProxyType
from typing import Final


class Key(Enum):
    """The leaf's key."""

    EC_P256 = "ec-p256"
    RSA_2048 = "rsa-2048"
    RSA_1024 = "rsa-1024"


class Signer(Enum):
    """Who signs the leaf."""

    CA = "ca"
    INTERMEDIATE = "intermediate"
    """An intermediate CA under ours."""
    SELF = "self"
    STRANGER = "stranger"
    """A root that nobody was given; it is sent along, as such servers do."""


class Usage(Enum):
    """Extended key usages (RFC 5280 §4.2.1.12)."""

    SERVER = "serverAuth"
    CLIENT = "clientAuth"
    CODE_SIGNING = "codeSigning"


class Digest(Enum):
    """What the certificate's signature is made over."""

    SHA256 = "sha256"
    SHA1 = "sha1"


class Manner(Enum):
    """How the server answers a ClientHello."""

    TLS = "tls"
    PLAINTEXT = "plaintext"
    """It goes on as if there were no TLS."""
    STALL = "stall"
    """Not at all."""


class ClientCertificate(Enum):
    """What the server asks of the client."""

    NONE = ssl.CERT_NONE
    OPTIONAL = ssl.CERT_OPTIONAL
    REQUIRED = ssl.CERT_REQUIRED


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the certificate itself says. Days count from the moment of its making."""

    names: tuple[str, ...] | None = None
    """Subject alternative names; None: every name of the testbed."""
    common_name: str = "Portyard"
    starts_after_days: float = -1.0
    """A day early, for clients whose clock is behind."""
    ends_after_days: float = 397.0
    """Apple's clients refuse leaves that live for more than 398 days."""
    remake_after_days: float = 365.0
    key: Key = Key.EC_P256
    signer: Signer = Signer.CA
    sends_issuer: bool = True
    """Whether the intermediate or the stranger's root is sent along with the leaf."""
    usages: tuple[Usage, ...] = (Usage.SERVER, Usage.CLIENT)
    digest: Digest = Digest.SHA256
    """SHA-1 needs an issuer with an RSA key: an intermediate's, which is of the leaf's kind."""
    revoked: bool = False
    """On the CA's CRL from the moment of its making; says where the CRL and the OCSP responder are."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One name under which a server can show itself."""

    name: str
    """With underscores; as a host name's first label, with hyphens."""
    says: str
    """One line for tables and lists."""
    certificate: Certificate = field(default_factory=Certificate)
    minimum: TLSVersion = TLSVersion.TLSv1_2
    maximum: TLSVersion = TLSVersion.MAXIMUM_SUPPORTED
    client_certificate: ClientCertificate = ClientCertificate.NONE
    trusts_clients: bool = True
    """False: a client's certificate is judged by no CA at all, so that each is a stranger's."""
    security_level: int | None = None
    """OpenSSL's; None leaves the library's default, 0 allows what is broken."""
    session_tickets: bool = True
    close_notify: bool = True
    """False: the connection ends without it, as a truncation would."""
    manner: Manner = Manner.TLS

    @property
    def files(self) -> str:
        """The name of the recipe's files: recipes with the ordinary certificate share the good one's."""
        return GOOD if self.certificate == _ORDINARY else self.name

    @property
    def ciphers(self) -> str | None:
        """OpenSSL's cipher string, or None for the library's default."""
        return None if self.security_level is None else f"DEFAULT:@SECLEVEL={self.security_level}"


GOOD: Final = "good"
_ORDINARY: Final = Certificate()

_ALL: Final = (
    Recipe(GOOD, "valid, names every service, TLS 1.2 and 1.3"),
    Recipe(
        "expired",
        "ended yesterday",
        Certificate(starts_after_days=-398.0, ends_after_days=-1.0, remake_after_days=3650.0),
    ),
    Recipe(
        "not_yet_valid",
        "begins in a year",
        Certificate(starts_after_days=365.0, ends_after_days=730.0, remake_after_days=180.0),
    ),
    Recipe("wrong_host", "names another host", Certificate(names=("wrong.invalid",), common_name="wrong.invalid")),
    Recipe("self_signed", "signed by its own key", Certificate(signer=Signer.SELF)),
    Recipe("untrusted_root", "signed by a root that nobody was given", Certificate(signer=Signer.STRANGER)),
    Recipe("intermediate", "signed by an intermediate, which is sent along", Certificate(signer=Signer.INTERMEDIATE)),
    Recipe(
        "incomplete_chain",
        "signed by an intermediate that isn't sent",
        Certificate(signer=Signer.INTERMEDIATE, sends_issuer=False),
    ),
    Recipe("revoked", "taken back by its CA, as CRL and OCSP say", Certificate(revoked=True)),
    Recipe("weak_key", "an RSA key of 1,024 bits", Certificate(key=Key.RSA_1024), security_level=0),
    Recipe(
        "sha1",
        "signed over SHA-1, by an RSA intermediate, which is sent along",
        Certificate(key=Key.RSA_2048, signer=Signer.INTERMEDIATE, digest=Digest.SHA1),
        security_level=0,
    ),
    Recipe("rsa", "valid, with an RSA key of 2,048 bits", Certificate(key=Key.RSA_2048)),
    Recipe("wrong_usage", "made for signing code, not for servers", Certificate(usages=(Usage.CODE_SIGNING,))),
    Recipe("tls10_only", "TLS 1.0 only", minimum=TLSVersion.TLSv1, maximum=TLSVersion.TLSv1, security_level=0),
    Recipe("tls11_only", "TLS 1.1 only", minimum=TLSVersion.TLSv1_1, maximum=TLSVersion.TLSv1_1, security_level=0),
    Recipe("tls12_only", "TLS 1.2 only", maximum=TLSVersion.TLSv1_2),
    Recipe("tls13_only", "TLS 1.3 only", minimum=TLSVersion.TLSv1_3),
    Recipe("no_tickets", "never resumes a session", session_tickets=False),
    Recipe("no_close_notify", "closes without saying so", close_notify=False),
    Recipe(
        "client_certificate_required",
        "refuses clients without a certificate of our CA",
        client_certificate=ClientCertificate.REQUIRED,
    ),
    Recipe(
        "client_certificate_optional",
        "asks for a certificate of our CA, takes none as well",
        client_certificate=ClientCertificate.OPTIONAL,
    ),
    Recipe(
        "client_certificate_wrong",
        "wants a certificate and takes each for a stranger's",
        client_certificate=ClientCertificate.REQUIRED,
        trusts_clients=False,
    ),
    Recipe("plaintext", "answers the ClientHello in plaintext", manner=Manner.PLAINTEXT),
    Recipe("stalled", "never answers the ClientHello", manner=Manner.STALL),
)

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType({recipe.name: recipe for recipe in _ALL})


def recipe_for_host(server_name: str | None) -> Recipe | None:
    """The recipe that a host name asks for by its first label.

    Args:
        server_name: As the client sent it (SNI), such as `wrong-host.portyard.test`.

    Returns:
        The recipe, or None where the label names none.
    """
    label = (server_name or "").partition(".")[0]
    return None if "_" in label else RECIPES.get(label.lower().replace("-", "_"))
