"""What rules may ask of FTP: each command by its keyword, and the phases of a connection and of a transfer. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from portyard.commons.scenario.vocabulary import (
    COMMAND,
    CONNECT,
    HANDSHAKE,
    MIDST,
    PERSONA,
    STEPS,
    Field,
    FieldKind,
    Form,
    Verb,
    Vocabulary,
)

if TYPE_CHECKING:  # a card imports this file, and nothing heavy
    from portyard.commons.scenario.model import Scalar

_MIDST = MIDST | {"refuse"}

_STEPS = (STEPS - {"respond"}) | {"send", "expect"}

# RFC 959 §4.2: three digits; of several lines the first has a hyphen behind its code, and the last the same code and a space
_REST = r"[0-9]{2})(?: [^\r\n]*|-[^\r\n]*(?:\r?\n[^\r\n]*)*\r?\n\1 [^\r\n]*)?"
_FORMS = {
    "refuse": Form(f"([45]{_REST}", 'a reply that refuses, from 400 to 599, such as "450 busy"'),
    "say": Form(
        f"([1-6]{_REST}",
        'a reply from 100 to 699, such as "250 done", or "250-first", lines and "250 last"; octets as they stand: '
        'script = [{ send = "…" }]',
    ),
    "script.say": Form(r"[^\r\n]+(?:\r?\n[^\r\n]+)*", "a line, or several"),
}

_LOGIN = {"login": Field("The name that is claimed.")}
_PATH = {"path": Field("The absolute path inside the account's files.", FieldKind.PATH)}
_FILE = {**_PATH, "offset": Field("Where REST asked to go on; 0 for the beginning.", FieldKind.NUMBER)}
_ARGUMENT = {"argument": Field("What follows the command, as it was sent.")}
_DIRECTION = Field("down for a download or a listing, up for an upload.", values=("up", "down"))
_TRANSFER = {
    **_PATH,
    "command": Field("The command.", values=("RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD")),
    "direction": _DIRECTION,
    "octets": Field("Carried of it so far.", FieldKind.NUMBER),
}
_WHY_NO_STUB = {
    "respond": "respond answers with the octets of a transfer (retr, list, nlst, mlsd); a reply line is what say is for",
    "tls": "a certificate is chosen at the verb tls",
}
_WHY_NO_SAY = {
    "say": "octets are under way and no reply is: say at the verbs transfer or complete changes the last one"
}


def _verb(
    summary: str, fields: dict[str, Field] | None = None, magic: str | None = None, *, stub: bool = False
) -> Verb:
    actions = COMMAND | {"respond"} if stub else COMMAND
    return Verb(summary, fields or {}, actions, magic=magic, why_not=_WHY_NO_STUB, forms=_FORMS, steps=_STEPS)


_COMMANDS = {
    "user": _verb("USER", _LOGIN, magic="login"),
    "pass": _verb("PASS"),
    "acct": _verb("ACCT"),
    "host": _verb("HOST", _ARGUMENT),
    "auth": _verb("AUTH", {"mechanism": Field("In capitals.")}),
    "pbsz": _verb("PBSZ", _ARGUMENT),
    "prot": _verb("PROT", _ARGUMENT),
    "ccc": _verb("CCC"),
    "rein": _verb("REIN"),
    "quit": _verb("QUIT"),
    "pasv": _verb("PASV"),
    "epsv": _verb("EPSV", _ARGUMENT),
    "port": _verb("PORT", _ARGUMENT),
    "eprt": _verb("EPRT", _ARGUMENT),
    "type": _verb("TYPE", _ARGUMENT),
    "stru": _verb("STRU", _ARGUMENT),
    "mode": _verb("MODE", _ARGUMENT),
    "rest": _verb("REST", _ARGUMENT),
    "allo": _verb("ALLO", _ARGUMENT),
    "retr": _verb("RETR", _FILE, magic="path", stub=True),
    "stor": _verb("STOR", _FILE, magic="path"),
    "appe": _verb("APPE", _PATH, magic="path"),
    "stou": _verb("STOU", _ARGUMENT),
    "list": _verb("LIST", _PATH, stub=True),
    "nlst": _verb("NLST", _PATH, stub=True),
    "mlsd": _verb("MLSD", _PATH, stub=True),
    "mlst": _verb("MLST", _PATH),
    "size": _verb("SIZE", _PATH),
    "mdtm": _verb("MDTM", _PATH),
    "mfmt": _verb("MFMT", _PATH),
    "pwd": _verb("PWD, XPWD"),
    "cwd": _verb("CWD, XCWD", _PATH),
    "cdup": _verb("CDUP, XCUP"),
    "mkd": _verb("MKD, XMKD", _PATH, magic="path"),
    "rmd": _verb("RMD, XRMD", _PATH),
    "dele": _verb("DELE", _PATH, magic="path"),
    "rnfr": _verb("RNFR", _PATH),
    "rnto": _verb("RNTO", _PATH, magic="path"),
    "abor": _verb("ABOR"),
    "stat": _verb("STAT", _ARGUMENT),
    "site": _verb("SITE", _ARGUMENT),
    "feat": _verb("FEAT"),
    "opts": _verb("OPTS", _ARGUMENT),
    "syst": _verb("SYST"),
    "help": _verb("HELP", _ARGUMENT),
    "noop": _verb("NOOP"),
    "unknown": _verb("A command that isn't served.", {"command": Field("In capitals."), **_ARGUMENT}),
}

PHASES = ("transfer", "data", "complete")
"""The moments of a transfer at which its data connection asks."""

VOCABULARY = Vocabulary(
    room="ftp",
    early=dict.fromkeys(("auth", "feat", "host"), ("ftp",)),
    verbs={
        "connect": Verb("A connection was accepted.", {}, CONNECT | PERSONA),
        "greeting": _verb("The server is about to greet."),
        "tls": Verb(
            HANDSHAKE.summary,
            {**HANDSHAKE.fields, "channel": Field("Which connection.", values=("control", "data"))},
            HANDSHAKE.actions,
            forms=HANDSHAKE.forms,
        ),
        **_COMMANDS,
        "data_connect": Verb(
            "A data connection came (passive), or is about to be made (active).",
            {"mode": Field("Who connects.", values=("passive", "active"))},
            _MIDST,
            why_not=_WHY_NO_SAY,
            forms=_FORMS,
        ),
        "data_tls": Verb(
            "The TLS handshake of a data connection is done.",
            {"reused": Field("Whether it resumed the control connection's session.", FieldKind.FLAG)},
            _MIDST,
            why_not=_WHY_NO_SAY,
            forms=_FORMS,
        ),
        "transfer": Verb(
            "Between the 150 and the first octet, the data connection stands.",
            _TRANSFER,
            _MIDST | {"say"},
            forms=_FORMS,
        ),
        "data": Verb("A piece is about to be sent or read.", _TRANSFER, _MIDST, why_not=_WHY_NO_SAY, forms=_FORMS),
        "complete": Verb(
            "All octets were carried; nothing is kept or closed yet.", _TRANSFER, _MIDST | {"say"}, forms=_FORMS
        ),
    },
)

_OTHER_NAMES = {"XCWD": "cwd", "XCUP": "cdup", "XMKD": "mkd", "XPWD": "pwd", "XRMD": "rmd"}
_VERBS = {name.upper(): name for name in _COMMANDS if name != "unknown"} | _OTHER_NAMES
COMMANDS = frozenset(_VERBS)
"""Those that are served, in capitals."""

SELF_CONTAINED = frozenset(name for name, verb in _COMMANDS.items() if not verb.fields.keys() & {"path", "offset"})
"""The verbs whose fields follow from the line alone, wherever one is."""

PATHS = ("size", "mdtm", "mlst", "cwd", "mkd", "rmd", "dele", "rnfr", "rnto")
"""Verbs whose events say nothing but a path, which is all of the argument; nor is magic looked for anywhere else in them."""
NAMING = {name: verb for name, verb in _VERBS.items() if verb in PATHS}
"""These verbs, by command."""

BARE = {name: verb for name, verb in _VERBS.items() if not _COMMANDS[verb].fields}
"""The verbs of the commands about which there is nothing to tell."""


def verb_of(command: str) -> str:
    """The verb of a command in capitals."""
    return _VERBS.get(command, "unknown")


def fields_of(verb: str, command: str, argument: str, folder: str, offset: int) -> dict[str, Scalar]:
    """A command's fields.

    Args:
        verb: Its verb.
        command: It, in capitals.
        argument: What follows it, without the options of LIST and NLST.
        folder: The current directory.
        offset: What REST asked for.
    """
    declared = _COMMANDS[verb].fields
    if declared is _ARGUMENT:
        return {"argument": argument}
    if declared is _PATH:
        return {"path": path_of(folder, argument.partition(" ")[2] if verb == "mfmt" else argument)}
    if not declared:
        return {}
    values: dict[str, Scalar] = {
        "argument": argument,
        "command": command,
        "login": argument,
        "mechanism": argument.upper(),
        "offset": offset,
    }
    if "path" in declared:
        values["path"] = path_of(folder, argument)
    return {name: values[name] for name in declared}


def path_of(folder: str, named: str) -> str:
    """The path that is meant, without dots. What most clients name is one already, or one name in the current directory."""
    path = named if named[:1] == "/" else f"/{named}" if folder == "/" else f"{folder}/{named}"
    if path != "/" and ("/." in path or "//" in path or path[-1] == "/"):  # else nothing has to be resolved
        return "/" + posixpath.normpath(path).lstrip("/")  # POSIX keeps two at the beginning: to our files they are one
    return path
