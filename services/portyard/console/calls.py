"""What an operation is given, and how the table of routes describes it: as data, so that a description of the API can be made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from portyard.commons.accounts.model import Account
from portyard.commons.hints import did_you_mean
from portyard.commons.sandbox.model import Sandbox
from portyard.commons.yard import Yard
from portyard.console.problems import ProblemError
from portyard.console.shapes import Nothing

if TYPE_CHECKING:  # what runs in this process is answered before the library is there
    from aiohttp import web

    from portyard.console.queries import Found, MailQueries

JSON = "application/json"
MOST_ALLOWED = 100  # names that a refusal lists


@dataclass(frozen=True)
class Desk:
    """What every operation has at hand."""

    yard: Yard

    @cached_property
    def queries(self) -> MailQueries:
        """What is asked of mailboxes; imported when it is asked."""
        from portyard.console.queries import MailQueries

        return MailQueries(self.yard)

    async def sandbox(self, name: str) -> Sandbox:
        """The sandbox of that name.

        Raises:
            ProblemError: 404, there is none.
        """
        found = await self.yard.sandboxes.get(name)
        if found is None:
            names = [sandbox.name for sandbox in await self.yard.sandboxes.list()]
            detail = f"no sandbox {name}{did_you_mean(name, names)}"
            raise ProblemError(HTTPStatus.NOT_FOUND, detail, key="sandbox", value=name, allowed=names[:MOST_ALLOWED])
        return found

    async def account(self, sandbox: Sandbox, name: str) -> Account:
        """A sandbox's account by its address, or by its local part in the sandbox's first domain.

        Raises:
            ProblemError: 404, there is none.
        """
        address = name if "@" in name or not sandbox.domains else f"{name}@{sandbox.domains[0]}"
        found = await self.yard.accounts.by_address(sandbox.name, address)
        if found is None:
            known = [account.address for account in (await self.yard.accounts.list(sandbox.name))[:MOST_ALLOWED]]
            detail = f"no account {name} in sandbox {sandbox.name}"
            raise ProblemError(HTTPStatus.NOT_FOUND, detail, key="address", value=name, allowed=known)
        return found

    async def message(self, sandbox: str, message_id: str) -> Found:
        """A sandbox's message.

        Raises:
            ProblemError: 404, there is none.
        """
        owner = await self.sandbox(sandbox)
        found = await self.queries.find(owner.name, message_id)
        if found is None:
            detail = f"no message {message_id} in sandbox {sandbox}"
            raise ProblemError(
                HTTPStatus.NOT_FOUND, detail, key="id", value=message_id, allowed="an id that the list shows"
            )
        return found


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood.

    Attributes:
        desk: See Desk.
        path: The path's variables.
        query: The route's query struct.
        body: The route's body struct; None where it takes none.
        octets: The body as it came, where it isn't streamed.
        media_type: What the body is said to be.
        target: Path and query as they were asked for.
        wire: The request on its connection, for what streams; None for a caller in this process.
    """

    desk: Desk
    path: Mapping[str, str]
    query: Any
    body: Any
    octets: bytes
    media_type: str
    target: str
    wire: web.Request | None = None

    @property
    def request(self) -> web.Request:
        """The request on its connection. Only routes that say `streams` are sure to have one."""
        assert self.wire is not None
        return self.wire

    def link(self, **changes: object) -> dict[str, str]:
        """A Link field that leads to the next page (RFC 8288 §3): the same target with these parameters changed."""
        path, _, query = self.target.partition("?")
        given = {**dict(parse_qsl(query, keep_blank_values=True)), **changes}
        return {"Link": f'<{path}?{urlencode(given)}>; rel="next"'}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that isn't plain JSON with the route's status."""

    body: bytes
    media_type: str
    headers: Mapping[str, str]


Operation = Callable[[Call], Awaitable[Any]]
"""Answers with a struct, a list or dict of them, an Answer, nothing, or a response that it has streamed."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    Attributes:
        method: GET, POST, PUT, PATCH or DELETE.
        path: Below `/api/v1`, variables in braces; `{path}` takes slashes, too.
        operation: What answers.
        summary: One line.
        response: The type of a successful answer's JSON; media types where it isn't JSON; None for 204.
        query: The type of its query parameters.
        body: The type of its JSON body, read and checked before the operation is called.
        reads: Where the operation reads the body by itself: a schema by media type.
        status: Of a successful answer.
        refusals: The statuses with which it may be refused, beside those that every operation may be.
        also: Further statuses with the same body as a successful answer.
        streams: It reads or writes the connection by itself.
    """

    method: str
    path: str
    operation: Operation
    summary: str
    response: Any
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    reads: Mapping[str, Any] = field(default_factory=dict)
    status: HTTPStatus = HTTPStatus.OK
    refusals: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    streams: bool = False

    @property
    def media_types(self) -> tuple[str, ...]:
        """Of a successful answer; none for 204."""
        if self.response is None:
            return ()
        if isinstance(self.response, str):
            return (self.response,)
        if isinstance(self.response, tuple):
            return self.response
        return (JSON,)
