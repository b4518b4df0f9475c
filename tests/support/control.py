"""The console's API as tests use it: the standard library only, so that it tells what any client sees."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Console:
    """The API at a port of this machine."""

    port: int
    sandbox: str = "default"

    def ask(self, path: str, *, method: str = "GET", body: object = None, timeout_s: float = 90) -> bytes:
        """An answer's octets; a refusal raises `urllib.error.HTTPError`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bytes(answer.read())

    def get(self, path: str, **query: object) -> Any:
        """An answer as JSON, below the sandbox."""
        given = {key.rstrip("_"): value for key, value in query.items()}
        return json.loads(self.ask(f"sandboxes/{self.sandbox}/{path}?{urlencode(given)}"))

    def post(self, path: str, body: object) -> Any:
        """An answer as JSON to what is sent below the sandbox."""
        return json.loads(self.ask(f"sandboxes/{self.sandbox}/{path}", method="POST", body=body))

    def wait(self, count: int, timeout_s: float = 60, **query: object) -> list[dict[str, Any]]:
        """The messages, once there are so many."""
        answer = self.get("messages/wait", count=count, timeout=timeout_s, **query)
        assert answer["satisfied"], f"{len(answer['messages'])} of {count} came"
        return list(answer["messages"])

    def raw(self, message: dict[str, Any]) -> bytes:
        """A message's octets."""
        return self.ask(f"sandboxes/{self.sandbox}/messages/{message['id']}/raw")

    def renew(self, name: str, password: str) -> None:
        """An account with nothing in it: whatever had the name is deleted."""
        for account in self.get("accounts"):
            if name in (account["name"], account["address"]):
                self.ask(f"sandboxes/{self.sandbox}/accounts/{quote(account['address'])}", method="DELETE")
        self.ask(f"sandboxes/{self.sandbox}/accounts", method="POST", body={"name": name, "password": password})

    def only(self, passwords: dict[str, str]) -> None:
        """These accounts with nothing in them, and no others; mail that is still on its way from an earlier test is dropped."""
        self.ask(f"sandboxes/{self.sandbox}/reset", method="POST")
        for account in self.get("accounts"):
            self.ask(f"sandboxes/{self.sandbox}/accounts/{quote(account['address'])}", method="DELETE")
        for name, password in passwords.items():
            self.ask(f"sandboxes/{self.sandbox}/accounts", method="POST", body={"name": name, "password": password})
