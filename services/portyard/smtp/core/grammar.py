r"""Commands, paths and replies: octets to values and back. `parse_command(print_command(c)) == c`, and the same for replies.

Domain names are taken with underscores too, and a space after "FROM:" or "TO:" is passed over, as the servers in the wild do; all else is
RFC 5321's grammar with RFC 6531's letters beyond ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from portyard.smtp.core import model
from portyard.smtp.core.model import Command, Mailbox, Parameter, PeerError, Reply, reply

DOMAIN_LIMIT: Final = 255
"""Octets of a domain (RFC 5321 §4.5.3.1.2). Local parts have no limit of their own: VERP addresses pass 64."""

# Every class is written as what is outside of it: UTF8-non-ascii (RFC 6531 §3.3) is in all of them, and a range of a million characters
# takes Python 10 ms to compile. Octets that are no UTF-8 decode to surrogates, which are in none.
_NEVER = "\x7f\ud800-\udfff"
# Atom = 1*atext; Dot-string = Atom *("." Atom)                                             RFC 5321 §4.1.2
_ATOM = rf'[^\x00- "(),.:;<>@\[\\\]{_NEVER}]+'
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
# Quoted-string = DQUOTE *QcontentSMTP DQUOTE; qtextSMTP = %d32-33 / %d35-91 / %d93-126; quoted-pairSMTP = %d92 %d32-126
_QUOTED_STRING = rf'"(?:[^\x00-\x1f"\\{_NEVER}]|\\[ -~])*"'
# Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str]
_LET_DIG = rf"[^\x00-/:-@\[-^`{{-~{_NEVER}]"
_LDH = rf"[^\x00-,./:-@\[-^`{{-~{_NEVER}]"
_LABEL = rf"{_LET_DIG}(?:{_LDH}*{_LET_DIG})?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
# address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"; dcontent = %d33-90 / %d94-126
_LITERAL = r"\[[!-Z^-~]+\]"
# Path = "<" [ A-d-l ":" ] Mailbox ">"; A-d-l = At-domain *( "," At-domain ), which SHOULD be ignored (RFC 5321 §4.1.1.3, appendix C)
_PATH = re.compile(
    rf"<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?(?P<local>{_DOT_STRING}|{_QUOTED_STRING})@(?P<domain>{_DOMAIN}|{_LITERAL})>"
)
_POSTMASTER = re.compile(r"<(postmaster)>", re.IGNORECASE)
# Mail-parameters = esmtp-param *(SP esmtp-param); esmtp-value = 1*(%d33-60 / %d62-126)
_PARAMETER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([^\x00- ={_NEVER}]+))?")
_IS_DOT_STRING = re.compile(_DOT_STRING)
_HELLO = re.compile(rf"[^\x00- {_NEVER}]{{1,{DOMAIN_LIMIT}}}")  # RFC 5321 §4.1.4: a wrong name is no ground to refuse
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")  # a tab is white space
_NO_UTF8 = re.compile("[\ud800-\udfff]")
# sasl-mech = 1*20mech-char; mech-char = %x41-5A / DIGIT / "-" / "_"                          RFC 4422 §3.1
_MECHANISM = re.compile(r"[A-Za-z0-9\-_]{1,20}")

UNKNOWN_COMMAND: Final = reply(500, "5.5.1", "command not recognised", name="unknown")


def parse_command(line: bytes) -> Command:
    """The command of a line.

    Args:
        line: The line without its ending.

    Raises:
        PeerError: It isn't one; the error's reply says why.
    """
    text = line.decode("utf-8", "surrogateescape")
    if _CONTROL.search(text):
        raise PeerError(reply(500, "5.5.2", "control characters in a command"))
    verb, _, argument = text.partition(" ")
    parse = _PARSERS.get(verb.upper())
    if parse is None:
        raise PeerError(UNKNOWN_COMMAND)
    if _NO_UTF8.search(text) and parse not in (_mail, _rcpt):  # those two say which path it is
        raise PeerError(reply(501, "5.5.2", "the line is no UTF-8"))
    return parse(argument.rstrip(" \t"))  # RFC 5321 §4.1.1: white space before the CRLF is tolerated


def parse_path(text: str) -> tuple[Mailbox, int] | None:
    """The path at the beginning of `text` and where it ends; None where there is none. Source routes are dropped."""
    found = _PATH.match(text)
    if found is None:
        bare = _POSTMASTER.match(text)  # RFC 5321 §4.1.1.3
        return (Mailbox(bare[1], ""), bare.end()) if bare else None
    local = found["local"]
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    domain = found["domain"]
    if len(domain.encode()) > DOMAIN_LIMIT:
        return None
    return Mailbox(local, domain), found.end()


def parse_mailbox(address: str) -> Mailbox | None:
    """An address without its angle brackets, as `print_mailbox` writes it."""
    if not address:
        return model.NULL_PATH
    found = parse_path(f"<{address}>")
    return found[0] if found and found[1] == len(address) + 2 else None


def print_mailbox(mailbox: Mailbox) -> str:
    """The address, its local part quoted where it must be."""
    return _printed(mailbox.local_part, mailbox.domain)


@lru_cache(maxsize=4096)  # each step of a transaction tells the same ones
def _printed(local: str, domain: str) -> str:
    if not _IS_DOT_STRING.fullmatch(local) and (local or domain):
        local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
    return f"{local}@{domain}" if domain else local


def print_command(command: Command) -> bytes:
    """The command's line, CRLF included."""
    return _line(command).encode() + b"\r\n"


