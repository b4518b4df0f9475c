"""Operations on a sandbox's leases: listeners of its own, for faults before any protocol has named a sandbox."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import msgspec

from portyard.commons.directory import entry_fields
from portyard.commons.hints import did_you_mean
from portyard.commons.leasing.model import Lease
from portyard.commons.leasing.store import COUNTER, SqlLeases
from portyard.console import forms, shapes
from portyard.console.calls import Call, Desk, Route
from portyard.console.problems import ProblemError
from portyard.rooms import cards

OPENING_S = 10.0  # how long a service may take to open the listeners: a busy machine's import of a room included


def leasable() -> dict[str, str]:
    """The room of each service of which listeners can be leased, by the service's name."""
    return {
        service.name: card.name
        for card in cards()
        for service in card.services
        if service.journalled and any(port.transport == "tcp" for port in service.ports)
    }


async def list_leases(call: Call) -> list[forms.Lease]:
    """A sandbox's leases by service."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return [shown(lease) for lease in await SqlLeases(call.desk.yard.control_database).of(sandbox.name)]


async def take_lease(call: Call) -> forms.Lease:
    """Open listeners of a service for this sandbox alone; they accept when the answer comes. Asked again, the same ones."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: forms.NewLease = call.body
    known = sorted(leasable())
    if wanted.service not in known:
        detail = f"service: no listeners of {wanted.service} can be leased{did_you_mean(wanted.service, known)}"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, key="service", value=wanted.service, allowed=known)
    lease = await _opened(call.desk, sandbox.name, wanted.service)
    if lease is None:
        detail = f"service: {wanted.service} has not answered within {OPENING_S:.0f} s; is it up?"
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, key="service", value=wanted.service)
    if lease.failure:
        raise ProblemError(
            HTTPStatus.CONFLICT, f"service: {lease.failure}", key="service", value=wanted.service, allowed=known
        )
    return shown(lease)


async def give_back(call: Call) -> None:
    """Close a lease's listeners; connections that stand go on."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    service = call.path["service"]
    if not await SqlLeases(call.desk.yard.control_database).give_back(sandbox.name, service):
        mine = [lease.service for lease in await SqlLeases(call.desk.yard.control_database).of(sandbox.name)]
        detail = f"no lease of {service} in sandbox {sandbox.name}"
        raise ProblemError(HTTPStatus.NOT_FOUND, detail, key="service", value=service, allowed=mine)


async def _opened(desk: Desk, sandbox: str, service: str) -> Lease | None:
    """The lease once its service has opened or refused it; None when it stays silent.

    Raises:
        ProblemError: 404, the sandbox was deleted meanwhile; 409, the lease was given back.
    """
    leases = SqlLeases(desk.yard.control_database)
    watch = desk.yard.watcher.watch_counter(COUNTER)
    try:
        lease = await leases.want(sandbox, service)
        async with asyncio.timeout(OPENING_S):
            while lease.pending:
                await watch.__anext__()
                mine = [each for each in await leases.of(sandbox) if each.service == service]
                if not mine:
                    await desk.sandbox(sandbox)  # where that is gone, it is what is wrong
                    detail = f"service: the lease of {service} was given back before its listeners were open"
                    raise ProblemError(HTTPStatus.CONFLICT, detail, key="service", value=service, allowed="ask again")
                lease = mine[0]
        return lease
    except TimeoutError:
        await leases.give_back(sandbox, service)
        return None
    finally:
        await watch.aclose()


def shown(lease: Lease) -> forms.Lease:
    """A lease as the API shows it."""
    found = lease.endpoints if lease.accepts else ()
    endpoints = [msgspec.convert(entry_fields(endpoint), shapes.Endpoint) for endpoint in found]
    return forms.Lease(lease.service, endpoints, lease.failure)


_LEASES = "/sandboxes/{sandbox}/leases"

ROUTES = (
    Route("GET", _LEASES, list_leases, "Listeners of this sandbox's own", list[forms.Lease]),
    Route(
        "POST",
        _LEASES,
        take_lease,
        "Open listeners of a service for this sandbox alone",
        forms.Lease,
        body=forms.NewLease,
        status=HTTPStatus.CREATED,
        refusals=(409, 503),
    ),
    Route("DELETE", f"{_LEASES}/{{service}}", give_back, "Close them", None, status=HTTPStatus.NO_CONTENT),
)
