"""Operations on the records that users write into a sandbox's zones. Data is checked before it is kept: what can't be served is refused."""

from __future__ import annotations

from http import HTTPStatus
from itertools import groupby
from typing import get_args

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import msgspec

from portyard.commons.records.sql import SqlRecords
from portyard.commons.sandbox.model import DEFAULT, Sandbox
from portyard.console import forms
from portyard.console.calls import Call, Route
from portyard.console.problems import ProblemError

TYPES: tuple[str, ...] = get_args(forms.RecordType)
_ALONE = "CNAME"  # RFC 1034 §3.6.2: no other data beside it


async def list_records(call: Call) -> list[forms.RecordSet]:
    """A sandbox's written records, by name and type."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return await _sets(await _store(call), sandbox.name)


async def add_records(call: Call) -> forms.RecordSet:
    """Write the records of one name and type; they take the place of what was written before."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    wanted: forms.NewRecords = call.body
    return await _write(call, sandbox, wanted.name, wanted.type, forms.RecordValues(wanted.values, wanted.ttl))


async def get_records(call: Call) -> forms.RecordSet:
    """The records of one name and type."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    found = await _sets(await _store(call), sandbox.name)
    return _find(found, call)


async def put_records(call: Call) -> forms.RecordSet:
    """Write the records of one name and type; they take the place of what was written before."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    return await _write(call, sandbox, call.path["name"], _type(call.path["type"]), call.body)


async def delete_records(call: Call) -> None:
    """Remove the records of one name and type."""
    sandbox = await call.desk.sandbox(call.path["sandbox"])
    store = await _store(call)
    found = _find(await _sets(store, sandbox.name), call)
    await store.replace(sandbox.name, found.name, found.type, found.ttl, [])


async def _store(call: Call) -> SqlRecords:
    return await SqlRecords.prepare(call.desk.yard.control_database)


async def _sets(store: SqlRecords, sandbox: str) -> list[forms.RecordSet]:
    grouped = groupby(await store.of(sandbox), lambda record: (record.name, record.type, record.ttl))
    return [forms.RecordSet(*key, [record.value for record in records]) for key, records in grouped]


async def _write(call: Call, sandbox: Sandbox, name: str, kind: str, wanted: forms.RecordValues) -> forms.RecordSet:
    owner = _name(name)
    await _check_owner(call, sandbox, owner)
    for place, value in enumerate(wanted.values):
        _check_value(kind, value, f"values[{place}]")
    if kind == _ALONE and len(wanted.values) > 1:
        raise _refused("values", wanted.values, "one name", "a CNAME has one value")
    store = await _store(call)
    beside = {each.type for each in await _sets(store, sandbox.name) if each.name == owner} - {kind}
    if beside and _ALONE in (kind, *beside):
        detail = f"{owner} has {' and '.join(sorted(beside))} already, and nothing stands beside a CNAME"
        raise ProblemError(HTTPStatus.CONFLICT, detail, key="type", value=kind, allowed=sorted(beside))
    await store.replace(sandbox.name, owner, kind, wanted.ttl, wanted.values)
    return forms.RecordSet(owner, kind, wanted.ttl, wanted.values)


def _name(text: str) -> str:
    """The absolute name in lower case without its final dot."""
    try:
        name = dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise _refused("name", text, "a domain name", str(error) or type(error).__name__) from None
    if name == dns.name.root:
        raise _refused("name", text, "a domain name", "the root is nobody's")
    return name.to_text(omit_final_dot=True).lower()


async def _check_owner(call: Call, sandbox: Sandbox, name: str) -> None:
    """A name below a sandbox's domain is that sandbox's; one that nobody owns is `default`'s to write."""
    labels = name.split(".")
    for start in range(len(labels)):
        owner = await call.desk.yard.sandboxes.owner(".".join(labels[start:]))
        if owner is not None:
            break
    else:
        owner = await call.desk.yard.sandboxes.get(DEFAULT)
    if owner is None or owner.name != sandbox.name:
        allowed = [f"names in {domain}" for domain in sandbox.domains]
        reason = f"this name is for sandbox {owner.name} to write" if owner else "this name is nobody's"
        raise _refused("name", name, allowed, reason)


def _check_value(kind: str, value: str, key: str) -> None:
    try:
        dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), value, origin=dns.name.root)
    except (dns.exception.DNSException, ValueError, UnicodeError, IndexError) as error:
        raise _refused(key, value, f"{kind} data in master file form", str(error) or type(error).__name__) from None


def _type(text: str) -> str:
    if text.upper() not in TYPES:
        raise _refused("type", text, list(TYPES), "no such type can be written")
    return text.upper()


def _find(found: list[forms.RecordSet], call: Call) -> forms.RecordSet:
    name, kind = call.path["name"].lower().removesuffix("."), call.path["type"].upper()
    for each in found:
        if (each.name, each.type) == (name, kind):
            return each
    known = [f"{each.name}/{each.type}" for each in found[:100]]
    raise ProblemError(
        HTTPStatus.NOT_FOUND, f"no {kind} records at {name}", key="name", value=f"{name}/{kind}", allowed=known
    )


def _refused(key: str, value: object, allowed: object, reason: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{key}: {reason}", key=key, value=value, allowed=allowed)


_RECORDS = "/sandboxes/{sandbox}/records"
_ONE = f"{_RECORDS}/{{name}}/{{type}}"
_SET: type[msgspec.Struct] = forms.RecordSet

ROUTES = (
    Route("GET", _RECORDS, list_records, "Written records by name and type", list[forms.RecordSet]),
    Route(
        "POST",
        _RECORDS,
        add_records,
        "Write the records of one name and type",
        _SET,
        body=forms.NewRecords,
        status=HTTPStatus.CREATED,
        refusals=(409,),
    ),
    Route("GET", _ONE, get_records, "The records of one name and type", _SET),
    Route(
        "PUT",
        _ONE,
        put_records,
        "Write the records of one name and type",
        _SET,
        body=forms.RecordValues,
        refusals=(409,),
    ),
    Route(
        "DELETE", _ONE, delete_records, "Remove the records of one name and type", None, status=HTTPStatus.NO_CONTENT
    ),
)