def print_reply(answer: Reply) -> bytes:
    """The reply's lines, CRLF included (RFC 5321 §4.2.1), the enhanced code on each (RFC 2034 §4)."""
    enhanced = f"{answer.enhanced} " if answer.enhanced else ""
    last = len(answer.lines) - 1
    return "".join(
        f"{answer.code}{' ' if number == last else '-'}{enhanced}{line}\r\n" for number, line in enumerate(answer.lines)
    ).encode()


def print_lines(lines: Sequence[str]) -> bytes:
    """A reply's lines that bear their codes already, each with a space behind it."""
    *others, last = lines
    return "".join([*(f"{line[:3]}-{line[4:]}\r\n" for line in others), f"{last}\r\n"]).encode()


# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF       RFC 5321 §4.2
_REPLY_LINE = re.compile(r"([2-5][0-9]{2})([ -]|$)(.*)", re.DOTALL)
# status-code = class "." subject "." detail                                                   RFC 3463 §2
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")


class ReplyReader:
    """Gathers the lines of a reply."""

    def __init__(self) -> None:
        self._code = 0
        self._enhanced = ""
        self._lines: list[str] = []

    def feed(self, line: bytes) -> Reply | None:
        """Take a line without its ending; the reply once it is whole.

        Raises:
            PeerError: This is no reply; its `reply` is what to hold against the peer.
        """
        found = _REPLY_LINE.fullmatch(line.decode("utf-8", "backslashreplace"))
        if found is None or (self._lines and int(found[1]) != self._code):
            raise PeerError(reply(451, "4.5.0", f"the peer's reply can't be understood: {line[:80]!r}"))
        text = found[3]
        status = _ENHANCED.match(text)
        enhanced = ""
        if status and status[1][0] == found[1][0]:
            enhanced, text = status[1], text[status.end() :]
        if not self._lines:
            self._code, self._enhanced = int(found[1]), enhanced
        self._lines.append(text)
        if found[2] == "-":
            return None
        answer = Reply(self._code, self._enhanced, tuple(self._lines))
        self._lines = []
        return answer


def _hello(make: Callable[[str], Command]) -> Callable[[str], Command]:
    def parse(argument: str) -> Command:
        name = argument.strip(" \t")  # other blanks are letters of a name that is UTF-8 (RFC 6531 §3.3)
        if not _HELLO.fullmatch(name):
            raise PeerError(reply(501, "5.5.4", "a domain or an address literal belongs here"))
        return make(name)

    return parse


