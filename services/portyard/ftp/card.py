"""What the FTP room says of itself."""

from __future__ import annotations

from portyard.commons.card import Card, Service, TlsMode, standard
from portyard.ftp.core.verbs import VOCABULARY

CARD = Card(
    name="ftp",
    services=(
        Service(
            name="ftp",
            role="ftp",
            ports=(standard("ftp", 21, TlsMode.UPGRADE), standard("ftps", 990, TlsMode.IMPLICIT)),
            summary="FTP with AUTH TLS and implicit FTPS; passive and active; the accounts' files",
            passive=True,
            overload=b"421 Too many connections, try again later.\r\n",  # RFC 959 §5.4
        ),
    ),
    factory="portyard.ftp.edge:open_service",
    capabilities=(
        "AUTH TLS",
        "EPRT",
        "EPSV",
        "HOST",
        "MDTM",
        "MFMT",
        "MLST",
        "PBSZ",
        "PROT",
        "REST STREAM",
        "SIZE",
        "TVFS",
        "UTF8",
    ),
    vocabulary=VOCABULARY,
    quirks="portyard.ftp.core.quirks:Quirks",
)
