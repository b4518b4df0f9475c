"""What rules may mean of one connection's exchanges, known by one look at each request.

Mostly no rule means a request, nor an answer to it that has the last one's status: then all that may be asked until the answer is out is
known before it is dealt with. On a kept connection mostly the path alone is another, and nothing but the path is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from portyard.commons.scenario.engine import SessionGate, Stamp
from portyard.commons.scenario.glance import Glance
from portyard.commons.scenario.model import Scalar

ANSWER: Final = ("response", "headers", "body")
"""What may be asked of an answer, whatever the room."""
Describe = Callable[[web.Request], tuple[str, dict[str, Scalar]]]
"""Tells a request's verb and fields."""


class Outlook:
    """Of one connection.

    Args:
        gate: Its session's.
        verbs: Those that a request may have.
        describe: A request's verb and fields; what isn't its method or its target is told by its header fields alone.

    Attributes:
        status: The last answer's.
        foreseen: The rules' stamp as of which none of them means the last request, nor an answer with that status, of which no octet of
            the body is out; None where one may, and until a request was looked at.
    """

    __slots__ = ("_came", "_describe", "_exchange", "_gate", "_glance", "_headers", "_verbs", "foreseen", "status")

    def __init__(self, gate: SessionGate, verbs: tuple[str, ...], describe: Describe) -> None:
        self._gate = gate
        self._verbs = verbs
        self._exchange = (*verbs, *ANSWER)
        self._describe = describe
        self._came: object = None  # the last request's header fields
        self._headers: object = None  # stands for them where they are remembered
        self._glance: Glance[web.Request] | None = None
        self.foreseen: Stamp | None = None
        self.status = 200

    def minds(self, request: web.Request, came: object) -> bool:
        """Whether a rule may mean a request; each brings its own credentials.

        Args:
            request: It.
            came: Its header fields, the same object for as long as they are the same.
        """
        gate = self._gate
        if not gate.armed:
            return False
        gate.account = ""
        if self._may_mean(request, came):
            return gate.heeds(self._verbs, lambda: self._describe(request)[1])
        self.foreseen = gate.stamp
        return False

    def _may_mean(self, request: web.Request, came: object) -> bool:
        """Whether a rule may mean anything of an exchange."""
        message = request._message
        target, method = message.path, message.method
        if came is not self._came:
            self._came, self._headers = came, object()
        elif is_plain(target):
            if self._glance is None:
                self._glance = Glance(self._gate, self._exchange, "path", None, self._fields)
            return self._glance.heeds(request, target, (method, self.status, self._headers))
        asked = target, method, self.status, came
        return self._gate.heeds(self._exchange, partial(self._fields, request), None, asked)

    def _fields(self, request: web.Request) -> dict[str, Scalar]:
        """All that rules may see of an exchange: one that isn't met by these fields isn't met by some of them either."""
        _, fields = self._describe(request)
        fields["status"], fields["octets"] = self.status, 0
        return fields


def is_plain(target: str) -> bool:
    """Whether a request's target is a path and nothing else, as rules see it."""
    return target[:1] == "/" and "%" not in target and "?" not in target and "#" not in target


def path_of(request: web.BaseRequest) -> str:
    """A request's path, percent-encoding undone."""
    target: str = request._message.path
    return target if is_plain(target) else request.path
