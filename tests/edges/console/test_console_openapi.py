"""The API against its own description: Schemathesis makes requests of it, right ones and wrong ones, and judges the answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from portyard.console.openapi import description
from tests.support.asyncio_tests import run
from tests.support.console import Console, console, speak

schemathesis.serializer.alias("application/ocsp-request", "application/octet-stream")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(description())
ENDLESS = "stream_events"  # its answer never ends; it has tests of its own
OPERATIONS = {
    found.ok().definition.raw["operationId"]: found.ok()
    for found in SCHEMA.get_all_operations()
    if found.ok().definition.raw["operationId"] != ENDLESS
}
EXAMPLES = 8


async def furnish(client: Console) -> dict[str, str]:
    """One of everything, and the ids by which it is reached."""
    await client.ask("POST", "sandboxes/default/rules", 201, {"on": "pop3.stat", "then": {"hang_up": True}})
    (rule,) = await client.get("sandboxes/default/rules")
    await client.ask("PUT", "sandboxes/default/files/alice/a/b.txt", 201, data=b"text")
    await client.ask("PUT", "sandboxes/default/records/www.portyard.test/A", 200, {"values": ["192.0.2.1"]})
    await client.ask("PUT", "personas/pop3/mine", 200, {"shared": True})
    message = await client.deliver("your code is 123456")
    session = speak(client, "pop3", "STAT").id
    await client.yard.journal.flush()
    return {"rule": rule["id"], "message": message, "session": session}


class Served:
    """A console in a thread of its own.

    Attributes:
        api: Its URL.
        known: See `furnish`.
    """

    def __init__(self, state: Path) -> None:
        self.api = ""
        self.known: dict[str, str] = {}
        self._state = state
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    async def _run(self) -> None:
        async with console(self._state) as client:
            self.api, self.known = client.api, await furnish(client)
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("openapi")) as running:
        yield running


def placed(case: Any, known: dict[str, str]) -> Any:
    """The case, its path leading to what is there; waits kept short."""
    kind = case.operation.path.split("/")
    values = {
        "sandbox": "default",
        "id": next((known[name] for name in known if f"{name}s" in kind), "1"),
        "address": "nobody",  # alice stays
        "account": "alice",
        "path": "a/b.txt",
        "part": "1",
        "name": "www.portyard.test",
        "type": "A",
        "room": "pop3",
        "service": "imap",
        "persona": "mine",
    }
    for name in case.path_parameters or {}:
        case.path_parameters[name] = values[name]
    return case


MOST_QUERY = 1000  # octets, or values, of one parameter


def bounded(case: Any) -> Any:
    timeout = (case.query or {}).get("timeout")
    if isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0:
        case.query["timeout"] = min(timeout, 0.05)
    for name, value in (
        case.query or {}
    ).items():  # beyond the limit of a request's first line nobody judges its parameters
        if isinstance(value, str | list):
            case.query[name] = value[:MOST_QUERY]
    return case


def can_be_wrong(operation: Any) -> bool:
    """Whether the description leaves anything out: a body of any octets and no query are always right."""
    typed = any(body.media_type != "application/octet-stream" for body in operation.body)
    return typed or len(operation.query) > 0


CASES = [
    pytest.param(name, mode, id=f"{name}-{mode.value}")
    for name, operation in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # Any octets are a question to OCSP: what is malformed is answered in its own words.
    if mode is GenerationMode.POSITIVE or (can_be_wrong(operation) and name != "ocsp")
]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_the_description_holds(served: Served, name: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[name]
    checks = [*CHECKS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else list(CHECKS)
    if name == "health":
        checks.remove(not_a_server_error)  # 503 is its answer while a service isn't up
    there = name not in ("delete_sandbox", "reset_sandbox")  # what the others look at stays

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def judge(case: Any) -> None:
        bounded(case)
        case.call_and_validate(base_url=served.api, session=session, checks=checks)
        if there and case.path_parameters:
            placed(case, served.known).call_and_validate(base_url=served.api, session=session, checks=checks)

    with requests.Session() as session:
        judge()


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("list_sessions", "room"), ("list_events", "room"), ("list_events", "kind"), ("export_sessions", "room")],
)
def test_words_of_a_closed_list_are_told(name: str, parameter: str) -> None:
    """So that a generated client offers them."""
    told = {each["name"]: each["schema"] for each in OPERATIONS[name].definition.raw["parameters"]}[parameter]
    assert {"room": "imap", "kind": "fault"}[parameter] in told["enum"]


@pytest.mark.parametrize("path", ["messages", "events"])
def test_pages_lead_on_as_the_description_says(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with console(tmp_path) as client:
            speak(client, "pop3", "STAT")
            await client.deliver()
            await client.deliver()
            async with client.http.get(f"{client.api}/sandboxes/default/{path}?limit=1") as response:
                described = description()["paths"][f"/sandboxes/{{sandbox}}/{path}"]["get"]
                assert set(response.headers) & {"Link"} == set(described["responses"]["200"]["headers"]) == {"Link"}

    run(main())


def test_a_stream_takes_the_id_of_the_last_event() -> None:
    paths = description()["paths"]
    asked = [
        (path, each["name"])
        for path, operations in paths.items()
        for each in operations.get("get", {}).get("parameters", ())
        if each["in"] == "header"
    ]
    assert asked == [("/sandboxes/{sandbox}/events/stream", "Last-Event-ID")]
