"""Listeners of a sandbox's own: what happens before any protocol has named a sandbox, seen from raw sockets and stock clients."""

from __future__ import annotations

import asyncio
import imaplib
import poplib
import smtplib
import socket
import ssl
import struct
import urllib.request
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from portyard.commons.database.engine import StorageFullError
from portyard.commons.leasing import keeper
from portyard.commons.leasing.model import Lease
from portyard.commons.leasing.store import SqlLeases
from portyard.commons.settings import Settings
from portyard.commons.yard import Yard
from portyard.testing import ControlError, Sandbox, Testbed
from tests.support.asyncio_tests import run
from tests.support.ports import unused
from tests.support.process import serving

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
QUERY = b"\0\x09\x01\0\0\x01\0\0\0\0\0\0" + b"\x08portyard\x04test\0" + b"\0\x06\0\x01"
OPENINGS = {
    "http": b"GET /get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "websocket": b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "dns": struct.pack(">H", len(QUERY)) + QUERY,
}
SERVICES = ("smtp", "submission", "lmtp", "pop3", "imap", "ftp", "ssh", "http", "websocket", "dns")


def heard(host: str, port: int, opening: bytes = b"") -> bytes:
    """The first that a server says."""
    with socket.create_connection((host, port), PATIENCE_S) as connection:
        connection.sendall(opening)
        return connection.recv(4096)


def ports(testbed: Testbed, service: str) -> dict[str, int]:
    return {each["port"]: each["host_number"] for each in testbed.endpoints if each["service"] == service}


@pytest.mark.parametrize("service", SERVICES)
def test_a_reset_at_connect_meets_its_sandbox_alone(testbed: Testbed, sandbox: Sandbox, service: str) -> None:
    shared = getattr(sandbox, service).port
    rule = getattr(sandbox, service).reset(times=1)
    mine = getattr(sandbox, service)
    opening = OPENINGS.get(service, b"")
    assert mine.port != shared
    assert heard(mine.host, shared, opening)
    with pytest.raises(ConnectionError):  # a RST, or what is sent after it came
        heard(mine.host, mine.port, opening)
    assert rule.hits == 1
    assert heard(mine.host, mine.port, opening)
    assert len(sandbox.sessions()) == 2  # whatever the second one named


def test_a_peer_that_was_reset_is_not_greeted(sandbox: Sandbox) -> None:
    greeting = sandbox.pop3.refuse("-ERR not now", on="greeting", times=1)
    sandbox.pop3.reset(times=1)
    with pytest.raises(ConnectionError):
        heard(sandbox.pop3.host, sandbox.pop3.port)
    assert heard(sandbox.pop3.host, sandbox.pop3.port) == b"-ERR not now\r\n"
    assert greeting.hits == 1
    assert [event["fields"]["does"] for event in sandbox.events.wait(2, kind="fault", timeout=PATIENCE_S)] == [
        ["reset"],
        ["refuse"],
    ]


def test_a_greeting_is_refused_to_one_sandbox(testbed: Testbed, sandbox: Sandbox) -> None:
    with testbed.own_sandbox() as other:
        other.smtp.lease()
        sandbox.smtp.refuse("421 4.3.2 too busy", on="greeting")
        with pytest.raises(smtplib.SMTPConnectError, match="too busy"):
            smtplib.SMTP(sandbox.smtp.host, sandbox.smtp.port, timeout=PATIENCE_S)
        with smtplib.SMTP(other.smtp.host, other.smtp.port, timeout=PATIENCE_S) as client:
            assert client.noop()[0] == 250
        assert [session["room"] for session in other.sessions()] == ["smtp"]


def test_a_certificate_is_bad_though_the_client_names_nobody(testbed: Testbed, sandbox: Sandbox) -> None:
    sandbox.imap.bad_tls("expired")
    context = testbed.ssl_context()
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):  # an address is no SNI (RFC 6066 §3)
        imaplib.IMAP4_SSL("127.0.0.1", sandbox.imap.tls_port, ssl_context=context, timeout=PATIENCE_S)
    with closing(poplib.POP3_SSL("127.0.0.1", sandbox.pop3.tls_port, context=context, timeout=PATIENCE_S)) as other:
        assert other.getwelcome().startswith(b"+OK")


def test_a_listener_has_a_certificate_of_its_own_until_a_rule_says_otherwise() -> None:
    with Testbed.embedded(tls={"imaps": "expired"}) as testbed:
        default, context = testbed.default(), testbed.ssl_context()
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            imaplib.IMAP4_SSL("127.0.0.1", default.imap.tls_port, ssl_context=context, timeout=PATIENCE_S)
        default.imap.bad_tls("good", times=1)
        imaplib.IMAP4_SSL("127.0.0.1", default.imap.tls_port, ssl_context=context, timeout=PATIENCE_S).logout()
        with imaplib.IMAP4("127.0.0.1", default.imap.port, timeout=PATIENCE_S) as client:
            assert client.starttls(context)[0] == "OK"


