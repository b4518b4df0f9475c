"""A service as one sandbox sees it: where it is, and its faults in words. Every word makes one rule of the one rule language."""

from __future__ import annotations

import functools
import ssl
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from portyard.commons.authority import authority
from portyard.rooms import cards
from portyard.testing.control import Control

if TYPE_CHECKING:
    from portyard.testing.sandbox import Account

WEB = {"http": "http", "websocket": "ws"}
Time = float | str
"""Seconds, or text such as "150ms"."""


class RuleFields(TypedDict, total=False):
    """What every rule may have besides its verb and its actions; see docs/rules.md.

    Attributes:
        name: What its hits are told under.
        where: Patterns by the event's fields: globs, "/expressions/", numbers with < and >, lists of them.
        times: So often it fires, then it is spent.
        skip: So many events pass first.
        every: Each so many-th is taken.
        chance: The share that is taken, from 0 to 1.
        per: What is counted by itself.
    """

    name: str
    where: Mapping[str, Any] | None
    times: int | None
    skip: int
    every: int
    chance: float
    per: Literal["session", "peer", "account"]


EARLY = frozenset({"connect", "greeting", "tls"})
"""The verbs at which no protocol has named a sandbox yet (a handshake may have, by SNI; a client that was given an address has not)."""


def ports_of(endpoints: list[dict[str, Any]]) -> dict[str, int]:
    """The host's port numbers by their names, the plain one first."""
    found = sorted(endpoints, key=lambda endpoint: endpoint["tls"] == "implicit")
    return {endpoint["port"]: int(endpoint["host_number"]) for endpoint in found}


class UnseenWarning(UserWarning):
    """A rule was set whose doing can't be seen from where its clients are, such as a RST through Docker's published ports."""


_warned: set[str] = set()


