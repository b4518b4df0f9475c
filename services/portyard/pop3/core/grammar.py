"""Lines to commands and back, replies to lines and back."""

from __future__ import annotations

import re
from collections.abc import Callable

from portyard.pop3.core.model import (
    Apop,
    Auth,
    BadSyntax,
    Capa,
    Command,
    Dele,
    List,
    Noop,
    Pass,
    Quit,
    Reply,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
)

# RFC 2449 §4: command = keyword *(SP param) CRLF; keyword = 3*4VCHAR; param = 1*VCHAR
_COMMAND = re.compile(r"(?P<keyword>[!-~]{3,4})(?: (?P<rest>.*))?\Z", re.DOTALL)
# RFC 1939 §3: message-numbers and sizes are expressed in base 10.
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
# RFC 1939 §7, APOP: digest = 16 octets, sent in hexadecimal using lower-case ASCII characters.
_DIGEST = re.compile(r"[0-9a-fA-F]{32}\Z")
# RFC 4422 §3.1: sasl-mech = 1*20mech-char; mech-char = UPPER-ALPHA / DIGIT / HYPHEN / UNDERSCORE
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,20}\Z")


def parse_command(line: bytes) -> Command:
    """Read a command line, its ending cut off.

    Raises:
        BadSyntax: It isn't one; the error carries its reply.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSyntax("the line is not UTF-8") from None
    if "\0" in text:
        raise BadSyntax("the line holds a NUL")
    match = _COMMAND.match(text)
    if match is None:
        raise BadSyntax("a command is three or four letters")
    keyword = match["keyword"].upper()  # RFC 1939 §3: keywords are case-insensitive
    reader = _READERS.get(keyword)
    if reader is None:
        raise BadSyntax(f"unknown command {keyword}", "unknown")
    return reader(match["rest"])


def _none(command: Command) -> Callable[[str | None], Command]:
    def read(rest: str | None) -> Command:
        if rest is not None and rest.strip():
            raise BadSyntax(f"{type(command).__name__.upper()} takes no argument")
        return command

    return read


def _number(text: str, what: str) -> int:
    if not _NUMBER.match(text):
        raise BadSyntax(f"{what} is a number")
    return int(text)


def _message(text: str) -> int:
    number = _number(text, "a message")
    if number < 1:  # RFC 1939 §5: the first message is assigned a message-number of "1"
        raise BadSyntax("messages are numbered from 1")
    return number


def _optional(make: Callable[[int | None], Command]) -> Callable[[str | None], Command]:
    return lambda rest: make(None if rest is None or not rest.strip() else _message(rest.strip()))


def _single(make: Callable[[int], Command]) -> Callable[[str | None], Command]:
    return lambda rest: make(_message((rest or "").strip()))


def _user(rest: str | None) -> Command:
    if not rest or not rest.strip():
        raise BadSyntax("USER takes a name")
    return User(rest.strip())


def _pass(rest: str | None) -> Command:
    if rest is None:
        raise BadSyntax("PASS takes a password")
    return Pass(rest)  # RFC 1939 §7: spaces may be part of the password


def _apop(rest: str | None) -> Command:
    name, _, digest = (rest or "").strip().rpartition(" ")
    if not name or not _DIGEST.match(digest):
        raise BadSyntax("APOP takes a name and a digest of 32 hexadecimal digits")
    return Apop(name, digest.lower())


def _auth(rest: str | None) -> Command:
    words = (rest or "").split()
    if len(words) > 2:
        raise BadSyntax("AUTH takes a mechanism and an initial response")
    if words and not _MECHANISM.match(words[0]):
        raise BadSyntax("a mechanism's name is up to 20 letters, digits, hyphens and underscores")
    return Auth(words[0].upper() if words else None, words[1] if len(words) > 1 else None)


def _top(rest: str | None) -> Command:
    words = (rest or "").split()
    if len(words) != 2:
        raise BadSyntax("TOP takes a message and a number of lines")
    return Top(_message(words[0]), _number(words[1], "a number of lines"))


_READERS: dict[str, Callable[[str | None], Command]] = {
    "USER": _user,
    "PASS": _pass,
    "APOP": _apop,
    "AUTH": _auth,
    "CAPA": _none(Capa()),
    "STLS": _none(Stls()),
    "QUIT": _none(Quit()),
    "STAT": _none(Stat()),
    "NOOP": _none(Noop()),
    "RSET": _none(Rset()),
    "LIST": _optional(List),
    "UIDL": _optional(Uidl),
    "RETR": _single(Retr),
    "DELE": _single(Dele),
    "TOP": _top,
}


def print_command(command: Command) -> bytes:
    """The command's line without its ending; `parse_command` reads it back to the same value."""
    match command:
        case User(name):
            words = ["USER", name]
        case Pass(string):
            words = ["PASS", string]
        case Apop(name, digest):
            words = ["APOP", name, digest]
        case Auth(mechanism, initial):
            words = ["AUTH", *(word for word in (mechanism, initial) if word is not None)]
        case List(message) | Uidl(message):
            words = [type(command).__name__.upper(), *([] if message is None else [str(message)])]
        case Retr(number) | Dele(number):
            words = [type(command).__name__.upper(), str(number)]
        case Top(number, lines):
            words = ["TOP", str(number), str(lines)]
        case _:
            words = [type(command).__name__.upper()]
    return " ".join(words).encode()


# RFC 2449 §8: resp-code = "[" resp-level *("/" resp-level) "]"
_REPLY = re.compile(r"(?P<status>\+OK|-ERR)(?: \[(?P<code>[A-Z0-9/-]+)\])?(?: (?P<text>.*))?\Z", re.DOTALL)


def print_reply(reply: Reply) -> bytes:
    """The status line, its ending included."""
    words = ["+OK" if reply.ok else "-ERR"]
    if reply.code:
        words.append(f"[{reply.code}]")
    if reply.text:
        words.append(reply.text)
    return " ".join(words).encode() + b"\r\n"


def parse_reply(line: bytes) -> Reply:
    """Read a status line, its ending cut off.

    Raises:
        BadSyntax: It isn't one.
    """
    match = _REPLY.match(line.decode("utf-8", "replace"))
    if match is None:
        raise BadSyntax("a status line begins with +OK or -ERR")
    return Reply(match["status"] == "+OK", match["text"] or "", match["code"])
