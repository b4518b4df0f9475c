"""Which of a message's octets a section is (RFC 3501 §6.4.5)."""

from __future__ import annotations

from typing import Final

from portyard.commons.mailstore import mime
from portyard.commons.mailstore.structure import Span, Structure, section, select_fields
from portyard.imap.core.model import Section

_OF_FIELDS: Final = {"HEADER.FIELDS": False, "HEADER.FIELDS.NOT": True}


def has_fields_alone(wanted: Section) -> bool:
    """Whether it is some of a header's fields: `chosen_fields` of what `place` names."""
    return wanted.text in _OF_FIELDS


def place(structure: Structure, wanted: Section) -> Span | None:
    """Where it lies, of some fields their whole header; None when there is no such part. `Section()` is the whole message."""
    match wanted.text:
        case "HEADER" | "TEXT" | "MIME":
            return section(structure, wanted.part, wanted.text)
        case "":
            return section(structure, wanted.part)
        case _:
            return section(structure, wanted.part, "HEADER")


def chosen_fields(header: bytes, wanted: Section) -> bytes:
    """HEADER.FIELDS and HEADER.FIELDS.NOT: the fields as they stand, then the empty line, which is left out where there is none."""
    fields = mime.header_fields(header)
    spans = select_fields(fields, wanted.fields, exclude=_OF_FIELDS[wanted.text])
    return b"".join(header[start:end] for start, end in spans) + header[fields[-1].end if fields else 0 :]
