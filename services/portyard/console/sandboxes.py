"""Operations on sandboxes: their life, their accounts, their time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import Literal

from portyard.commons.accounts import model as accounts
from portyard.commons.clock import ClockError, Setting
from portyard.commons.clocks import SqlClocks
from portyard.commons.durations import ALLOWED as DURATIONS
from portyard.commons.durations import parse_duration
from portyard.commons.sandbox import model as sandboxes
from portyard.commons.yard import Yard
from portyard.console import forms, shapes
from portyard.console.calls import Call, Route
from portyard.console.problems import ProblemError

_KEYS = ["freeze", "advance", "real"]


async def list_sandboxes(call: Call) -> list[forms.Sandbox]:
    """Every sandbox."""
    return [shown(each) for each in await call.desk.yard.sandboxes.list()]


async def create_sandbox(call: Call) -> forms.Sandbox:
    """Make a sandbox."""
    wanted: forms.NewSandbox = call.body
    made = await call.desk.yard.sandboxes.create(
        wanted.name,
        capture=wanted.capture,
        domains=wanted.domains,
        default_password=wanted.default_password,
        magic=wanted.magic,
    )
    return shown(made)


async def get_sandbox(call: Call) -> forms.Sandbox:
    """One sandbox."""
    return shown(await call.desk.sandbox(call.path["sandbox"]))


async def change_sandbox(call: Call) -> forms.Sandbox:
    """Change a sandbox's capture, domains, default password or magic switch; what isn't given stays."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: forms.SandboxChanges = call.body
    changed = await call.desk.yard.sandboxes.change(
        sandbox.name,
        capture=wanted.capture,
        domains=wanted.domains,
        default_password=wanted.default_password,
        magic=wanted.magic,
    )
    return shown(changed)


async def delete_sandbox(call: Call) -> None:
    """Remove a sandbox with all that it owns."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    if sandbox.name == sandboxes.DEFAULT:
        detail = "default always exists; reset it"
        raise ProblemError(HTTPStatus.CONFLICT, detail, key="sandbox", value=sandbox.name, allowed="any other sandbox")
    await call.desk.yard.sandboxes.delete(sandbox.name)


async def reset_sandbox(call: Call) -> forms.Sandbox:
    """Empty a sandbox: mail, files, rules, journal and clock go, accounts and domains stay."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return shown(await call.desk.yard.sandboxes.reset(sandbox.name))


def shown(sandbox: sandboxes.Sandbox) -> forms.Sandbox:
    """A sandbox as the API shows it."""
    capture: forms.Capture = "own" if sandbox.capture == "own" else "any"
    return forms.Sandbox(sandbox.name, sandbox.generation, capture, sandbox.domains, sandbox.magic)


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_accounts(call: Call) -> list[shapes.Account]:
    """A sandbox's accounts by address."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return [_account(account) for account in await call.desk.yard.accounts.list(sandbox.name)]


async def create_account(call: Call) -> shapes.Account:
    """Make an account."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: shapes.NewAccount = call.body
    address = wanted.name if "@" in wanted.name or not sandbox.domains else f"{wanted.name}@{sandbox.domains[0]}"
    password = sandbox.default_password if wanted.password is None else wanted.password
    try:
        account = await call.desk.yard.accounts.create(sandbox.name, address, password, wanted.public_keys)
    except accounts.AccountTakenError as error:
        allowed = "a name that no account of the sandbox has"
        raise ProblemError(HTTPStatus.CONFLICT, str(error), key="name", value=wanted.name, allowed=allowed) from None
    except sandboxes.NoSuchSandboxError:
        raise
    except ValueError as error:
        allowed = "a local part, or local-part@domain"
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, str(error), key="name", value=wanted.name, allowed=allowed
        ) from None
    return _account(account)


