"""Replies that depend on what went wrong, and what of a command the journal may show."""

from __future__ import annotations

import errno
import os
import re

# RFC 959 uses Telnet: clients send IAC IP, IAC DM (Synch) before ABOR (§4.1.3).
_TELNET = re.compile(rb"\xff[\xf0-\xfa]")
SECRET_VERBS = frozenset({"PASS", "ACCT"})
_SECRET = re.compile(
    rf"\s*(?:{'|'.join(sorted(SECRET_VERBS))})\s", re.IGNORECASE
)  # also where blanks make it a syntax error


class UndecodableError(ValueError):
    """A command that is not UTF-8 or holds NUL; the reply is 501."""


def decode(line: bytes) -> str:
    """A command line as text (RFC 2640 §2.2: UTF-8).

    Raises:
        UndecodableError: It isn't.
    """
    try:
        text = (_TELNET.sub(b"", line) if b"\xff" in line else line).decode("utf-8")
    except UnicodeDecodeError:
        raise UndecodableError from None
    if "\0" in text:
        raise UndecodableError
    return text


def shown(line: str) -> str:
    """A command as the journal shows it, secrets blanked."""
    found = _SECRET.match(line)
    if found is not None:
        argument = line[found.end() :]
        return f"{found[0].rstrip()} «secret, {len(argument.encode('utf-8', 'surrogateescape'))} bytes»"
    return printable(line)


def printable(text: str) -> str:
    r"""Text that any encoder takes: octets that aren't UTF-8 as `\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode() if not text.isascii() else text


def reply_fields(resp: str) -> dict[str, str]:
    """What another wording of a reply needs of it: `text` behind the code, and `detail`, what stands in its parentheses."""
    text = resp[4:]
    detail = text.partition("(")[2].rpartition(")")[0]
    return {"text": text, "detail": detail}


def file_refused(error: OSError) -> str:
    """The reply to a command that the file system refused."""
    return f"550 {_reason(error)}."


def storing_failed(error: OSError) -> str:
    """The reply to an upload that broke off on our side (RFC 959 §4.2.2)."""
    match error.errno:
        case errno.ENOSPC:
            return "452 Insufficient storage space."
        case errno.EFBIG | errno.EDQUOT:
            return "552 Exceeded storage allocation."
    return f"451 Local error: {_reason(error)}."


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "Failed"
