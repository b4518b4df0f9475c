"""The testbed's settings: `portyard.toml`, then `PORTYARD_*` over it. A wrong value is refused with key, value and what was expected."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from portyard.commons.hints import did_you_mean

MEGABYTE = 1 << 20
ENVIRONMENT_PREFIX = "PORTYARD_"


class SettingError(ValueError):
    """A setting is wrong; the message names key, value and what was expected."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes and counts that keep one peer from hurting the others.

    Attributes:
        message: Octets of one message; what SIZE announces.
        recipients: Recipients of one transaction (RFC 5321 §4.5.3.1.8 asks for at least 100).
        connections: Connections of one service at once.
        upload: Octets of one uploaded file.
        journal_events: Events that the journal keeps.
        journal_bytes: Octets that the journal keeps, compressed as they are.
        journal_reply: Octets of one answer of a mail room that the journal shows; of a longer one it tells how many followed. Messages
            that are read are in the store, and each octet shown twice costs as much as a small command.
        journal_body: Octets of a request's or response's body, of a WebSocket frame's content, or of what an FTP data connection carried,
            that the journal shows; 0 for none.
    """

    message: Annotated[int, msgspec.Meta(ge=1024)] = 64 * MEGABYTE
    recipients: Annotated[int, msgspec.Meta(ge=100)] = 5000
    connections: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    upload: Annotated[int, msgspec.Meta(ge=1024)] = 4096 * MEGABYTE
    journal_events: Annotated[int, msgspec.Meta(ge=1000)] = 1_000_000
    journal_bytes: Annotated[int, msgspec.Meta(ge=MEGABYTE)] = 512 * MEGABYTE
    journal_reply: Annotated[int, msgspec.Meta(ge=512, le=MEGABYTE)] = 1024
    journal_body: Annotated[int, msgspec.Meta(ge=0, le=MEGABYTE)] = 1024


class AccountSeed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account that exists from the start. `public_keys` are OpenSSH public key lines."""

    address: Annotated[str, msgspec.Meta(pattern="^[^@ ]+@[^@ ]+$", description="an address, mira@portyard.test")]
    password: str
    public_keys: tuple[str, ...] = ()


