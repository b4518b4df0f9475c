"""Every recipe at every door, as Python's ssl and openssl's s_client see it, and as the journal tells it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import shutil
import subprocess
import threading
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from portyard.commons.journal.model import JournalEvent
from portyard.commons.tls.recipes import RECIPES
from tests.edges.tls.matrix import CELLS, CLIENTS, DOORS, FOR_EVER, LIMIT_S, STALL_S, VIEWS, Cell, Door, Files, meet
from tests.support.yard import Served, open_yard, serve

T = TypeVar("T")

GAPS: dict[tuple[str, str], str] = {}
"""(room or port, recipe) → why this cell can't be what the table says."""


class Witness:
    """A journal's door: who connected, and what has been noted of them so far."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self._changed = threading.Condition()
        self._closed: set[str] = set()
        self._noted: dict[str, list[str]] = {}
        self._ids: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def open_session(self, *, peer: str, **fields: Any) -> Any:
        pen = self._journal.open_session(peer=peer, **fields)
        with self._changed:
            self._ids[peer] = pen.id
            self._noted[pen.id] = []
            self._changed.notify_all()
        return Pen(pen, self)

    def note(self, session: str, what: str) -> None:
        with self._changed:
            self._noted[session].append(what)
            self._changed.notify_all()

    def known(self) -> set[str]:
        """The ids of the sessions so far: a client's port may be one that another had before."""
        with self._changed:
            return set(self._noted)

    def wait_for_another(self, known: set[str], what: str) -> str:
        """Who else has connected, once this was noted of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._noted.keys() - known, LIMIT_S), "nobody connected"
            (session,) = self._noted.keys() - known
            (peer,) = (peer for peer, its in self._ids.items() if its == session)
        self.wait(peer, what)
        return peer

    def wait(self, peer: str, *whats: str) -> str:
        """The session's id, once one of these was noted of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: peer in self._ids, LIMIT_S), f"{peer} was never accepted"
            session = self._ids[peer]
            done = self._changed.wait_for(lambda: set(whats) & set(self._noted[session]), LIMIT_S)
            assert done, f"none of {whats} was noted, but {self._noted[session]}"
            return session


class Pen:
    def __init__(self, pen: Any, witness: Witness) -> None:
        self._pen, self._witness = pen, witness

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pen, name)

    def event(self, kind: str, **fields: Any) -> None:
        self._pen.event(kind, **fields)
        if kind == "tls":
            self._witness.note(self._pen.id, fields["step"])

    def close(self, reason: str = "") -> None:
        self._pen.close(reason)
        self._witness.note(self._pen.id, "closed")


class Place:
    """A yard in a thread of its own, so that clients may block."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._error: BaseException | None = None
        self.served: Served
        self.witness: Witness
        self.files: Files

    def __enter__(self) -> Place:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        cards = [importlib.import_module(f"portyard.{room}.card").CARD for room in sorted({d.room for d in DOORS})]
        try:
            async with open_yard(self._state) as yard:
                self.witness = Witness(yard.journal)
                watched = dataclasses.replace(yard, journal=self.witness)
                async with serve(watched, *cards) as self.served:
                    self.files = await asyncio.to_thread(self._make_files)
                    self._ready.set()
                    await self._stop.wait()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ready.set()

    def _make_files(self) -> Files:
        tls = self.served.yard.tls
        tls.crl_pem()
        folder = self._state / "tls"
        return Files(
            folder / "ca.pem", folder / "crl.pem", tls.certificate_files(), tls.certificate_files("self_signed")
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def tls_events(self, local: int, *whats: str) -> list[JournalEvent]:
        """What the stored journal tells of a client's TLS, once one of these steps was noted."""
        session = self.witness.wait(f"127.0.0.1:{local}", *whats)

        async def read() -> list[JournalEvent]:
            await self.served.yard.journal.flush()
            return [each for each in await self.served.yard.journal.events(session) if each.kind == "tls"]

        return self.run(read())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("matrix")) as opened:
        yield opened


def parameters(*, openssl: bool = False) -> Iterator[Any]:
    for cell in CELLS:
        reason = GAPS.get((cell.door.room, cell.recipe)) or GAPS.get((cell.door.port, cell.recipe)) or ""
        if openssl and cell.recipe == "stalled":
            continue  # s_client has no patience that could be set: see `waiting`
        skip = pytest.mark.skip(reason=f"{cell.door.name}, {cell.recipe}: {reason}")
        yield pytest.param(cell, id=cell.id, marks=[skip] if reason else [])


def host(recipe: str) -> str:
    return f"{recipe.replace('_', '-')}.portyard.test"


def test_every_recipe_is_seen() -> None:
    assert VIEWS.keys() == RECIPES.keys()


