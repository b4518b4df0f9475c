"""A client of implicit FTPS that can resume TLS sessions, which asyncio's can't."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from tests.support.ftp import LIMIT_S, Ftp


class Blocking:
    """A client of implicit FTPS on blocking sockets, which can resume sessions."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.context = context
        plain = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.control = context.wrap_socket(plain, server_hostname="localhost")
        self.lines = self.control.makefile("rw", newline="")
        self.lines.readline()
        self.ask("USER alice")
        self.ask("PASS alice-secret")
        self.session = self.control.session

    def ask(self, command: str) -> str:
        self.lines.write(f"{command}\r\n")
        self.lines.flush()
        return self.lines.readline().strip()

    def names(self, *, resume: bool) -> tuple[bool, str]:
        """Whether a data connection's session was resumed, and the last reply."""
        number = int(self.ask("EPSV").split("|")[3])
        reused = False
        with socket.create_connection(("127.0.0.1", number), LIMIT_S) as plain:
            first = self.ask("NLST")
            if not first.startswith("1"):
                return False, first
            session = self.session if resume else None
            with (
                contextlib.suppress(OSError),
                self.context.wrap_socket(plain, server_hostname="localhost", session=session) as data,
            ):
                reused = bool(data.session_reused)
                data.recv(10)
        return reused, self.lines.readline().strip()

    def close(self) -> None:
        self.lines.close()
        self.control.close()


@contextlib.contextmanager
def blocking(ftp: Ftp) -> Iterator[Blocking]:
    client = Blocking(ftp.served.port("ftps"), ftp.served.client_context())
    try:
        yield client
    finally:
        client.close()


def reuse(ftp: Ftp) -> list[tuple[bool, str]]:
    with blocking(ftp) as client:
        return [client.names(resume=False), client.names(resume=True)]
