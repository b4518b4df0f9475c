"""What rules may ask of SSH: the phases of a connection, the requests of a channel, and the operations of SFTP. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portyard.commons.scenario.vocabulary import (
    CONNECT,
    MIDST,
    PERSONA,
    STEPS,
    Field,
    FieldKind,
    Form,
    Verb,
    Vocabulary,
)

# draft-ietf-secsh-filexfer-13 §9.1; version 3 has the first nine, the others are told as a failure with their words.
STATUS: Mapping[str, int] = MappingProxyType(
    {
        "ok": 0,
        "eof": 1,
        "no such file": 2,
        "permission denied": 3,
        "failure": 4,
        "bad message": 5,
        "no connection": 6,
        "connection lost": 7,
        "op unsupported": 8,
        "invalid handle": 9,
        "no such path": 10,
        "file already exists": 11,
        "write protect": 12,
        "no media": 13,
        "no space on filesystem": 14,
        "quota exceeded": 15,
    }
)
_KNOWN = "|".join(name.replace(" ", "[ _]") for name in STATUS if name != "ok")
# A name of the protocol's must be one; other words are a failure's.
_STATUSES = {
    "refuse": Form(
        rf"(?is)(?!ssh_|fx_|\d|ok\b)\S.*|(?:ssh_)?fx_(?:{_KNOWN})(?:\s*:.*)?|(?:[1-9]|1[0-5])(?:\s*:.*)?|[45]\d\d as .*",
        'a status that refuses, such as "SSH_FX_PERMISSION_DENIED", "no such file: try later" or "3", or words alone',
    ),
    "say": Form(
        rf"(?is)(?!ssh_|fx_|\d)\S.*|(?:ssh_)?fx_(?:ok|{_KNOWN})(?:\s*:.*)?|(?:[0-9]|1[0-5])(?:\s*:.*)?",
        'a status, such as "SSH_FX_OK", "eof" or "4: disk on fire", or words alone, which are a failure\'s',
    ),
}

_PHASE = MIDST | {"refuse"}
_LIE_SUCCESS = "no answer may be false here: a client takes it for the state that it is in; refuse fails the request"
_WHY = {"say": _LIE_SUCCESS, "script": "a script is played where prompts are asked: the verb prompt"}

_PATH = Field("The absolute path inside the account's files.", FieldKind.PATH)
_OFFSET = Field("Where in the file.", FieldKind.NUMBER)
_OCTETS = Field("How many.", FieldKind.NUMBER)
_TARGET = Field("The new path, or where a link points.", FieldKind.PATH)
_LOGIN = Field("The user name that is claimed.")


_LINE = Form(r"[^\r\n]{1,253}", "one line of 253 characters at most (RFC 4253 §4.2)")


def _phase(summary: str, magic: str | None = None, **fields: Field) -> Verb:
    return Verb(summary, fields, _PHASE, why_not=_WHY, magic=magic)


def _sftp(summary: str, magic: str | None = None, **fields: Field) -> Verb:
    return Verb(f"SFTP: {summary}", {"path": _PATH, **fields}, _PHASE | {"say"}, magic=magic, forms=_STATUSES)


VOCABULARY = Vocabulary(
    room="ssh",
    nameless=frozenset({"kex"}),
    before_login=frozenset({"kex", "auth", "prompt"}),
    verbs={
        "connect": Verb(
            "A connection was accepted.", {}, (CONNECT - {"tls"}) | PERSONA, why_not={"tls": "SSH has no TLS"}
        ),
        "greeting": Verb(
            "The server is about to send its version line.", {}, _PHASE | {"say"}, forms={"refuse": _LINE, "say": _LINE}
        ),
        "kex": _phase("The client's first KEXINIT came.", client=Field("Its version line.")),
        "auth": _phase(
            "A login is tried (not: the questions which methods and which keys there are).",
            magic="login",
            login=_LOGIN,
            method=Field("How.", values=("publickey", "password", "keyboard-interactive", "hostbased")),
        ),
        "prompt": Verb(
            "Keyboard-interactive is about to ask.",
            {"login": _LOGIN},
            _PHASE | {"say", "script"},
            why_not={
                **_WHY,
                "script.reset": "faults of bytes stand beside a script, not in it: then = [{ reset = … }]",
            },
            steps=(STEPS - {"respond", "reset"}) | {"send", "expect"},
        ),
        "env": _phase("An environment variable is set.", name=Field("Its name."), value=Field("Its value.")),
        "pty": _phase("A terminal is asked for.", term=Field("Its type.")),
        "shell": _phase("A shell is asked for."),
        "exec": Verb(
            "A command is to be run.",
            {"command": Field("As it was sent.")},
            _PHASE | {"say", "respond"},
            magic="command",
        ),
        "subsystem": _phase("A subsystem is asked for.", name=Field("Its name.")),
        "output": Verb(
            "A piece of a command's or a shell's output is about to be sent.",
            {"command": Field("The command; empty for a shell."), "octets": Field("Sent so far.", FieldKind.NUMBER)},
            MIDST,
        ),
        "sftp_open": _sftp("open", magic="path", mode=Field('Such as "read" and "write+create+truncate".')),
        "sftp_close": _sftp("close"),
        "sftp_read": _sftp("read", offset=_OFFSET, octets=_OCTETS),
        "sftp_write": _sftp("write", offset=_OFFSET, octets=_OCTETS),
        "sftp_stat": _sftp("attributes, links followed"),
        "sftp_lstat": _sftp("attributes of a link itself"),
        "sftp_fstat": _sftp("attributes of an open file"),
        "sftp_setstat": _sftp("set attributes"),
        "sftp_fsetstat": _sftp("set attributes of an open file"),
        "sftp_opendir": _sftp("open a directory"),
        "sftp_readdir": _sftp("read a directory"),
        "sftp_remove": _sftp("remove a file", magic="path"),
        "sftp_mkdir": _sftp("make a directory", magic="path"),
        "sftp_rmdir": _sftp("remove a directory", magic="path"),
        "sftp_realpath": _sftp("canonical path"),
        "sftp_rename": _sftp("rename, either kind", magic="path", target=_TARGET),
        "sftp_readlink": _sftp("a link's target"),
        "sftp_symlink": _sftp("make a symbolic link", target=_TARGET),
        "sftp_link": _sftp("make a hard link", target=_TARGET),
        "sftp_statvfs": _sftp("the volume's size"),
        "sftp_fsync": _sftp("see a file on the disk"),
        "sftp_copy": _sftp("copy-data", offset=_OFFSET, octets=_OCTETS, target=_TARGET),
    },
    respond=frozenset({"body", "stderr", "status"}),
    statuses=(0, 0xFFFFFFFF),  # RFC 4254 §6.10: a uint32
)

FAILURE = STATUS["failure"]
_HIGHEST = 8  # of version 3
_STATUS = re.compile(r"(?P<name>[A-Za-z_ ]+|\d{1,2})(?:\s*:\s*(?P<words>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Status:
    """What an SFTP operation is answered.

    Attributes:
        code: Of version 3.
        words: For people.
    """

    code: int
    words: str


def parse_status(text: str) -> Status:
    """A status as rules write it: `SSH_FX_PERMISSION_DENIED`, `permission denied`, `3`, each with `: words` behind it or without.

    Anything else is a failure in these words.
    """
    match = _STATUS.fullmatch(text.strip())
    if match is None:
        return Status(FAILURE, text)
    name = match["name"].lower().removeprefix("ssh_").removeprefix("fx_").replace("_", " ").strip()
    code = int(name) if name.isdecimal() else STATUS.get(name)
    if code is None or code > max(STATUS.values()):
        return Status(FAILURE, text)
    words = match["words"] or next(known for known, number in STATUS.items() if number == code)
    return Status(code if code <= _HIGHEST else FAILURE, words)
