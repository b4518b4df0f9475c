"""A gate over rules in memory, sessions to ask it, and a vocabulary of few words."""

from __future__ import annotations

import asyncio
from typing import Any

from portyard.commons.scenario.actions import Refuse
from portyard.commons.scenario.engine import Gate, SessionGate
from portyard.commons.scenario.model import Verdict
from portyard.commons.scenario.parsing import make_rule
from portyard.commons.scenario.vocabulary import ANSWERS, CONNECT, FAULTS, Field, Verb, Vocabulary
from tests.support.rules import MemoryRules

MAIL = Vocabulary(
    "mail",
    {
        "connect": Verb("", actions=CONNECT | {"persona"}),
        "rcpt": Verb("", {"recipient": Field("")}, ANSWERS | FAULTS, magic="recipient"),
        "vrfy": Verb("", {"recipient": Field("")}, frozenset({"delay"}), magic="recipient"),
    },
    roles=("msa", "mta"),
)
TO_BOB = {"recipient": "bob@x.test"}


class Talk:
    """A gate over rules, and sessions to ask it."""

    def __init__(self, *rules: Any, seed: int = 0, vocabulary: Vocabulary | None = MAIL) -> None:
        self.book = MemoryRules(seed)
        self.book.add(*rules)
        self.gate = Gate(self.book, seed)
        if vocabulary is not None:
            self.gate.learn(vocabulary)

    def session(self, name: str = "s1", **changes: Any) -> SessionGate:
        given = {"session": name, "peer": "10.0.0.1", "role": "mta", "port": "in", **changes}
        return self.gate.session("mail", **given)

    def ask(self, *fields: dict[str, Any], verb: str = "rcpt", **changes: Any) -> list[Verdict | None]:
        async def all_of_them() -> list[Verdict | None]:
            session = self.session(**changes)
            return [await session.ask(verb, **one) for one in fields]

        return asyncio.run(all_of_them())

    def fires(self, count: int, **changes: Any) -> list[bool]:
        return [verdict is not None for verdict in self.ask(*[TO_BOB] * count, **changes)]


def refuse(where: object = None, **fields: Any) -> Any:
    return make_rule("mail.rcpt", Refuse("550"), where=where or {}, **fields)