def _mail(argument: str) -> Command:
    if argument[:5].upper() != "FROM:":
        raise PeerError(reply(501, "5.5.4", "syntax: MAIL FROM:<address>"))
    rest = argument[5:].lstrip(" ")
    if rest.startswith("<>"):
        return model.Mail(model.NULL_PATH, _parameters(rest[2:]))
    found = parse_path(rest)
    if found is None or not found[0].domain:
        raise PeerError(reply(501, "5.1.7", "this is no reverse-path: it is written <local-part@domain> or <>"))
    return model.Mail(found[0], _parameters(rest[found[1] :]))


def _rcpt(argument: str) -> Command:
    if argument[:3].upper() != "TO:":
        raise PeerError(reply(501, "5.5.4", "syntax: RCPT TO:<address>"))
    rest = argument[3:].lstrip(" ")
    found = parse_path(rest)
    if found is None:
        raise PeerError(reply(501, "5.1.3", "this is no forward-path: it is written <local-part@domain>"))
    return model.Rcpt(found[0], _parameters(rest[found[1] :]))


def _parameters(text: str) -> tuple[Parameter, ...]:
    if not text:
        return ()
    if not text.startswith(" "):
        raise PeerError(reply(501, "5.5.4", "a space belongs between the path and its parameters"))
    found = []
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise PeerError(reply(501, "5.5.4", "a parameter is written KEYWORD or KEYWORD=value"))
        found.append(Parameter(match[1].upper(), match[2]))
    if len({parameter.keyword for parameter in found}) != len(found):
        raise PeerError(reply(501, "5.5.4", "a parameter is given twice"))
    return tuple(found)


def _auth(argument: str) -> Command:
    mechanism, _, initial = argument.strip().partition(" ")
    if not _MECHANISM.fullmatch(mechanism) or " " in initial:
        raise PeerError(reply(501, "5.5.4", "syntax: AUTH mechanism [initial-response]"))
    return model.Auth(mechanism.upper(), initial or None)


def _bare(make: Callable[[], Command], verb: str) -> Callable[[str], Command]:
    def parse(argument: str) -> Command:
        if argument:
            raise PeerError(reply(501, "5.5.4", f"{verb} takes no argument"))  # RFC 5321 §4.1.1.5
        return make()

    return parse


def _string(make: Callable[[str], Command], verb: str) -> Callable[[str], Command]:
    def parse(argument: str) -> Command:
        if not argument.strip():
            raise PeerError(reply(501, "5.5.4", f"{verb} needs a name"))
        return make(argument.strip())

    return parse


_PARSERS: Final[dict[str, Callable[[str], Command]]] = {
    "EHLO": _hello(model.Ehlo),
    "HELO": _hello(model.Helo),
    "LHLO": _hello(model.Lhlo),
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _bare(model.Data, "DATA"),
    "RSET": _bare(model.Rset, "RSET"),
    "VRFY": _string(model.Vrfy, "VRFY"),
    "EXPN": _string(model.Expn, "EXPN"),
    "HELP": lambda argument: model.Help(argument.strip()),
    "NOOP": lambda argument: model.Noop(argument.strip()),
    "QUIT": _bare(model.Quit, "QUIT"),
    "STARTTLS": _bare(model.StartTls, "STARTTLS"),
    "AUTH": _auth,
}
VERBS: Final = tuple(_PARSERS)


def _line(command: Command) -> str:
    match command:
        case model.Ehlo(domain) | model.Helo(domain) | model.Lhlo(domain):
            return f"{type(command).__name__.upper()} {domain}"
        case model.Mail(path, parameters):
            return f"MAIL FROM:<{print_mailbox(path)}>{print_parameters(parameters)}"
        case model.Rcpt(path, parameters):
            return f"RCPT TO:<{print_mailbox(path)}>{print_parameters(parameters)}"
        case model.Vrfy(string) | model.Expn(string) | model.Help(string) | model.Noop(string):
            return f"{type(command).__name__.upper()} {string}".rstrip()
        case model.Auth(mechanism, initial):
            return f"AUTH {mechanism}" + (f" {initial}" if initial else "")
        case _:
            return type(command).__name__.upper()


def print_parameters(parameters: tuple[Parameter, ...]) -> str:
    """Mail-parameters (RFC 5321 §4.1.2), a space before each."""
    return "".join(
        f" {parameter.keyword}" + ("" if parameter.value is None else f"={parameter.value}") for parameter in parameters
    )
