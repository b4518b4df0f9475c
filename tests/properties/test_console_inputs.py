"""Whatever comes in is a value or a problem; whatever lies in a mailbox can be shown."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.mailstore.mime import parse
from portyard.commons.mailstore.model import Mailstore, Message
from portyard.commons.mailstore.structure import encode
from portyard.console import contents, shapes
from portyard.console.mail import saved_as
from portyard.console.problems import ProblemError, converted, decoded
from portyard.console.routes import ROUTES

QUERIES = sorted({route.query for route in ROUTES}, key=lambda kind: kind.__name__)
BODIES = [route.body for route in ROUTES if route.body is not None]
keys = st.sampled_from(["to", "from", "subject", "limit", "cursor", "count", "timeout", "room", "before"]) | st.text(
    max_size=5
)
values = st.text(max_size=20) | st.integers().map(str) | st.floats().map(str)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", QUERIES, ids=lambda kind: kind.__name__)
@given(given_values=st.dictionaries(keys, values, max_size=4))
def test_any_query_is_a_value_or_a_problem(kind: type[msgspec.Struct], given_values: dict[str, str]) -> None:
    problem = None
    try:
        assert isinstance(converted(given_values, kind, strict=False), kind)
    except ProblemError as error:
        problem = error.problem
    if problem is not None:
        missing = "missing" in problem.detail
        assert (problem.key in given_values) is not missing
        assert problem.value == given_values.get(problem.key or "")
        assert problem.allowed is not None


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
@given(body=st.binary(max_size=30) | json_values.map(msgspec.json.encode))
def test_any_body_is_a_value_or_a_problem(kind: type[msgspec.Struct], body: bytes) -> None:
    problem = None
    try:
        assert isinstance(decoded(body, kind), kind)
    except ProblemError as error:
        problem = error.problem
    if problem is not None:
        assert problem.status in (400, 422)
        assert msgspec.json.encode(problem)


@given(st.text(max_size=60))
def test_any_name_makes_a_header_field_that_stays_one(name: str) -> None:
    value = saved_as(name)
    assert value.isascii()
    assert value.isprintable()
    assert value.count('"') == 2
    assert "/" not in value
    assert "\\" not in value


class OneMessage:
    """A mailstore with one message."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    async def octets(self, message: Message, start: int = 0, length: int | None = None) -> bytes:
        return self._octets[start : None if length is None else start + length]


pieces = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: text/html; charset=utf-16\r\n",
        b"Content-Type: text/plain; charset=nonsense\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%00\r\n",
        b"Subject: =?utf-8?b?/w==?=\r\n folded\r\n",
        b"\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"AAE=C\r\n",
        b"=ZZ=\r\n",
        b"\0\xff\xfe\r\n",
    ]
)


@given(st.lists(pieces | st.binary(max_size=10), max_size=25).map(b"".join))
def test_any_message_can_be_taken_apart(octets: bytes) -> None:
    message = Message(1, 1, 1, frozenset(), 1, datetime.now(UTC), len(octets), encode(parse(octets)), None, 1)
    listed = shapes.Message("1", "a@b", "INBOX", 1, [], "", (), (), None, "", "", datetime.now(UTC), len(octets))
    mail = cast(Mailstore, OneMessage(octets))

    async def main() -> None:
        whole: Any = await contents.whole(mail, message, listed)
        msgspec.json.encode(whole)
        for attachment in whole.attachments:
            part = contents.part_of(message, attachment.part)
            assert part is not None
            await contents.content(mail, message, part)

    asyncio.run(main())
