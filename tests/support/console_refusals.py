"""A console with a sandbox to refuse things in, and all of it that a refusal must leave as it was."""

from __future__ import annotations

from tests.support.console import Console

RULES = "sandboxes/t1/rules"
STANDING = {"name": "standing", "on": "pop3.stat", "then": {"refuse": "-ERR later"}}
TOML = {"Content-Type": "application/toml"}


async def whole_state(client: Console) -> list[object]:
    """What a refusal leaves as it was."""
    return [await client.get("sandboxes"), await client.get(RULES), await client.get("sandboxes/t1/accounts")]


async def furnished(client: Console) -> list[object]:
    """Make the sandbox, a rule and an account in it; the whole state."""
    await client.ask("POST", "sandboxes", 201, {"name": "t1"})
    await client.ask("POST", RULES, 201, STANDING)
    await client.ask("POST", "sandboxes/t1/accounts", 201, {"name": "u1"})
    return await whole_state(client)