class Logging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the processes log: `format` "human" or "json", a level for all and one per room."""

    format: Annotated[str, msgspec.Meta(pattern="^(human|json)$")] = "human"
    level: Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")] = "info"
    rooms: dict[str, Annotated[str, msgspec.Meta(pattern="^(debug|info|warning|error)$")]] = {}


_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # 1 to 65535
HostAndPort = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(:{_PORT})?\Z",
        description="a host, or host:port, an IPv6 address in brackets, a port from 1 to 65535",
    ),
]
PortRange = Annotated[
    str,
    msgspec.Meta(pattern="^([0-9]{1,5}-[0-9]{1,5})?$", description="first-last, two numbers, or nothing for any port"),
]
Token = Annotated[
    str,
    msgspec.Meta(pattern="^[A-Za-z0-9._~+/-]*=*$", description="letters, digits and ._~+/-, = at the end"),
]  # RFC 6750 §2.1


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set.

    Attributes:
        state: The state directory, or "memory" for a private one on tmpfs that goes at exit.
        listen: The address that listeners bind.
        advertise: The address by which the user's machine reaches the testbed; passive FTP and URLs name it.
        port_offset: Host port = offset + standard port.
        ports: "host" (offset applied), "standard" (as inside a container) or "ephemeral".
        port_overrides: Numbers for single ports, by the port's name.
        domain: `default`'s first domain.
        domains: Further domains that `default` owns.
        capture: "any" or "own", for `default`.
        default_password: The password of accounts that capture makes.
        magic: Whether `default` hears magic words in addresses, paths and file names.
        require_tls: Refuse plaintext logins.
        personas: `room=persona …`: which kind of server a room (or one of its services) is, where no rule says otherwise.
        tls: `port=name …`: which certificate or demand, by name, a port has where no rule says otherwise ("imaps=expired").
        accounts: The accounts that exist from the start.
        relay_allow: `host` or `host:port` outside the testbed, the host an address or a name, to which mail may be handed over.
        retry_s: Seconds between tries to hand a message over; empty for the built-in schedule, which ends after four days.
        console_hosts: Host names beyond loopback and service names to which the console answers.
        names: Host names and addresses that the certificates name besides localhost, the services' names and the domains.
        token: What requests to the console must carry (`Authorization: Bearer …`); empty for nothing.
        seed: Of the testbed's chance.
        ready_dir: Where each service leaves a file once its ports listen; empty for none.
        host_ports: `name=number …`: the host's port numbers by the port's name, when somebody else (Docker) published them.
        passive_ports: `first-last`, the ports for data connections, the same on both sides; empty for any. By default they move with
            the offset.
        leased_ports: `first-last`, the ports for a sandbox's own listeners, the same on both sides; empty for any.
        session_reuse: Whether a data connection under TLS must resume the control connection's session ("required"), can't ("refused"),
            or may, and the journal says so ("reported").
        engine_view: "embedded" or "docker": what stands between a client and us.
    """

    state: str = ".portyard/state"
    listen: str = "127.0.0.1"
    advertise: str = "127.0.0.1"
    port_offset: Annotated[int, msgspec.Meta(ge=0, le=64000)] = 3000
    ports: Annotated[str, msgspec.Meta(pattern="^(host|standard|ephemeral)$")] = "host"
    port_overrides: dict[str, Annotated[int, msgspec.Meta(ge=0, le=65535)]] = {}
    domain: Annotated[str, msgspec.Meta(pattern="^[a-z0-9.-]+$", description="a domain in lower case")] = (
        "portyard.test"
    )
    domains: tuple[str, ...] = ()
    capture: Annotated[str, msgspec.Meta(pattern="^(any|own)$")] = "any"
    default_password: str = "portyard"  # noqa: S105 - documented, a testbed's
    magic: bool = False
    require_tls: bool = False
    personas: dict[str, str] = {}
    tls: dict[str, str] = {}
    accounts: tuple[AccountSeed, ...] = (
        AccountSeed("alice@portyard.test", "alice-secret"),
        AccountSeed("bob@portyard.test", "bob-secret"),
    )
    relay_allow: tuple[HostAndPort, ...] = ()
    retry_s: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = ()
    console_hosts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    token: Token = ""
    seed: int = 0
    ready_dir: str = ""
    host_ports: dict[str, Annotated[int, msgspec.Meta(ge=0, le=65535)]] = {}
    passive_ports: PortRange = "30000-30019"
    leased_ports: PortRange = ""
    session_reuse: Annotated[str, msgspec.Meta(pattern="^(required|refused|reported)$")] = "reported"
    engine_view: Annotated[str, msgspec.Meta(pattern="^(embedded|docker)$")] = "embedded"
    limits: Limits = Limits()
    log: Logging = Logging()


