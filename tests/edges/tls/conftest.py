from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from portyard.commons.tls.authority import Authority

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("tls"), ["portyard.test", "*.portyard.test"])


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on each kind of loop; a task left over or a word to the exception handler is a failure."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def watched(test: Coroutine[Any, Any, Any]) -> Any:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = await asyncio.wait_for(test, 240)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        gc.collect()
        await asyncio.sleep(0)
        assert not complaints, complaints
        return result

    def run_it(test: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(watched(test))

    return run_it
