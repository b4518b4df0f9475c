"""The description of the API, OpenAPI 3.1, made of the table of routes and the types that it names. Nothing in it is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

import portyard
from portyard.commons.scenario.schema import rule_schemas
from portyard.console.calls import JSON, Route
from portyard.console.journal import SSE
from portyard.console.problems import MEDIA_TYPE, names_of
from portyard.console.routes import ROUTES
from portyard.console.rules import RULE
from portyard.console.shapes import Problem

_REF = "#/components/schemas/{name}"
_VARIABLE = re.compile(r"\{(\w+)\}")
_ONWARD = frozenset({"cursor", "after"})  # parameters that an answer's Link field leads on by
_ALWAYS = (400, 401, 403, 421)  # a key that isn't known, the token, a page of another site, a name that isn't ours
_MEANS = {
    "sandbox": "A sandbox's name.",
    "id": "An id that the list shows.",
    "address": "An account's address, or its local part in the sandbox's first domain.",
    "account": "An account's address, or its local part in the sandbox's first domain.",
    "path": "A path below the account's root; it may hold slashes.",
    "part": "A part's number, such as 2.1.",
    "name": "A domain name.",
    "type": "A record type, such as TXT.",
    "service": "A service's name, such as mta.",
    "room": "A room that has personas.",
    "persona": "A persona's name.",
}


@cache
def description() -> dict[str, Any]:
    """The whole description."""
    schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portyard control API",
            "version": "1",
            "description": (portyard.__doc__ or "").strip() or "Steers and shows a testbed of protocol servers.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": _problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> dict[str, Any]:
    types = list(dict.fromkeys([*_json_types(), Problem]))
    _, found = msgspec.json.schema_components(types, ref_template=_REF)
    found = {name: _told(schema) for name, schema in found.items()}
    rules = rule_schemas(_REF)
    shown = found.pop("Rule")  # as it is shown; as it is set it has the name that people know
    assert not found.keys() & rules.keys() - {"Rule"}, "two types of one name would be taken for each other"
    taken = {"SetRule" if name == "Rule" else name: schema for name, schema in rules.items()}
    return dict(sorted({**found, "Rule": shown, **taken}.items()))


def _json_types() -> Iterable[Any]:
    for route in ROUTES:
        if JSON in route.media_types and not isinstance(route.response, tuple):
            yield route.response
        if route.body is not None:
            yield route.body


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type that msgspec knows
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _operation(route: Route) -> dict[str, Any]:
    said = (route.operation.__doc__ or "").strip().partition("\n")[0]
    found: dict[str, Any] = {
        "operationId": getattr(route.operation, "__name__", "") + ("_root" if _is_twin(route) else ""),
        "summary": route.summary,
        "description": said,
        "tags": [_tag(route)],
    }
    if parameters := [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)]:
        found["parameters"] = parameters
    if body := _request_body(route):
        found["requestBody"] = body
    found["responses"] = _responses(route)
    return found


def _is_twin(route: Route) -> bool:
    """Whether another path has the same operation, and comes later in the table."""
    same = [each for each in ROUTES if each.operation is route.operation]
    return same[-1] is not route


def _tag(route: Route) -> str:
    parts = route.path.split("/")
    return parts[3] if len(parts) > 3 else parts[1]


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _MEANS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in _VARIABLE.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    _, found = msgspec.json.schema_components([route.query], ref_template=_REF)
    schema = found[route.query.__name__]
    told = {
        name: says for each in reversed(route.query.__mro__) for name, says in _attributes(each.__doc__ or "").items()
    }
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            **({"description": told[name]} if name in told else {}),
            "schema": _without_null(field),
        }
        for name, field in schema["properties"].items()
    ]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.response != SSE:
        return []
    says = "The id of the last event that was heard: what came behind it comes first."  # as a browser asks again
    return [
        {"name": "Last-Event-ID", "in": "header", "required": False, "description": says, "schema": {"type": "string"}}
    ]


def _attributes(text: str) -> dict[str, str]:
    """What a docstring says of each attribute."""
    lines = re.findall(r"^\s+(\w+): (.+)$", text.partition("Attributes:")[2], re.MULTILINE)
    return {name.rstrip("_"): says for name, says in lines}


def _told(schema: dict[str, Any]) -> dict[str, Any]:
    """A type's schema, its docstring told where its parts are."""
    text = schema.get("description", "")
    said = _attributes(text)
    properties = {
        name: _typed({"description": said[name], **field} if name in said else field)
        for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "description": text.partition("\n\n")[0].strip(), "properties": properties}


def _typed(field: dict[str, Any]) -> dict[str, Any]:
    """A field whose only value is true, told to be boolean: makers of clients want a type beside an enum."""
    if field.get("enum") == [True]:
        return {**field, "type": "boolean"}
    return {**field, "anyOf": [_typed(way) for way in field["anyOf"]]} if "anyOf" in field else field


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out: no text means null."""
    ways = [way for way in field.get("anyOf", ()) if way != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
    if "anyOf" in field:
        return {**rest, **ways[0]} if len(ways) == 1 else {**rest, "anyOf": ways}
    default = {} if field.get("default") is None else {"default": field["default"]}
    return {**rest, **default}


def _request_body(route: Route) -> dict[str, Any] | None:
    if route.body is not None:
        return {"required": True, "content": {JSON: {"schema": _schema(route.body)}}}
    if not route.reads:
        return None
    return {"required": True, "content": {media: {"schema": _read(kind, route)} for media, kind in route.reads.items()}}


def _read(kind: Any, route: Route) -> dict[str, Any]:  # noqa: ANN401 - as `Route.reads` has it
    if kind == RULE:
        one = {"$ref": _REF.format(name="SetRule")}
        return one if route.method == "PUT" else {"oneOf": [one, {"type": "array", "items": one}]}
    if isinstance(kind, dict):
        return kind
    return {} if kind is bytes else {"type": "string"}


def _responses(route: Route) -> dict[str, Any]:
    refusals = {*_ALWAYS, *route.refusals}
    if "{" in route.path:
        refusals |= {404}
    if route.body is not None or route.reads or route.query.__struct_fields__:
        refusals |= {422}
    if route.body is not None or route.reads or route.method != "GET":
        refusals |= {413}
    if route.path.endswith("known_hosts"):
        refusals |= {404}
    told = {str(status): _success(route, status) for status in (int(route.status), *route.also)}
    problem = {"$ref": "#/components/responses/Problem"}
    return {**told, **{str(status): problem for status in sorted(refusals - set(route.also))}, "default": problem}


def _success(route: Route, status: int) -> dict[str, Any]:
    if not route.media_types:
        return {"description": HTTPStatus(status).phrase}
    content: dict[str, Any] = {}
    for media in route.media_types:
        alone = media == JSON and not isinstance(route.response, tuple)
        content[media] = {"schema": _schema(route.response) if alone else {}}
    told = {"description": route.summary, "content": content}
    if not _ONWARD.isdisjoint(names_of(route.query)):
        says = 'Where more follows, the next page: `<…>; rel="next"` (RFC 8288).'
        told["headers"] = {"Link": {"description": says, "schema": {"type": "string"}}}
    return told


def _problem() -> dict[str, Any]:
    return {
        "description": "What went wrong, and what is allowed (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": _schema(Problem)}},
    }