def load(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> Settings:
    """The settings of a file (`portyard.toml` here when it exists) with the environment's over them.

    `PORTYARD_LIMITS_MESSAGE=1000000` sets `limits.message`; tuples are separated by commas, `name=value` pairs by spaces; accounts
    are a JSON list.

    Raises:
        SettingError: A key is unknown or a value is wrong.
    """
    path = file or Path(environment.get("PORTYARD_CONFIG", "portyard.toml"))
    values: dict[str, Any] = {}
    if file is not None or "PORTYARD_CONFIG" in environment or path.exists():
        values = _read_toml(path)
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            _overlay(values, name, value)
    return _checked(values)


def given(**values: object) -> Settings:
    """The settings of these values over the defaults, held against their types as those of a file are.

    Raises:
        SettingError: A key is unknown or a value is wrong.
    """
    for key in values:
        if key not in Settings.__struct_fields__:
            raise SettingError(f"{key}: no such setting; known are {', '.join(Settings.__struct_fields__)}")
    return _checked(msgspec.to_builtins(values, enc_hook=str))


def _checked(values: dict[str, Any]) -> Settings:
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingError(_explain(error, values)) from None
    for key in ("passive_ports", "leased_ports"):
        first, dash, last = getattr(settings, key).partition("-")
        if dash and not 0 < int(first) <= int(last) < 1 << 16:
            raise SettingError(f"{key} = '{first}-{last}': expected first-last, from 1 to 65535, the first no greater")
    if "passive_ports" in values:
        return settings
    return msgspec.structs.replace(settings, passive_ports=passive_range(settings.port_offset))


def passive_range(offset: int) -> str:
    """The ports for data connections beside an offset, as scripts/compose-env has them: twenty for each thousand, 30000 at 3000."""
    first = 30000 + (offset // 1000 - 3) * 20
    return f"{first}-{first + 19}"


def _read_toml(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text()
        return tomllib.loads(text)
    except OSError as error:
        raise SettingError(
            f"{path}: {error.strerror}; give the settings file's path or remove PORTYARD_CONFIG"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        from portyard.commons.given_twice import twice_in_toml  # not in front of every start

        raise SettingError(f"{path}: {twice_in_toml(text) or f'not TOML: {error}'}") from None


# What PORTYARD_* names mean to the command line and the scripts, not to the processes.
_NOT_SETTINGS = frozenset(
    {"config", "engine", "project", "url", "loop"} | {"image", "venv", "python", "registry_wait", "debian_mirror"}
)
NESTED = {"limits": Limits, "log": Logging}


def _overlay(values: dict[str, Any], name: str, value: str) -> None:
    key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
    if key in _NOT_SETTINGS:
        return
    head, _, rest = key.partition("_")
    if head in NESTED and rest in NESTED[head].__struct_fields__:
        values.setdefault(head, {})[rest] = _pairs(value) if rest == "rooms" else value
    elif key.startswith("port_") and key != "port_offset":
        values.setdefault("port_overrides", {})[key.removeprefix("port_").replace("_", "-")] = value
    elif key not in Settings.__struct_fields__:
        raise SettingError(f"{name}: no such setting; known are {', '.join(Settings.__struct_fields__)}")
    elif key in ("host_ports", "personas", "tls"):
        values[key] = _pairs(value)
    elif key == "accounts":
        values[key] = _accounts(name, value)
    elif key in ("domains", "relay_allow", "retry_s", "console_hosts", "names"):
        values[key] = [part.strip() for part in value.split(",") if part.strip()]
    else:
        values[key] = value


def _pairs(value: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in value.split())


def _accounts(name: str, value: str) -> Any:  # noqa: ANN401 - held against its type with all the others
    try:
        return msgspec.json.decode(value.strip() or "[]")
    except msgspec.DecodeError as error:
        example = '[{"address": "mira@portyard.test", "password": "m-secret"}]'
        raise SettingError(f"{name}: expected a JSON list such as {example}: {error}") from None


_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_SECRET = re.compile("pass(?!ive)|token|secret", re.IGNORECASE)  # what a key that is only misspelt is for, too
_STEP = re.compile(r"[^.\[\]]+|(?<=\[)\.\.\.(?=\])")
_CHOICES = re.compile(r"matching regex '\^\(([a-z|]+)\)\$'")


def _explain(error: msgspec.ValidationError, values: dict[str, Any]) -> str:
    """Msgspec tells what was expected and the path; the value is looked up so that the line is complete."""
    text, _, path = str(error).partition(" - at `$")
    keys = path.rstrip("`").strip(".")
    if unknown := _UNKNOWN.search(text):
        return _unknown(f"{keys}.{unknown[1]}" if keys else unknown[1], values)
    found = _found(keys, values)
    if choices := _CHOICES.search(text):
        text = f"expected {' or '.join(choices[1].split('|'))}"
    elif "matching regex" in text:
        from portyard.commons.allowed import allowed_at  # not in front of every start

        text = f"expected {allowed_at(Settings, _STEP.findall(keys))}"
    return f"{keys} = {_shown(keys, found)}: {text[0].lower()}{text[1:]}"


def _shown(keys: str, value: object) -> str:
    """A value as a message tells it: no password, nor what is in a table beside one."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {_shown(name, each)}" for name, each in value.items()) + "}"
    return "«secret»" if _SECRET.search(keys.rpartition(".")[2]) else repr(value)


def _found(keys: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - as TOML reads it
    """What stands under a path such as `accounts[0].address`; nothing where the path leads nowhere."""
    found: Any = values
    for part in _STEP.findall(keys):
        if isinstance(found, dict):
            found = found if part == "..." else found.get(part, "")  # of which key, msgspec doesn't tell
        elif isinstance(found, list) and part.isdecimal():
            found = found[int(part)]
    return found


def _unknown(keys: str, values: dict[str, Any]) -> str:
    """A key that nobody knows, with its value and the keys of the table that it stands in."""
    head, _, name = keys.rpartition(".")
    tables: dict[str, Any] = {"": Settings, "accounts": AccountSeed, **NESTED}
    known = tables[head.partition("[")[0]].__struct_fields__
    return f"{keys} = {_shown(keys, _found(keys, values))}: no such setting{did_you_mean(name, known)}; known are {', '.join(known)}"
