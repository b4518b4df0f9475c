"""A sandbox: one test's own slice of the testbed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portyard.testing.control import Control, ControlError, segment
from portyard.testing.events import Events
from portyard.testing.files import Files
from portyard.testing.mail import Mail
from portyard.testing.services import Service, ports_of

PAGE = 1000  # sessions that are asked for at once


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in.

    Attributes:
        address: Login name and mail address.
        password: As it was given.
    """

    address: str
    password: str


class Clock:
    """The sandbox's time: stamps, retries and tokens go by it; waits don't."""

    def __init__(self, control: Control, sandbox: str) -> None:
        self._control = control
        self._path = f"{sandbox}/clock"

    def freeze(self, instant: datetime | str | None = None) -> None:
        """Stand still, now or at an instant: a datetime that knows its zone, or text (RFC 3339)."""
        moment = instant.isoformat() if isinstance(instant, datetime) else instant
        self._control.post(self._path, {"freeze": moment if moment is not None else True})

    def advance(self, by: timedelta | str) -> None:
        """Go forward at once: a timedelta, or text such as "2h"."""
        self._control.post(self._path, {"advance": by.total_seconds() if isinstance(by, timedelta) else by})

    def real(self) -> None:
        """Go with the machine's time again."""
        self._control.post(self._path, {"real": True})


class Sandbox:
    """What one test uses. Made by `Testbed.sandbox` or the fixture `sandbox`.

    Attributes:
        name: Its name.
        domain: Its first domain.
        mail: Its messages.
        events: What happened in it.
        clock: Its time.
        smtp: The MTA. `submission` is the MSA, `lmtp` the MDA.
    """

    def __init__(self, control: Control, fields: dict[str, Any], endpoints: list[dict[str, Any]]) -> None:
        self.name: str = fields["name"]
        self.domain: str = fields["domains"][0] if fields["domains"] else ""
        self._control = control
        self._path = f"sandboxes/{segment(self.name)}"
        self._endpoints = endpoints
        self.mail = Mail(control, self._path)
        self.events = Events(control, self._path)
        self.clock = Clock(control, self._path)
        self.smtp = self._service("smtp", "mta", "mta")
        self.submission = self._service("smtp", "msa", "msa")
        self.lmtp = self._service("smtp", "mda", "mda")
        self.pop3 = self._service("pop3")
        self.imap = self._service("imap")
        self.ftp = self._service("ftp")
        self.ssh = self._service("ssh")
        self.http = self._service("http")
        self.websocket = self._service("websocket")
        self.dns = self._service("dns")

    @property
    def key(self) -> tuple[Control, str]:
        """It among the sandboxes of every testbed."""
        return self._control, self.name

    def __repr__(self) -> str:
        return f"<Sandbox {self.name}>"

    def account(self, name: str, password: str = "secret", *, public_keys: tuple[str, ...] = ()) -> Account:  # noqa: S107
        """Make an account; its address is `<name>@<domain>`."""
        body = {"name": name, "password": password, "public_keys": list(public_keys)}
        return Account(self._control.post(f"{self._path}/accounts", body)["address"], password)

    def files(self, account: Account | str) -> Files:
        """An account's files, by the account, its address or its local part."""
        return Files(self._control, self._path, account.address if isinstance(account, Account) else account)

    def rules(self) -> list[dict[str, Any]]:
        """The rules in force, each with its `hits`."""
        return list(self._control.get(f"{self._path}/rules"))

    def record(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """A DNS record in one of its domains, in master file form, e.g. `record("t.test", "TXT", '"v=spf1 -all"')`."""
        body = {"values": list(values), "ttl": ttl}
        self._control.put(f"{self._path}/records/{segment(name)}/{segment(kind)}", body)

    def reset(self) -> None:
        """Empty it: mail, files, rules, journal, clock. Accounts and domains stay."""
        self._control.post(f"{self._path}/reset")

    def delete(self, *, missing_ok: bool = False) -> None:
        """Take it away with all that is in it.

        Args:
            missing_ok: It may be gone already.
        """
        try:
            self._control.delete(self._path)
        except ControlError as error:
            if error.status != 404 or not missing_ok:
                raise

    def sessions(self, room: str | None = None, *, most: int | None = None) -> list[dict[str, Any]]:
        """The sessions that joined it, newest first; at most so many."""
        found: list[dict[str, Any]] = []
        while (limit := PAGE if most is None else min(PAGE, most - len(found))) > 0:
            before = found[-1]["id"] if found else None
            page = self._control.get(f"{self._path}/sessions", room=room, limit=limit, before=before)
            found += page
            if len(page) < limit:
                break
        return found

    def talk(self, session: dict[str, Any]) -> str:
        """A session's transcript."""
        return self._control.raw(f"{self._path}/sessions/{segment(session['id'])}/talk").decode()

    def transcript(self, most: int = 20) -> str:
        """The transcripts of the latest sessions, oldest first."""
        return "\n".join(self.talk(session) for session in reversed(self.sessions(most=most)))

    def _service(self, room: str, service: str | None = None, role: str | None = None) -> Service:
        name = service or room
        mine = [endpoint for endpoint in self._endpoints if endpoint["service"] == name]
        host = mine[0]["host"] if mine else self._control.host
        return Service(self._control, self._path, room, role, name, ports_of(mine), host)
