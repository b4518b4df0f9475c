"""The kit's connection to the control API where the testbed gives it up: what changes something is never sent twice."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portyard.testing.control import Control

LIMIT_S = 30.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[Control, list[str]]]:
    """A testbed that answers one request a connection, by these in turn, and closes; and the methods of the requests that came."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)

        def serve() -> None:
            for answer in answers:
                try:
                    sock, _ = listener.accept()
                except TimeoutError:  # nobody asks any more
                    return
                with sock, sock.makefile("rb") as lines:
                    came.append(lines.readline().split()[0].decode())
                    head = list(iter(lambda: lines.readline().strip().lower(), b""))
                    # All of it: the body comes by itself, and a socket that is closed before it was read resets the connection.
                    lines.read(
                        sum(int(line.partition(b":")[2]) for line in head if line.startswith(b"content-length:"))
                    )
                    sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        control = Control(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield control, came
        finally:
            control.close()
            thread.join()


def wait_for_the_end(control: Control) -> None:
    """Return once the kept connection's end is here."""
    (kept,) = control._open
    assert kept.connection.sock is not None
    assert kept.connection.sock.recv(1, socket.MSG_PEEK) == b""


def test_a_kept_connection_that_ended_is_not_used() -> None:
    with answering(ANSWER, ANSWER) as (control, came):
        control.post("sandboxes/default/rules", {})
        wait_for_the_end(control)
        control.post("sandboxes/default/rules", {})
        assert came == ["POST", "POST"]


def test_a_thread_takes_its_connection_with_it() -> None:
    """Test runs come to have more threads than the process may have descriptors, and the console as many."""
    with answering(ANSWER, ANSWER, ANSWER) as (control, came):
        for _ in range(3):
            thread = threading.Thread(target=control.get, args=("health",))
            thread.start()
            thread.join()
        assert len(came) == 3
        assert len(control._open) == 0


def test_what_changes_something_is_not_repeated() -> None:
    with answering(b"") as (control, came):
        with pytest.raises(ConnectionError):
            control.post("sandboxes/default/rules", {})
        assert came == ["POST"]


def test_a_request_that_is_interrupted_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ctrl-C, or by a test's own limit of time: what is asked next, for its report and its end, is answered."""
    with answering(ANSWER, ANSWER) as (control, came):
        with monkeypatch.context() as patch:
            patch.setattr(http.client.HTTPConnection, "getresponse", interrupted)
            with pytest.raises(KeyboardInterrupt):
                control.get("sandboxes/default/messages/wait")
        assert control.get("sandboxes") == {}
        assert came == ["GET", "GET"]


def interrupted(_: http.client.HTTPConnection) -> http.client.HTTPResponse:
    raise KeyboardInterrupt


def test_what_may_be_repeated_is() -> None:
    with answering(b"", ANSWER) as (control, came):
        assert control.get("sandboxes") == {}
        assert came == ["GET", "GET"]
