"""Text to talk."""

from __future__ import annotations

import re

from portyard.commons.talk.model import Step, Talk, TalkError, TalkLine

_LINE = re.compile(r"(?:(?P<session>[1-9]\d?) )?(?P<step>C~|C|S\*|!S|S|store|deliver|rule):(?: (?P<text>.*))?\Z")
_HEADER = re.compile(r"(?P<key>[a-z][a-z-]*): *(?P<value>.*?)\Z")
_HEADER_GAP = re.compile(r"\s{2,}(?=[a-z][a-z-]*:)")


def parse_talk(text: str, name: str = "talk") -> Talk:
    """Read a talk.

    Args:
        text: Header lines (`key: value`, several on a line when two or more spaces stand between), then steps. A `#` in the first
            column opens a comment.
        name: Named in errors.

    Raises:
        TalkError: A line is neither a header, a step nor a comment, or a header stands after the first step.
    """
    headers: dict[str, str] = {}
    lines: list[TalkLine] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        step = _LINE.match(line)
        if step:
            lines.append(
                TalkLine(Step(step["step"]), step["text"] or "", int(step["session"] or 1), number),
            )
        elif lines:
            raise TalkError(f"{name}:{number}: neither a step nor a comment: {line!r}")
        else:
            _read_headers(line, headers, f"{name}:{number}")
    return Talk(headers, tuple(lines))


def _read_headers(line: str, headers: dict[str, str], where: str) -> None:
    for part in _HEADER_GAP.split(line.strip()):
        header = _HEADER.match(part)
        if header is None:
            raise TalkError(f"{where}: neither a header nor a step: {part!r}")
        if header["key"] in headers:
            raise TalkError(f"{where}: {header['key']} is said twice")
        headers[header["key"]] = header["value"].strip()


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[\\rn0t])|\{(.)\*(\d+)\}", re.DOTALL)
_SHORT = {"\\": b"\\", "r": b"\r", "n": b"\n", "0": b"\0", "t": b"\t"}


def raw_octets(text: str) -> bytes:
    r"""The octets of a `C~` step: `\r \n \t \0 \\ \xHH`, and `{x*70000}` for a long run of one character."""
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        out += text[position : match.start()].encode()
        escape, character, count = match.groups()
        if escape is None:
            out += character.encode() * int(count)
        elif escape.startswith("x"):
            out.append(int(escape[1:], 16))
        else:
            out += _SHORT[escape]
        position = match.end()
    return bytes(out + text[position:].encode())
