"""What the server says, printed (RFC 3501 §7): lines, strings, envelopes, body structures. Knows no session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from portyard.commons.effects import Effect
from portyard.commons.mailstore.structure import Address, Envelope, Parameters, Part

# quoted = DQUOTE *QUOTED-CHAR DQUOTE; what has 8-bit octets or line breaks goes as a literal (RFC 3501 §4.3)
_NOT_QUOTABLE = re.compile(rb"[\r\n\x80-\xff]")
_ESCAPED = re.compile(rb'(["\\])')
_ANNOUNCEMENT = re.compile(rb"\{[0-9]+\}")
# What a persona calls the refusals, by their codes (RFC 5530 §3).
_NAMES = {
    "AUTHENTICATIONFAILED": "bad_login",
    "PRIVACYREQUIRED": "privacy",
    "NONEXISTENT": "no_mailbox",
    "TRYCREATE": "no_target",
    "ALREADYEXISTS": "exists",
    "TOOBIG": "too_large",
}
_BY_STATUS = {"OK": "completed", "BAD": "syntax"}
QUOTED_LIMIT = 1024  # octets; old clients choke on quoted strings as long as a line may be


@dataclass(frozen=True, slots=True)
class Tagged:
    """A command's last word, sent by the session once it has told what else happened.

    Attributes:
        status: "OK", "NO" or "BAD".
        text: For people.
        code: The response code without brackets, or None.
        then: Effects that follow the line.
        told: The lines that a rule wants said in its place; None for none.
        name: Under which a persona may have words of its own for it; by the status and the code where it is empty.
    """

    status: str
    text: str
    code: str | None = None
    then: tuple[Effect, ...] = ()
    told: bytes | None = None
    name: str = ""

    @property
    def words(self) -> str:
        """Under which a persona may have words for it."""
        return self.name or (_NAMES.get(self.code or "", "") if self.status == "NO" else _BY_STATUS[self.status])


class Refusal(Exception):
    """A command that ends here with this answer."""

    def __init__(self, text: str, code: str | None = None, status: str = "NO", *, name: str = "") -> None:
        super().__init__(text)
        self.answer = Tagged(status, text, code, name=name)


def status_line(tag: str, status: str, text: str, code: str | None = None) -> bytes:
    """A status response; the tag is "*" for an untagged one."""
    shown = f"[{code}] {text}" if code else text
    return f"{tag} {status} {shown}\r\n".encode("ascii", "replace")


def ruled_lines(tag: str, text: str) -> bytes:
    """Lines that a rule wrote, each the text after the tag; those with "* " and "+ " stand as they are."""
    lines = text.replace("\r\n", "\n").split("\n")
    return b"".join((line if line.startswith(("* ", "+ ")) else f"{tag} {line}").encode() + b"\r\n" for line in lines)


def ruled_refusal(tag: str, text: str) -> Tagged:
    """A refusal that a rule wrote; one that names no status (a magic word's) is a NO."""
    last = text.rpartition("\n")[2]
    status = last.partition(" ")[0].upper()
    if not last.startswith("* ") and status not in ("NO", "BAD"):
        status, text = "NO", f"NO {text}"
    return Tagged(status, text, told=ruled_lines(tag, text))


def flag_list(flags: Iterable[str]) -> bytes:
    r"""Flags in parentheses, system flags first."""
    return b"(" + " ".join(sorted(flags, key=lambda flag: (not flag.startswith("\\"), flag))).encode() + b")"


def string(value: bytes) -> bytes:
    """A string: quoted where that is allowed and short, else a literal; NULs are dropped, they fit neither."""
    value = value.replace(b"\0", b"")
    if len(value) > QUOTED_LIMIT or _NOT_QUOTABLE.search(value):
        return b"{%d}\r\n%s" % (len(value), value)
    return b'"' + _ESCAPED.sub(rb"\\\1", value) + b'"'


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if value is None else string(value)


def flat(pieces: Iterable[bytes]) -> bytes:
    """Pieces as the grammar prints them in one run of octets: a line break after each announcement of a literal."""
    return b"".join(piece + b"\r\n" if _ANNOUNCEMENT.fullmatch(piece) else piece for piece in pieces)


def compact_set(numbers: Sequence[int]) -> str:
    """Numbers as a sequence set in their own order: runs that grow by one become ranges (RFC 4315 §3)."""
    ranges: list[str] = []
    index = 0
    while index < len(numbers):
        last = index
        while last + 1 < len(numbers) and numbers[last + 1] == numbers[last] + 1:
            last += 1
        ranges.append(str(numbers[index]) if last == index else f"{numbers[index]}:{numbers[last]}")
        index = last + 1
    return ",".join(ranges)


def envelope(value: Envelope) -> bytes:
    """An envelope (§7.4.2)."""
    lists = (value.from_, value.sender, value.reply_to, value.to, value.cc, value.bcc)
    parts = [
        nstring(value.date),
        nstring(value.subject),
        *map(_addresses, lists),
        nstring(value.in_reply_to),
        nstring(value.message_id),
    ]
    return b"(" + b" ".join(parts) + b")"


def _addresses(addresses: Sequence[Address]) -> bytes:
    if not addresses:
        return b"NIL"
    return b"(" + b"".join(map(_address, addresses)) + b")"


def _address(address: Address) -> bytes:
    return b"(" + b" ".join(map(nstring, (address.name, address.route, address.mailbox, address.host))) + b")"


def body_structure(part: Part, *, extensible: bool) -> bytes:
    """A part as BODYSTRUCTURE shows it (`extensible`), or as BODY does (§7.4.2)."""
    if part.is_multipart:
        return _multipart(part, extensible)
    words = [
        string(part.type),
        string(part.subtype),
        _parameters(part.parameters),
        nstring(part.id),
        nstring(part.description),
        string(part.encoding),
        b"%d" % part.size,
    ]
    if part.message is not None and part.kind == "message/rfc822":
        inner = part.envelope if part.envelope is not None else Envelope()
        words += [envelope(inner), body_structure(part.message, extensible=extensible), b"%d" % part.lines]
    elif part.kind.startswith("text/"):
        words.append(b"%d" % part.lines)
    if extensible:
        words += [nstring(part.md5), *_common_extensions(part)]
    return b"(" + b" ".join(words) + b")"


def _multipart(part: Part, extensible: bool) -> bytes:
    words = [
        b"".join(body_structure(child, extensible=extensible) for child in part.children),
        string(part.subtype),
    ]
    if extensible:
        words += [_parameters(part.parameters), *_common_extensions(part)]
    return b"(" + b" ".join(words) + b")"


def _common_extensions(part: Part) -> list[bytes]:
    disposition = b"NIL"
    if part.disposition is not None:
        disposition = b"(" + string(part.disposition) + b" " + _parameters(part.disposition_parameters) + b")"
    return [disposition, _languages(part.languages), nstring(part.location)]


def _languages(languages: Sequence[bytes]) -> bytes:
    if not languages:
        return b"NIL"
    return string(languages[0]) if len(languages) == 1 else b"(" + b" ".join(map(string, languages)) + b")"


def _parameters(parameters: Parameters) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join(string(word) for pair in parameters for word in pair) + b")"
