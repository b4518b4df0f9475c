"""Real-shaped messages, made here: what mail clients and list servers and scanners really send, and what goes wrong with it.

Every message has CRLF line ends, a Date and a Message-ID (so that a submission server has nothing to add) save where its name says so,
and is deterministic: the same octets in every run.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DATE = "Mon, 02 Mar 2026 09:30:00 +0100"
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One message.

    Attributes:
        name: What is special about it.
        octets: The message.
        smtputf8: Its header holds raw UTF-8, so that it needs SMTPUTF8 (RFC 6531).
    """

    name: str
    octets: bytes
    smtputf8: bool = False


def head(name: str, *fields: str, subject: str | None = None, sender: str = "Mira Holt <mira@harbour.test>") -> str:
    """A header with the fields that every message has."""
    lines = [
        f"From: {sender}",
        "To: Alice <alice@portyard.test>",
        f"Subject: {subject or name.replace('-', ' ')}",
        f"Date: {DATE}",
        f"Message-ID: <{name}@harbour.test>",
        *fields,
    ]
    return "\r\n".join(lines) + "\r\n"


def text(name: str, body: str, *fields: str, subject: str | None = None) -> bytes:
    return (head(name, *fields, subject=subject) + "\r\n" + body).encode()


def lines(count: int, width: int, seed: int) -> str:
    rng = random.Random(seed)
    words = ["tide", "rope", "quay", "gull", "mast", "buoy", "crane", "lamp", "harbour", "salt", "keel", "anchor"]
    out = []
    for _ in range(count):
        line = ""
        while len(line) < width:
            line += rng.choice(words) + " "
        out.append(line[:width])
    return "\r\n".join(out) + "\r\n"


def encoded(size: int, seed: int) -> str:
    """`size` octets of noise in base64, in lines of 76."""
    noise = random.Random(seed).randbytes(size)
    return base64.encodebytes(noise).decode().replace("\n", "\r\n")


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME part: its header fields and its body."""

    fields: tuple[str, ...]
    body: str


def leaf(kind: str, body: str, *fields: str) -> Part:
    return Part((f"Content-Type: {kind}", *fields), body)


def attachment(kind: str, name: str, size: int, seed: int) -> Part:
    fields = (f'Content-Disposition: attachment; filename="{name}"', "Content-Transfer-Encoding: base64")
    return leaf(f'{kind}; name="{name}"', encoded(size, seed), *fields)


def multipart(subtype: str, boundary: str, *parts: Part, fields: tuple[str, ...] = (), preamble: str = "") -> Part:
    out = preamble
    for part in parts:
        out += f"--{boundary}\r\n" + "".join(f"{field}\r\n" for field in part.fields) + "\r\n" + part.body
        if not out.endswith("\r\n"):
            out += "\r\n"
    out += f"--{boundary}--\r\n"
    return Part((f'Content-Type: multipart/{subtype}; boundary="{boundary}"', *fields), out)


def mime(name: str, part: Part, *fields: str, subject: str | None = None) -> bytes:
    top = head(name, "MIME-Version: 1.0", *fields, *part.fields, subject=subject)
    return (top + "\r\n" + part.body).encode()


PLAIN = leaf("text/plain; charset=utf-8", "Das Hochwasser kommt um sechs.\r\n", "Content-Transfer-Encoding: 8bit")
HTML = leaf("text/html; charset=utf-8", "<p>High water at <b>six</b>.</p>\r\n", "Content-Transfer-Encoding: 7bit")


def corpus() -> list[Sample]:
    """Every message of the corpus but the huge ones, by name."""
    from tests.support.corpus_shapes import MAKERS

    return [sample for make in MAKERS for sample in _samples(make)]


def huge() -> list[Sample]:
    """The large ones, to 25 MB."""
    return [
        Sample(
            f"attachment-{size}-megabytes",
            mime(
                f"attachment-{size}-megabytes",
                multipart(
                    "mixed", "big", PLAIN, attachment("application/zip", "cargo.zip", size * MEGABYTE * 74 // 100, size)
                ),
            ),
        )
        for size in (1, 5, 25)
    ]


def _samples(make: Callable[[], Iterator[tuple[str, bytes]]]) -> Iterator[Sample]:
    for name, octets in make():
        yield Sample(name, octets, smtputf8=name.startswith("utf8-"))
