"""Work beside the loop, and what it asks of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from portyard.commons.turns import GivenUpError, awaited
from portyard.console.beside import StoredBeside, beside


class Store:
    """Notes what it is asked. Implements `Stored`."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def delivered(self, delivery_id: str) -> bytes | None:
        return self._note(delivery_id, b"octets")

    async def message(self, mailbox_id: int, uid: int) -> bytes | None:
        return self._note((mailbox_id, uid), b"octets")

    async def mailbox(self, uid_validity: int) -> int | None:
        return self._note(uid_validity, 7)

    async def uids(self, mailbox_id: int) -> list[int]:
        return self._note(mailbox_id, [1, 2])

    def _note(self, asked: object, answer: Any) -> Any:
        self.asked.append(asked)
        return answer


Ask = Callable[[StoredBeside], Coroutine[Any, Any, object]]
QUESTIONS: list[tuple[Ask, object, object]] = [
    (lambda stored: stored.delivered("1"), "1", b"octets"),
    (lambda stored: stored.message(2, 3), (2, 3), b"octets"),
    (lambda stored: stored.mailbox(4), 4, 7),
    (lambda stored: stored.uids(5), 5, [1, 2]),
]


@pytest.mark.parametrize(("ask", "question", "answer"), QUESTIONS)
def test_the_store_answers_on_the_loop(ask: Ask, question: object, answer: object) -> None:
    async def main() -> None:
        store = Store()
        stored = StoredBeside(store)
        assert await beside(lambda: asyncio.run(ask(stored))) == answer
        assert store.asked == [question]

    asyncio.run(main())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("ask", "question", "answer"), QUESTIONS)
def test_who_is_given_up_asks_nothing_more(ask: Ask, question: object, answer: object) -> None:
    async def main() -> None:
        store = Store()
        with awaited():
            late = asyncio.create_task(ask(StoredBeside(store)))
        with pytest.raises(GivenUpError):
            await late
        assert not store.asked

    asyncio.run(main())
