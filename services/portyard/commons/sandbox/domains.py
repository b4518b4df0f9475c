"""Which names sandboxes and their domains may have. Pure but for the names of certificates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from portyard.commons.sandbox.model import DEFAULT, SandboxError, SandboxTakenError
from portyard.commons.settings import SettingError, Settings
from portyard.commons.tls.recipes import GOOD, RECIPES

LOCALHOST = "localhost"  # of requests that name no sandbox: a domain of this name would take them from all others
RESERVED = frozenset({DEFAULT, LOCALHOST, "test", "example", "invalid"})
CERTIFICATES = frozenset(name.replace("_", "-") for name in RECIPES if name != GOOD)
"""Labels that ask for a certificate in front of any domain: a domain that begins with one would show it as its own."""
MOST_DOMAINS = 1_000
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)  # RFC 1123 §2.1, RFC 1035 §2.3.1
_HOST_LIMIT = 253  # octets, RFC 1035 §2.3.4 without the root
_NAMES = "host names such as mail.example"


def checked_name(name: str) -> str:
    """A sandbox's name.

    Raises:
        SandboxError: It is no label.
        SandboxTakenError: It is reserved.
    """
    if not isinstance(name, str) or not _LABEL.fullmatch(name):
        allowed = "1 to 63 small letters, digits and hyphens, a hyphen neither first nor last"
        raise SandboxError("name", name, allowed, "this can't be a label of a host name")
    if name in RESERVED:
        raise SandboxTakenError("name", name, "another name", "this name is reserved")
    if name in CERTIFICATES:
        reason = f"{name}.test asks for the certificate of that name, whosever it is"
        raise SandboxTakenError("name", name, "another name", reason)
    return name


def checked_domains(values: Sequence[str], key: str = "domains") -> tuple[str, ...]:
    """Domains in small letters, each once.

    Args:
        values: As they were given.
        key: What they are called in errors.

    Raises:
        SandboxError: There are too many, one is no host name, or it can be nobody's.
    """
    if len(values) > MOST_DOMAINS:
        raise SandboxError(key, len(values), f"at most {MOST_DOMAINS}", "too many domains")
    return tuple(dict.fromkeys(_domain(value, key) for value in values))


def with_own(name: str, domains: Iterable[str]) -> tuple[str, ...]:
    """All domains of a sandbox, its own first; `default` has none of its own.

    Raises:
        SandboxError: One is no host name, or can be nobody's.
    """
    return checked_domains(tuple(domains) if name == DEFAULT else (f"{name}.test", *domains))


def check_settings(settings: Settings) -> None:
    """Hold the settings' domains against what a domain may be.

    Raises:
        SettingError: One is no host name, or can be nobody's.
    """
    try:
        checked_domains([each for each in (settings.domain,) if each != LOCALHOST], "domain")
        # `default`'s may be called so: it has no domain by which a request is taken from others
        checked_domains([each for each in settings.domains if each != LOCALHOST])
    except SandboxError as error:
        raise SettingError(str(error)) from None


def _domain(value: str, key: str) -> str:
    lowered = value.lower().removesuffix(".") if isinstance(value, str) else ""
    if len(lowered) > _HOST_LIMIT or not all(_LABEL.fullmatch(label) for label in lowered.split(".")):
        raise SandboxError(key, value, _NAMES, "no host name")
    if lowered.rpartition(".")[2].isdecimal():  # RFC 1123 §2.1: what ends in a number is no name, but an address
        raise SandboxError(key, value, _NAMES, "an address, which nobody owns")
    if lowered == LOCALHOST:
        reason = "whoever comes to an address of the testbed may call it so"
        raise SandboxError(key, value, "another name, such as mail.example", reason)
    if (first := lowered.partition(".")[0]) in CERTIFICATES:
        reason = f"TLS by this name asks for the certificate {first}, whosever it is"
        raise SandboxError(key, value, f"another first label, such as mail.{lowered}", reason)
    return lowered
