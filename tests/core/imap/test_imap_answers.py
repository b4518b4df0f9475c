"""A FETCH's answer is made again where the messages alone make it, and the journal's beginning, end and size are its own."""

from __future__ import annotations

import pytest

from portyard.imap.answers import responses
from tests.core.imap.test_imap_octets import wire
from tests.support.asyncio_tests import run
from tests.support.stored import Stored

UIDS = [4, 8, 9]
MESSAGES = {uid: b"Subject: %d\r\n\r\n" % uid + b"line\r\n" * uid for uid in UIDS}
SELECT = ("C: a SELECT INBOX", "S: * 3 EXISTS\r\n* OK [UIDVALIDITY 5] valid\r\n* OK [UIDNEXT 10] next\r\na OK done")
STORED = {(7, uid): octets for uid, octets in MESSAGES.items()}
ANSWER = b"".join(
    b"* %d FETCH (BODY[] {%d}\r\n%s)\r\n" % (number, len(MESSAGES[uid]), MESSAGES[uid])
    for number, uid in enumerate(UIDS, 1)
)


def made(asked: str, begun: bytes = b"", most: int = 9999, without: int = 0) -> bytes | None:
    found: list[bytes | None] = []

    async def find(uid: int) -> bytes | None:
        return MESSAGES[uid] if uid != without else None

    async def main() -> None:
        found.append(await responses(asked, UIDS, find, begun, most))

    run(main())
    return found[0]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("b FETCH 1:* BODY.PEEK[]", ANSWER),
        ("b FETCH 3,1 UID", b"* 1 FETCH (UID 4)\r\n* 3 FETCH (UID 9)\r\n"),
        ("b UID FETCH 8:* RFC822.SIZE", b"* 2 FETCH (UID 8 RFC822.SIZE 62)\r\n* 3 FETCH (UID 9 RFC822.SIZE 68)\r\n"),
        ("b UID FETCH 5:7 UID", b""),
        ("b FETCH 1 (BODY[7] BODY[TEXT]<99.5>)", b'* 1 FETCH (BODY[7] NIL BODY[TEXT]<99> "")\r\n'),
        ("b FETCH 2 rfc822.text", b"* 2 FETCH (RFC822.TEXT {48}\r\n%s)\r\n" % (b"line\r\n" * 8)),
        ("b FETCH 1 FLAGS", None),
        ("b FETCH 1 (BODY[] INTERNALDATE)", None),
        ("b FETCH 1 NONSENSE", None),
        ("b SEARCH ALL", None),
    ],
)
def test_what_messages_tell(asked: str, answer: bytes | None) -> None:
    assert made(asked) == answer


def test_an_answer_that_is_another_is_not_made_to_its_end() -> None:
    asked = "b FETCH 1:* BODY[]"
    assert made(asked, ANSWER[:60]) == made(asked, ANSWER + b"more") == ANSWER
    assert made(asked, ANSWER[:60] + b"!") is None
    assert made(asked, most=len(ANSWER) - 1) is None
    assert made(asked, without=9) is None


def answered(*, end: str = "b OK done\r\n", shown: int = 30, more: int = 0, asked: str = "b FETCH 1:* BODY[]") -> int:
    """How much isn't known of an answer of which so much is shown; what is known is true."""
    whole = ANSWER + end.encode()
    fields: dict[str, object] = {"text": whole[:shown].decode(), "unkept": len(whole) - shown + more, "end": end}
    octets, gap = wire(Stored(messages=STORED, validities={5: 7}), *SELECT, f"C: {asked}", ("reply", fields))
    assert octets == whole if not gap else octets.endswith(end.encode())
    return gap


@pytest.mark.parametrize("shown", range(20, len(ANSWER), 7))
def test_the_rest_of_an_answer(shown: int) -> None:
    assert answered(shown=shown) == 0
    assert answered(shown=shown, end="* 4 EXISTS\r\nb OK done\r\n") == 0


def test_what_may_have_been_another_answer_is_a_gap() -> None:
    assert answered(more=1) > 0  # something else was said
    assert answered(end="b NO gone\r\n") > 0
    assert answered(end="c OK done\r\n") > 0
    assert answered(end="nothing known\r\nb OK done\r\n") > 0
    assert answered(asked="b FETCH 1:* (FLAGS BODY[])") > 0
    assert answered(asked="b FETCH 1:2 BODY[]") > 0
