"""Work that takes longer than others want to wait is done beside the loop, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from portyard.commons.journal.export_stored import Stored
from portyard.commons.turns import awaited, briskly, go_on

P = ParamSpec("P")
T = TypeVar("T")


async def beside(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What some work answers, which touches nothing of the loop's. It is given up with the caller where it asks by `go_on`."""
    with briskly(), awaited():
        return await asyncio.to_thread(work, *arguments, **named)


class StoredBeside:
    """The mail store for who works beside the loop: it is asked on the loop, as always. Implements `Stored`.

    Args:
        stored: The store as the loop sees it.
    """

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._loop = asyncio.get_running_loop()

    async def delivered(self, delivery_id: str) -> bytes | None:
        """See `Stored`."""
        return await self._asked(self._stored.delivered, delivery_id)

    async def message(self, mailbox_id: int, uid: int) -> bytes | None:
        """See `Stored`."""
        return await self._asked(self._stored.message, mailbox_id, uid)

    async def mailbox(self, uid_validity: int) -> int | None:
        """See `Stored`."""
        return await self._asked(self._stored.mailbox, uid_validity)

    async def uids(self, mailbox_id: int) -> list[int]:
        """See `Stored`."""
        return await self._asked(self._stored.uids, mailbox_id)

    async def _asked(self, question: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **named: P.kwargs) -> T:
        go_on()  # before there is a coroutine, which nobody would await
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question(*arguments, **named), self._loop))
