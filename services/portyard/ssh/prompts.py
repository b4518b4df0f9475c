"""Keyboard-interactive (RFC 4256): the password's prompt, or the prompts that a rule's script asks one after the other.

`say` is a prompt, `send` an instruction above the next ones, `expect` what an answer must be; after the last step the login is good.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from portyard.commons.scenario.actions import Action, Delay, Expect, HangUp, Refuse, Say, Send, Silence
from portyard.commons.scenario.patterns import parse_pattern

if TYPE_CHECKING:
    from portyard.ssh.link import Link

PROMPT = "Password: "

Challenge = tuple[str, str, str, list[tuple[str, bool]]]


class Prompts:
    """One keyboard-interactive login.

    Args:
        link: The connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._steps: deque[Action] | None = None

    async def begin(self, login: str) -> Challenge | bool:
        """The first prompts; False for a failure."""
        verdict = await self._link.judged("prompt", login=login) if self._link.armed else None
        self._steps = None
        if verdict is None:
            return _ask(PROMPT)
        if verdict.script is not None:
            self._steps = deque(verdict.script)
            return await self._go_on()
        if verdict.say is not None:
            return _ask(verdict.say)
        if verdict.refuse is not None:
            self._link.send_auth_banner(verdict.refuse + "\n")
        if self._link.end_as(verdict) or verdict.refuse is not None:
            return False
        return _ask(PROMPT)

    async def answer(self, login: str, responses: Sequence[str]) -> Challenge | bool:
        """What follows the answers: more prompts, or the outcome."""
        if self._steps is None:
            return len(responses) == 1 and await self._link.check_password(login, responses[0])
        for response in responses:
            if self._steps and isinstance(self._steps[0], Expect):
                step = self._steps.popleft()
                assert isinstance(step, Expect)
                if not parse_pattern(step.text).matches(response):
                    return False
        return await self._go_on()

    async def _go_on(self) -> Challenge | bool:
        """The next prompts, or the outcome after the last."""
        assert self._steps is not None
        instruction, prompts = "", list[tuple[str, bool]]()
        while self._steps:
            step = self._steps[0]
            if prompts and not isinstance(step, Say):
                break
            self._steps.popleft()
            match step:
                case Say(text):
                    prompts.append((text, False))
                case Send(text):
                    instruction += text
                case Delay(delay_s):
                    await asyncio.sleep(delay_s)
                case Refuse():
                    return False
                case Silence():
                    self._link.hush()
                    return False
                case HangUp():
                    self._link.hang_up()
                    return False
        return ("", instruction, "", prompts) if prompts else self._link.account is not None


def _ask(prompt: str) -> Challenge:
    """One prompt, without echo (RFC 4256 §3.2)."""
    return "", "", "", [(prompt, False)]