@pytest.mark.parametrize("cell", list(parameters()))
def test_python(place: Place, cell: Cell) -> None:
    view = cell.view
    context = CLIENTS[view.client].context(place.files)
    limit_s = STALL_S if view.error == FOR_EVER else LIMIT_S
    met = meet(cell.door, place.served.port(cell.door.port), context, host(cell.recipe), limit_s)
    if view.error:
        assert view.error.lower() in met.error.lower()
    else:
        assert (met.error, met.version, met.said_bye) == ("", view.version, view.said_bye)
        assert met.tickets is view.tickets
    judge_journal(place, cell, met.local)


def judge_journal(place: Place, cell: Cell, local: int) -> None:
    view = cell.view
    awaited = {"plaintext": "plaintext", "stalled": "hello"}.get(cell.recipe) or (
        "failed" if view.error else "established"
    )
    events = place.tls_events(local, awaited, "closed")
    (hello,) = [each.fields for each in events if each.fields["step"] == "hello"]
    assert hello["server_name"] == host(cell.recipe)
    found = [each.fields for each in events if each.fields["step"] == awaited]
    assert found, events
    if view.alert is not None:
        assert (found[-1]["alert"], found[-1]["alert_from"]) == view.alert
    elif not view.error:
        assert found[-1]["version"] == view.version
        assert told_of_certificate(found[-1]) == (certificate(place.files) if certificate_is_asked_for(cell) else {})


def certificate_is_asked_for(cell: Cell) -> bool:
    """A certificate that nobody asks for isn't shown (RFC 8446 §4.3.2)."""
    return bool(CLIENTS[cell.view.client].shows) and cell.recipe.startswith("client_certificate_")


def told_of_certificate(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if key.startswith("peer_")}


def certificate(files: Files) -> dict[str, object]:
    """What another reader finds in the client's certificate."""
    found = x509.load_pem_x509_certificate(files.ours[0].read_bytes())
    serial = f"{found.serial_number:X}"
    return {
        "peer_subject": found.subject.rfc4514_string(),
        "peer_issuer": found.issuer.rfc4514_string(),
        "peer_serial": serial.zfill(len(serial) + len(serial) % 2),  # whole octets
        "peer_fingerprint": found.fingerprint(hashes.SHA256()).hex(),
    }


class Waiting(NamedTuple):
    """A client that was left to wait for its ServerHello.

    Attributes:
        over: Its status, where it didn't wait to the end.
        printed: What it printed until then.
        local: Its port.
    """

    over: int | None
    printed: str
    local: int


@pytest.fixture(scope="module")
def waiting(place: Place) -> Mapping[str, Waiting]:
    """By door an s_client that asks for `stalled`. All wait at once, for s_client's patience can't be set."""
    with contextlib.ExitStack() as stack:
        running = {}
        for door in DOORS:
            words = [*s_client(place, door), "-state", *CLIENTS["strict"].s_client(place.files, host("stalled"))]
            known = place.witness.known()
            process = stack.enter_context(
                subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            )
            stack.callback(process.kill)
            running[door.name] = process, int(place.witness.wait_for_another(known, "hello").rpartition(":")[2])
        with contextlib.suppress(subprocess.TimeoutExpired):  # the last one; the others have waited for longer
            process.wait(STALL_S)
        over = {name: process.poll() for name, (process, _) in running.items()}
        for process, _ in running.values():
            process.kill()
        return {
            name: Waiting(over[name], process.communicate()[0].decode(errors="replace"), local)
            for name, (process, local) in running.items()
        }


@pytest.mark.client
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.recipe == "stalled"], ids=lambda cell: cell.id)
def test_openssl_waits(place: Place, waiting: Mapping[str, Waiting], cell: Cell) -> None:
    met = waiting[cell.door.name]
    assert met.over is None, met.printed
    assert met.printed.rstrip().endswith("write client hello")
    judge_journal(place, cell, met.local)


def s_client(place: Place, door: Door) -> list[str]:
    """The words with which openssl comes to a door."""
    starttls = ["-starttls", door.starttls] if door.starttls else []
    return ["openssl", "s_client", "-connect", f"127.0.0.1:{place.served.port(door.port)}", *starttls, "-ign_eof"]


@pytest.mark.client
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl isn't installed")
@pytest.mark.parametrize("cell", list(parameters(openssl=True)))
def test_openssl(place: Place, cell: Cell) -> None:
    done = subprocess.run(
        [*s_client(place, cell.door), *CLIENTS[cell.view.client].s_client(place.files, host(cell.recipe))],
        input=cell.door.bye,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    printed = (done.stdout + done.stderr).decode(errors="replace")
    assert cell.view.openssl.lower() in printed.lower(), printed
    assert ("New Session Ticket arrived" in printed or "TLS session ticket:" in printed) is (
        not cell.view.error and cell.view.tickets
    )