def _warn(text: str) -> None:
    """Say it once, and show the line that set the rule."""
    if text in _warned:
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("portyard.testing"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UnseenWarning, stacklevel=level)
    _warned.add(text)  # last: where a warning is an error, each test has it


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was set.

    Attributes:
        id: The testbed's key.
        name: Its name, or "".
    """

    id: str
    name: str
    _control: Control = field(repr=False)
    _path: str = field(repr=False)

    @property
    def hits(self) -> int:
        """How often it has fired."""
        return int(self._control.get(self._path)["hits"])

    def remove(self) -> None:
        """Take it away."""
        self._control.delete(self._path)


class Service:
    """One service.

    Args:
        control: The API.
        sandbox: The sandbox's path in it.
        room: The room, as rules name it.
        role: The role, where the room has several.
        service: Its name in the testbed ("mta").
        ports: Port numbers by their names, the plain one first.
        host: Where they are.

    Attributes:
        leased: Whether these ports are listeners of this sandbox's own.
    """

    def __init__(
        self,
        control: Control,
        sandbox: str,
        room: str,
        role: str | None,
        service: str,
        ports: dict[str, int],
        host: str,
    ) -> None:
        self._control = control
        self._sandbox = sandbox
        self._path = f"{sandbox}/rules"
        self._room = room
        self._role = role
        self._service = service
        self.ports = ports
        self.host = host
        self.leased = False

    def lease(self) -> Service:
        """Open listeners of this sandbox's own: from now on `port` and `tls_port` are theirs, and who connects there is in this sandbox.

        For what happens before a protocol has named a sandbox. A rule at `connect`, `greeting`, `tls`, or at what a client
        says before its login or recipient (`ehlo`, `starttls`, `capability` …), asks for it by itself.

        Raises:
            ControlError: There are none left (in containers their number is limited), or the service is down.
        """
        answer = self._control.post(f"{self._sandbox}/leases", {"service": self._service})
        mine = self._control.reached(answer["endpoints"])
        self.ports, self.host = ports_of(mine), mine[0]["host"]
        self.leased = True
        return self

    def __repr__(self) -> str:
        return f"<Service {self._service} of {self._sandbox.rpartition('/')[2]}>"

    @property
    def port(self) -> int:
        """The port that begins in plaintext (and upgrades where the protocol can)."""
        return next(iter(self.ports.values()))

    @property
    def tls_port(self) -> int:
        """The port that speaks TLS from the first octet.

        Raises:
            LookupError: The service has none.
        """
        # Such a port is called as the plain one is, and an s: https beside http. Not every name with an s is one: ws, beside wss.
        implicit = [number for name, number in self.ports.items() if name.endswith("s") and name[:-1] in self.ports]
        if not implicit:
            raise LookupError(f"{self._room} has no port with TLS from the start")
        return implicit[0]

    def url(self, path: str = "/", *, tls: bool = False) -> str:
        """The URL of a path in this sandbox, e.g. `http.url("/anything")`, `websocket.url("/echo", tls=True)`.

        Raises:
            LookupError: The service isn't one of the web's.
        """
        if self._room not in WEB:
            raise LookupError(f"{self._room} has no URLs; use host and port")
        port = self.tls_port if tls else self.port
        prefix = "" if self.leased else f"/~{self._sandbox.rpartition('/')[2]}"
        return f"{WEB[self._room]}{'s' if tls else ''}://{authority(self.host, port)}{prefix}/{path.lstrip('/')}"

    def play(self, talk: Path | str, account: Account | None = None) -> int:
        """Be a talk's client here: what was seen once, such as a session that `portyard export --format test` wrote down, is had again.

        Args:
            talk: Its file, or its text.
            account: Whose `$user`, `$password` and `$plain` are, where the talk has such.

        Returns:
            How many lines the server said, each as the talk has it.

        Raises:
            TalkFailure: The server said something else; the message shows the conversation so far.
            TalkError: The talk is malformed, of another room, or needs more than a client.
        """
        from portyard.commons.talk.model import TalkError
        from portyard.testing import talks

        told = talks.read(talk)
        if told.room != self._room:
            raise TalkError(f"room: {told.room}: this is {self._room}")
        context = ssl.create_default_context(cadata=self._control.raw("ca.pem").decode())
        port = self.tls_port if talks.starts_with_tls(told) else self.port
        values = talks.values_of(account.address, account.password) if account is not None else {}
        return talks.play(told, talks.Server(self.host, port, context), values)

    def rule(self, on: str, then: dict[str, Any] | list[dict[str, Any]], **more: Unpack[RuleFields]) -> Rule:
        """Set any rule.

        Args:
            on: The verb or phase ("rcpt", "connect", "fetch" …); `*` is allowed.
            then: What is done, e.g. `{"refuse": "451 4.7.1 later"}`; several in a list, in this order.
            **more: `name`, `where`, `times`, `skip`, `every`, `chance`, `per`.

        Raises:
            ControlError: The room can't honour it; the message says why.
        """
        if (
            not self.leased
            and not self._sandbox.endswith("/default")
            and _early(self._room, self._role or self._room, on)
        ):
            self.lease()
        where = dict(more.pop("where", None) or {})
        if self._role is not None:
            where.setdefault("role", self._role)
        fields = {"on": f"{self._room}.{on}", "then": then, **({"where": where} if where else {}), **more}
        answer = self._control.post(self._path, {key: value for key, value in fields.items() if value is not None})
        made = answer[0] if isinstance(answer, list) else answer
        for warning in made.get("warnings", ()):
            _warn(f"{fields['on']}: {warning}")
        return Rule(str(made["id"]), made.get("name", ""), self._control, f"{self._path}/{made['id']}")

    def refuse(self, reply: str, *, on: str, **more: Unpack[RuleFields]) -> Rule:
        """Client and server agree that it failed, e.g. `refuse("451 4.7.1 later", on="rcpt", times=2)`."""
        return self.rule(on, {"refuse": reply}, **more)

    def say(self, reply: str, *, on: str, **more: Unpack[RuleFields]) -> Rule:
        """The state moves, the answer lies."""
        return self.rule(on, {"say": reply}, **more)

    def silence(self, *, on: str, **more: Unpack[RuleFields]) -> Rule:
        """Nothing more is answered."""
        return self.rule(on, {"silence": True}, **more)

    def delay(self, duration: Time, *, on: str, jitter_s: Time = 0.0, **more: Unpack[RuleFields]) -> Rule:
        """The answer waits so long, and up to the jitter longer: seconds, or text such as "150ms"."""
        return self.rule(on, {"delay": {"delay_s": duration, "jitter_s": jitter_s} if jitter_s else duration}, **more)

    def hang_up(self, *, on: str, **more: Unpack[RuleFields]) -> Rule:
        """The connection is closed instead of an answer."""
        return self.rule(on, {"hang_up": True}, **more)

    def respond(self, *, on: str, where: dict[str, Any] | None = None, times: int | None = None, **more: Any) -> Rule:  # noqa: ANN401
        """A stub's whole answer: `status`, `headers`, `body`, `stderr`, as the room knows them; the rest is the rule's own."""
        parts = {name: more.pop(name) for name in tuple(more) if name not in RuleFields.__annotations__}
        return self.rule(on, {"respond": parts}, where=where or {}, times=times, **more)

    def script(self, *steps: dict[str, Any], on: str, **more: Unpack[RuleFields]) -> Rule:
        """These steps instead of the room's own words: `{"send": …}`, `{"expect": …}`, `{"delay": …}`, `{"hang_up": True}` and the like."""
        return self.rule(on, {"script": list(steps)}, **more)

    def persona(self, name: str, *, on: str = "connect", **more: Any) -> Rule:  # noqa: ANN401 - a name is given already
        """Be another kind of server: its greeting, capabilities, quirks and limits."""
        return self.rule(on, {"persona": name}, **more)

    def bad_tls(self, recipe: str, *, on: str = "tls", **more: Unpack[RuleFields]) -> Rule:
        """The handshake shows a certificate or demand by name: "expired", "wrong_host", "tls13_only" and the like."""
        return self.rule(on, {"tls": recipe}, **more)

    # Faults that know only octets. "down" is from the server to the client, "up" the way back. Those of one direction mean "down" where
    # none is said, and on an FTP upload the way that the data goes.

    def reset(
        self, *, on: str = "connect", after_octets: int = 0, direction: str = "", **more: Unpack[RuleFields]
    ) -> Rule:
        """A true RST, once so many octets were carried."""
        return self.rule(on, {"reset": {"after_octets": after_octets, **_way(direction)}}, **more)

    def half_close(
        self, *, on: str = "connect", after_octets: int = 0, direction: str = "", **more: Unpack[RuleFields]
    ) -> Rule:
        """One direction ends once so many octets were carried, the other goes on."""
        return self.rule(on, {"half_close": {"after_octets": after_octets, **_way(direction)}}, **more)

    def cut_after(self, octets: int, *, on: str = "connect", direction: str = "", **more: Unpack[RuleFields]) -> Rule:
        """The connection ends once exactly so many octets were carried."""
        return self.rule(on, {"cut_after": {"octets": octets, **_way(direction)}}, **more)

    def stall(
        self,
        *,
        on: str = "connect",
        after_octets: int = 0,
        for_s: Time | None = None,
        direction: str = "both",
        **more: Unpack[RuleFields],
    ) -> Rule:
        """Nothing more is carried, for so long or for good; the connection stays open."""
        fields = {"after_octets": after_octets, "direction": direction}
        return self.rule(on, {"stall": fields if for_s is None else {**fields, "for_s": for_s}}, **more)

    def latency(
        self,
        delay_s: Time,
        *,
        on: str = "connect",
        jitter_s: Time = 0.0,
        direction: str = "both",
        **more: Unpack[RuleFields],
    ) -> Rule:
        """Every octet arrives later."""
        fields = {"delay_s": delay_s, "jitter_s": jitter_s, "direction": direction}
        return self.rule(on, {"latency": fields}, **more)

    def bandwidth(
        self, octets_per_s: int, *, on: str = "connect", direction: str = "both", **more: Unpack[RuleFields]
    ) -> Rule:
        """A narrow line."""
        return self.rule(on, {"bandwidth": {"octets_per_s": octets_per_s, "direction": direction}}, **more)

    def slice(
        self,
        octets: int,
        *,
        on: str = "connect",
        variation: int = 0,
        gap_s: Time = 0.0,
        direction: str = "both",
        **more: Unpack[RuleFields],
    ) -> Rule:
        """Segments of so many octets, up to the variation more or less, with a gap between them."""
        fields = {"octets": octets, "variation": variation, "gap_s": gap_s, "direction": direction}
        return self.rule(on, {"slice": fields}, **more)

    def corrupt(
        self,
        *,
        on: str = "connect",
        after_octets: int = 0,
        octets: int = 1,
        mask: int = 0xFF,
        direction: str = "",
        **more: Unpack[RuleFields],
    ) -> Rule:
        """Octets arrive changed (by the mask, exclusive or): so many, once so many came through well."""
        fields = {"after_octets": after_octets, "octets": octets, "mask": mask, **_way(direction)}
        return self.rule(on, {"corrupt": fields}, **more)


@functools.cache
def _early(room: str, role: str, verb: str) -> bool:
    """Whether most clients have named no sandbox before that."""
    words = next(card.vocabulary for card in cards() if card.vocabulary is not None and card.vocabulary.room == room)
    return verb in EARLY or verb in words.nameless or role in words.early.get(verb, ())


def _way(direction: str) -> dict[str, str]:
    return {"direction": direction} if direction else {}
