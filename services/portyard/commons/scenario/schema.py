"""The JSON Schema of a rule, made of the types: what the description of the API shows. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from portyard.commons.scenario.actions import ACTIONS, Action, Kind, Script, Spec
from portyard.commons.scenario.model import Rule

_DURATION = {"type": "string", "description": 'Such as "150ms", "2s", "1h30m".'}
_PATTERN = {"type": ["string", "number", "boolean"]}
_ON = {"type": "string", "description": 'room.verb, such as "*.connect"; * stands for any letters.'}


def rule_schemas(ref_template: str = "#/components/schemas/{name}") -> dict[str, dict[str, Any]]:
    """The schemas by name: "Rule", "Then", "Step" and one for each action.

    Args:
        ref_template: How one refers to another.
    """
    kinds = [spec.type for spec in ACTIONS.values() if spec.type is not Script]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=ref_template)
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if name.endswith("_s") and not name.endswith("_per_s"):
                schema["properties"][name] = {"anyOf": [field, _DURATION], **_default(field)}

    def ref(name: str) -> dict[str, Any]:
        return {"$ref": ref_template.format(name=name)}

    def table(names: list[str], summary: str) -> dict[str, Any]:
        properties = {name: _asked(ACTIONS[name], schemas, ref) for name in names}
        return {
            "type": "object",
            "description": summary,
            "properties": properties,
            "minProperties": 1,
            "additionalProperties": False,
        }

    steps = [name for name, spec in ACTIONS.items() if spec.step]
    wholes = [name for name, spec in ACTIONS.items() if spec.kind is not Kind.STEP]
    found = {name: schema for name, schema in schemas.items() if name != Action.__name__}
    found["Step"] = table(steps, "One step of a script.")
    found["Then"] = table(wholes, "What is done. Where there are several, a wait comes first; a list keeps its order.")
    found["Rule"] = _rule(ref)
    return dict(sorted(found.items()))


def _asked(spec: Spec, schemas: dict[str, Any], ref: Any) -> dict[str, Any]:  # noqa: ANN401 - a function of one name
    """How an action may be asked for: `true`, its one value, or its fields."""
    summary = {"description": (spec.type.__doc__ or "").partition("\n")[0]}
    if spec.type is Script:
        return {"type": "array", "items": ref("Step"), "minItems": 1, **summary}
    schema = schemas[spec.type.__name__]
    ways: list[dict[str, Any]] = [] if schema.get("required") else [{"const": True}]
    if spec.bare is not None:
        bare = {key: value for key, value in schema["properties"][spec.bare].items() if key != "default"}
        ways.append({"type": ["string", "integer"]} if spec.bare == "reply" else bare)
    return {"anyOf": [*ways, ref(spec.type.__name__)], **summary}


def _rule(ref: Any) -> dict[str, Any]:  # noqa: ANN401 - a function of one name
    _, schemas = msgspec.json.schema_components([Rule])
    counts = {
        name: field for name, field in schemas["Rule"]["properties"].items() if name not in ("on", "then", "where")
    }
    patterns = {"anyOf": [_PATTERN, {"type": "array", "items": _PATTERN, "minItems": 1}]}
    return {
        "type": "object",
        "description": (Rule.__doc__ or "").partition("\n")[0],
        "properties": {
            "on": _ON,
            **counts,
            "where": {"type": "object", "additionalProperties": patterns, "default": {}},
            "then": {"anyOf": [ref("Then"), {"type": "array", "items": ref("Then"), "minItems": 1}]},
        },
        "required": ["on", "then"],
        "additionalProperties": False,
    }


def _default(field: dict[str, Any]) -> dict[str, Any]:
    return {"default": field.pop("default")} if "default" in field else {}