async def delete_account(call: Call) -> None:
    """Remove an account with its mail and files: nobody may log in before they go."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    account = await call.desk.account(sandbox, call.path["address"])
    yard = call.desk.yard
    await yard.accounts.delete(sandbox.name, account.address)
    await yard.mail.forget(account.id)
    await asyncio.to_thread(yard.files.forget, account)


def _account(account: accounts.Account) -> shapes.Account:
    return shapes.Account(account.local_part, account.address, account.sandbox, account.public_keys)


# ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def get_clock(call: Call) -> forms.ClockState:
    """A sandbox's time."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    await call.desk.yard.clocks.refresh()
    return clock_state(call.desk.yard, sandbox.name)


async def set_clock(call: Call) -> forms.ClockState:
    """Freeze a sandbox's clock, move it on, or let it be the machine's again."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: forms.ClockChange = call.body
    given = [name for name in _KEYS if getattr(wanted, name) is not None]
    if len(given) != 1:
        detail = f"one of {', '.join(_KEYS)} is wanted"
        key = given[1] if given else "body"
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, key=key, value=given or {}, allowed=_KEYS)
    try:
        await _set(call.desk.yard.clocks, sandbox.name, wanted)
    except ClockError as error:  # tell the value as it was given
        value = wanted.freeze if error.key == "freeze" else wanted.advance
        raise ClockError(error.key, value, error.allowed, error.reason) from None
    return clock_state(call.desk.yard, sandbox.name)


async def _set(clocks: SqlClocks, sandbox: str, wanted: forms.ClockChange) -> None:
    if wanted.freeze is not None:
        await clocks.freeze(sandbox, clocks.now(sandbox) if wanted.freeze is True else wanted.freeze)
    elif wanted.advance is not None:
        await clocks.advance(sandbox, _duration(wanted.advance))
    else:
        await clocks.run_real(sandbox)


def _duration(value: str | float) -> timedelta:
    try:
        return timedelta(seconds=parse_duration(value))
    except (ValueError, OverflowError):
        raise ClockError("advance", value, DURATIONS, "no duration") from None


def clock_state(yard: Yard, sandbox: str) -> forms.ClockState:
    """A sandbox's time as the API shows it."""
    setting, machine = yard.clocks.setting(sandbox), yard.clock.now()
    if setting.frozen is not None:
        return forms.ClockState(setting.frozen, "frozen", 0.0, machine)
    mode: Literal["real", "ahead"] = "real" if setting == Setting() else "ahead"
    return forms.ClockState(setting.at(machine), mode, setting.ahead.total_seconds(), machine)


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_ONE = "/sandboxes/{sandbox}"
_GONE = HTTPStatus.NO_CONTENT

ROUTES = (
    Route("GET", "/sandboxes", list_sandboxes, "Every sandbox", list[forms.Sandbox]),
    Route(
        "POST",
        "/sandboxes",
        create_sandbox,
        "Make a sandbox; it owns <name>.test",
        forms.Sandbox,
        body=forms.NewSandbox,
        status=HTTPStatus.CREATED,
        refusals=(409,),
    ),
    Route("GET", _ONE, get_sandbox, "One sandbox", forms.Sandbox),
    Route("PATCH", _ONE, change_sandbox, "Change a sandbox", forms.Sandbox, body=forms.SandboxChanges, refusals=(409,)),
    Route(
        "DELETE", _ONE, delete_sandbox, "Remove a sandbox with all that it owns", None, status=_GONE, refusals=(409,)
    ),
    Route("POST", f"{_ONE}/reset", reset_sandbox, "Empty a sandbox; accounts and domains stay", forms.Sandbox),
    Route("GET", f"{_ONE}/accounts", list_accounts, "Accounts by address", list[shapes.Account]),
    Route(
        "POST",
        f"{_ONE}/accounts",
        create_account,
        "Make an account",
        shapes.Account,
        body=shapes.NewAccount,
        status=HTTPStatus.CREATED,
        refusals=(409,),
    ),
    Route(
        "DELETE",
        f"{_ONE}/accounts/{{address}}",
        delete_account,
        "Remove an account with its mail and files",
        None,
        status=_GONE,
    ),
    Route("GET", f"{_ONE}/clock", get_clock, "A sandbox's time", forms.ClockState),
    Route(
        "POST", f"{_ONE}/clock", set_clock, "Freeze, advance, or back to real", forms.ClockState, body=forms.ClockChange
    ),
)