def test_latency_and_cuts_of_bytes_on_a_leased_port(sandbox: Sandbox) -> None:
    sandbox.http.cut_after(20)
    answer = b""
    with socket.create_connection((sandbox.http.host, sandbox.http.port), PATIENCE_S) as connection:
        connection.sendall(OPENINGS["http"])
        while octets := connection.recv(4096):
            answer += octets
    assert len(answer) == 20


def test_whoever_connects_there_is_in_the_sandbox_whatever_it_names(sandbox: Sandbox) -> None:
    rule = sandbox.http.refuse("503", on="request", where={"path": "/anything"})
    port = sandbox.http.lease().port
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(
            f"http://127.0.0.1:{port}/anything", timeout=PATIENCE_S
        )  # no Host, field or prefix names it
    assert rule.hits == 1


def test_a_lease_asked_for_twice_is_the_same(sandbox: Sandbox) -> None:
    first = dict(sandbox.imap.lease().ports)
    assert sandbox.imap.lease().ports == first
    assert set(first) == {"imap", "imaps"}


def test_what_is_given_back_or_deleted_accepts_no_more(testbed: Testbed) -> None:
    sandbox = testbed.sandbox()
    imap, pop3 = sandbox.imap.lease().port, sandbox.pop3.lease().port
    testbed.control.delete(f"sandboxes/{sandbox.name}/leases/imap")
    assert refused(imap)
    assert heard("127.0.0.1", pop3)
    sandbox.delete()
    assert refused(pop3)


def refused(port: int) -> bool:
    """Whether nobody listens there any more: what closes it hears of it after the answer."""
    for _ in range(2000):
        try:
            heard("127.0.0.1", port)
        except ConnectionError:
            return True
    return False


def test_a_rule_before_any_name_needs_a_lease(testbed: Testbed, sandbox: Sandbox) -> None:
    rule = {"on": "ftp.connect", "then": {"hang_up": True}}
    with pytest.raises(ControlError, match="no listener of its own") as caught:
        testbed.control.post(f"sandboxes/{sandbox.name}/rules", rule)
    assert caught.value.status == 422
    assert f"POST /api/v1/sandboxes/{sandbox.name}/leases" in caught.value.problem["allowed"]
    testbed.control.post(f"sandboxes/{sandbox.name}/leases", {"service": "imap"})
    with pytest.raises(ControlError, match="no listener of its own"):  # another room's lease doesn't help
        testbed.control.post(f"sandboxes/{sandbox.name}/rules", rule)
    testbed.control.post(f"sandboxes/{sandbox.name}/leases", {"service": "ftp"})
    assert testbed.control.post(f"sandboxes/{sandbox.name}/rules", rule)["on"] == "ftp.connect"


def test_a_rule_at_what_most_clients_say_before_any_name_tells_so(testbed: Testbed, sandbox: Sandbox) -> None:
    rules = f"sandboxes/{sandbox.name}/rules"
    early = testbed.control.post(rules, {"on": "ftp.feat", "then": {"refuse": "502 none"}})
    assert "has none of ftp" in " ".join(early["warnings"])
    testbed.control.post(f"sandboxes/{sandbox.name}/leases", {"service": "ftp"})
    assert testbed.control.get(f"{rules}/{early['id']}")["warnings"] == []


def test_what_cannot_be_leased_is_told(testbed: Testbed, sandbox: Sandbox) -> None:
    with pytest.raises(ControlError, match="did you mean imap") as caught:
        testbed.control.post(f"sandboxes/{sandbox.name}/leases", {"service": "imaps"})
    assert (caught.value.status, caught.value.problem["key"]) == (422, "service")
    with pytest.raises(ControlError, match="no lease of imap") as caught:
        testbed.control.delete(f"sandboxes/{sandbox.name}/leases/imap")
    assert caught.value.status == 404
    with pytest.raises(ControlError, match="no sandbox"):
        testbed.control.post("sandboxes/nobody-at-all/leases", {"service": "imap"})


def test_a_reset_sandbox_keeps_its_ports(sandbox: Sandbox) -> None:
    port = sandbox.smtp.lease().port
    sandbox.smtp.hang_up(on="connect")
    sandbox.reset()
    assert heard(sandbox.smtp.host, port).startswith(b"220 ")


