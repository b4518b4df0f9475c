"""Rules in the WebSocket room as independent clients see them: one case for each verb and action that is announced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from wsproto.events import (
    RejectConnection,
)

from portyard.commons.scenario.checking import check
from portyard.commons.scenario.model import RuleError
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import FAULTS
from portyard.websocket.card import CARD
from portyard.websocket.core.verbs import VOCABULARY, close_of
from tests.support.asyncio_tests import run
from tests.support.hosted import ruled_room
from tests.support.websocket_events import (
    Case,
    enter_delay,
    enter_hang_up,
    enter_refuse,
    enter_silence,
    event_delay,
    event_hang_up,
    event_refuse,
    event_say,
    event_silence,
    guest,
)
from tests.support.websocket_frames import (
    close_delay,
    close_hang_up,
    close_say,
    close_silence,
    fragment_delay,
    fragment_hang_up,
    fragment_silence,
    message_delay,
    message_hang_up,
    message_refuse,
    message_say,
    message_script,
    message_silence,
    ping_delay,
    ping_hang_up,
    ping_refuse,
    ping_say,
    ping_silence,
    send_delay,
    send_hang_up,
    send_refuse,
    send_say,
    send_silence,
)
from tests.support.websocket_rules import End, client, opened
from tests.support.websocket_upgrades import (
    connect_delay,
    connect_hang_up,
    connect_silence,
    open_delay,
    open_hang_up,
    open_refuse,
    open_script,
    open_silence,
    request_delay,
    request_hang_up,
    request_refuse,
    request_respond,
    request_say,
    request_script,
    request_silence,
    upgrade_delay,
    upgrade_hang_up,
    upgrade_refuse,
    upgrade_refuse_by_field,
    upgrade_respond,
    upgrade_say,
    upgrade_script,
    upgrade_silence,
    upgrade_with_a_wrong_accept,
)

CASES: tuple[Case, ...] = (
    *(connect_hang_up, connect_delay, connect_silence),
    *(request_refuse, request_say, request_respond, request_script, request_delay, request_hang_up, request_silence),
    *(
        upgrade_refuse,
        upgrade_refuse_by_field,
        upgrade_say,
        upgrade_respond,
        upgrade_with_a_wrong_accept,
        upgrade_script,
    ),
    *(upgrade_delay, upgrade_hang_up, upgrade_silence),
    *(open_refuse, open_script, open_delay, open_hang_up, open_silence),
    *(message_refuse, message_say, message_script, message_delay, message_hang_up, message_silence),
    *(send_refuse, send_say, send_delay, send_hang_up, send_silence),
    *(fragment_delay, fragment_hang_up, fragment_silence),
    *(ping_say, ping_refuse, ping_delay, ping_hang_up, ping_silence),
    *(close_say, close_delay, close_hang_up, close_silence),
    *(enter_refuse, enter_delay, enter_hang_up, enter_silence),
    *(event_refuse, event_say, event_delay, event_hang_up, event_silence),
)
LIMIT_S = 20.0
_ELSEWHERE = FAULTS | {"tls", "persona"}  # shown with the wire, with TLS, and with the personas


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_verb_obeys_an_action(tmp_path: Path, case: Case) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await case(place)
            async with asyncio.timeout(LIMIT_S):  # where nothing came, for want of time the room may still be at it
                while not all(hits > 0 for hits in await place.hits()):
                    pass

    run(go())


def test_every_announced_action_has_a_case() -> None:
    announced = {
        f"{verb}_{action}"
        for verb, declared in VOCABULARY.verbs.items()
        for action in declared.actions - _ELSEWHERE
        if verb != "tls"
    }
    assert announced == {case.__name__ for case in CASES} - {"upgrade_with_a_wrong_accept", "upgrade_refuse_by_field"}


@pytest.mark.parametrize(
    ("on", "then", "because"),
    [
        ("websocket.close", {"refuse": "1000"}, "can't be refused"),
        ("websocket.message", {"respond": "x"}, "no parts"),
        ("websocket.event", {"reset": True}, "several connections"),
        ("websocket.fragment", {"refuse": "1011"}, "under way"),
    ],
)
def test_what_cant_be_honoured_is_refused_when_it_is_set(on: str, then: object, because: str) -> None:
    with pytest.raises(RuleError, match=because):
        check(make_rule(on, then), {"websocket": VOCABULARY})


@pytest.mark.parametrize(
    ("text", "close"),
    [
        ("1011", (1011, "")),
        ("4000 so long", (4000, "so long")),
        ("no code at all", (1011, "no code at all")),
        ("1000 " + "é" * 100, (1000, "é" * 61)),
    ],
)
def test_a_rules_close(text: str, close: tuple[int, str]) -> None:
    assert close_of(text) == close


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_fragments_of_every_length(tmp_path: Path, size: int) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("websocket.fragment", {"delay": 0})
            sent = bytes(at % 251 for at in range(2 * size))
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(place.url + "/echo", max_msg_size=0, compress=15) as made,
            ):
                await made.send_bytes(sent)
                assert (await made.receive()).data == sent

    run(go())


def test_magic_words_in_paths(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.place.yard.sandboxes.change("default", magic=True)
            async with client(place, "/room/x+429") as made:
                rejected = await made.next()
                assert isinstance(rejected, RejectConnection)
                assert rejected.status_code == 429
            async with client(place, "/room/x+hangup") as made:
                assert await made.next() is End
            async with opened(place, "/room/x"):
                pass

    run(go())


def test_the_journal_tells_which_rule_fired(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            await place.rule("websocket.message", {"refuse": "1011 enough"}, name="enough")
            async with opened(place) as made:
                made.text("a")
                assert (await made.closed_with())[0] == 1011
            events = await place.talk()
            (fault,) = [fields for kind, fields in events if kind == "fault"]
            assert fault == {"verb": "message", "rule": "enough", "does": ["refuse"]}
            assert ("out", "CLOSE 1011 enough") in [(f.get("direction"), f.get("text")) for _, f in events]

    run(go())


def test_sandboxes_have_rooms_and_rules_of_their_own(tmp_path: Path) -> None:
    async def go() -> None:
        async with ruled_room(tmp_path, CARD) as place:
            for name in ("t1", "t2"):
                await place.place.yard.sandboxes.create(name)
            await place.rule("websocket.message", {"refuse": "1011"}, sandbox="t2")
            async with (
                opened(place, "/~t1/room/a") as one,
                opened(place, "/room/a", extra_headers=[(b"X-Portyard-Sandbox", b"t1")]) as two,
                opened(place, "/room/a") as stranger,
                opened(place, "/~t2/room/a") as ruled,
            ):
                one.text("ahoy")
                assert await two.hears() == "ahoy"
                await stranger.hears_nothing()
                ruled.text("ahoy")
                assert (await ruled.closed_with())[0] == 1011
            async with client(place, "/~t3/room/a") as made:
                rejected = await made.next()
                assert isinstance(rejected, RejectConnection)
                assert rejected.status_code == 404
            async with (
                guest(place, socketio_path="~t1/socket.io") as one_guest,
                guest(place, headers={"X-Portyard-Sandbox": "t1"}) as two_guest,
                guest(place) as strange_guest,
            ):
                assert (await one_guest.call("join", "a"))["members"] == 1
                assert (await strange_guest.call("join", "a"))["members"] == 1
                assert (await two_guest.call("join", "a"))["members"] == 2

    run(go())