def test_leases_outlive_a_moment_in_which_they_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    told, failures = SqlLeases.settle, iter([StorageFullError("no room to write")] * 2)

    async def failing(store: SqlLeases, *leases: Lease) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        await told(store, *leases)

    monkeypatch.setattr(keeper, "AGAIN_S", 0.001)
    with Testbed.embedded() as testbed:
        testbed.wait_until_open()
        monkeypatch.setattr(SqlLeases, "settle", failing)
        with testbed.own_sandbox() as first, testbed.own_sandbox() as second:
            for sandbox in (first, second):
                sandbox.pop3.lease()
                assert heard(sandbox.pop3.host, sandbox.pop3.port).startswith(b"+OK")
    assert next(failures, None) is None


def test_one_look_alone_tries_again_however_many_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bool] = []
    full = True

    async def all_of(store: SqlLeases) -> list[Lease]:
        reads.append(full)
        if full:
            raise StorageFullError("no room to write")
        return []

    async def go() -> None:
        nonlocal full
        room = asyncio.Event()
        monkeypatch.setattr(keeper, "asyncio", SimpleNamespace(Lock=asyncio.Lock, sleep=lambda _: room.wait()))
        looks: list[asyncio.Task[None]] = []
        yard = SimpleNamespace(settings=Settings(), control_database=None)
        yard.spawn = lambda look: looks.append(asyncio.ensure_future(look))
        kept = keeper.LeaseKeeper(cast("Yard", yard), *[lambda *_: pytest.fail("nothing is leased")] * 2)
        for looking in (5, 2):  # what failed once and was mended is tried again when it fails anew
            full = True
            room.clear()
            first = len(looks)
            for _ in range(looking):
                kept.look()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*looks[first + 1 :])
            assert not looks[first].done()
            full = False
            room.set()
            await looks[first]
            assert reads[-looking - 1 :] == [True] * looking + [False]

    monkeypatch.setattr(SqlLeases, "all", all_of)
    run(go())


def test_a_testbed_that_comes_back_opens_the_same_ports(tmp_path: Path, unused_range: str) -> None:
    with Testbed.embedded(state=str(tmp_path), leased_ports=unused_range) as first:
        port = first.sandbox("kept").pop3.lease().port
    with Testbed.embedded(state=str(tmp_path), leased_ports=unused_range) as second:
        lease = second.control.post("sandboxes/kept/leases", {"service": "pop3"})
        assert lease["endpoints"][0]["host_number"] == port
        assert heard("127.0.0.1", port).startswith(b"+OK")


def test_a_lease_is_opened_by_the_process_that_serves_the_room(tmp_path: Path, unused_range: str) -> None:
    with serving(tmp_path, "console", PORTYARD_LEASED_PORTS=unused_range) as console:
        testbed = Testbed.connect(f"http://127.0.0.1:{console.port('console')}")
        sandbox = testbed.sandbox("far")
        with serving(tmp_path, "imap", PORTYARD_LEASED_PORTS=unused_range) as imap:
            port = sandbox.imap.lease().port
            assert port not in (imap.port("imap"), imap.port("imaps"))
            assert heard("127.0.0.1", port).startswith(b"* OK ")
            imap.kill()
        with serving(tmp_path, "imap", PORTYARD_LEASED_PORTS=unused_range):
            assert sandbox.imap.lease().port == port
            sandbox.imap.refuse("* BYE busy", on="greeting", times=1)
            assert heard("127.0.0.1", port).startswith(b"* BYE ")
        testbed.close()


def test_a_lease_that_is_given_back_and_wanted_at_once(tmp_path: Path) -> None:
    """Its process looks 20 times a second, and may see no more than that the lease is there."""
    with serving(tmp_path, "console") as console, serving(tmp_path, "imap"):
        testbed = Testbed.connect(f"http://127.0.0.1:{console.port('console')}")
        sandbox = testbed.sandbox("far")
        for _ in range(5):
            mine = sandbox.imap.lease()
            assert heard(mine.host, mine.port).startswith(b"* OK ")
            testbed.control.delete("sandboxes/far/leases/imap")
        testbed.close()


def test_a_range_that_is_used_up_says_so_and_is_free_again(unused_range: str) -> None:
    with Testbed.embedded(leased_ports=unused_range) as small:
        one, two, three = (small.sandbox() for _ in range(3))
        taken = {one.smtp.lease().port, two.smtp.lease().port}
        first, _, last = unused_range.partition("-")
        assert taken == {int(first), int(last)}
        with pytest.raises(ControlError, match=f"every leased port \\({unused_range}\\) is taken") as caught:
            three.smtp.lease()
        assert caught.value.status == 409
        assert (
            "${PORTYARD_LEASED_MTA:-" in (ROOT / "compose.yaml").read_text()
        )  # the word of the refusal is compose's own
        assert "PORTYARD_LEASED_MTA does both" in str(caught.value)
        one.delete()
        assert three.smtp.lease().port in taken


@pytest.fixture
def unused_range() -> str:
    """Two neighbouring ports that nobody uses now."""
    first, last = unused(2)
    return f"{first}-{last}"
