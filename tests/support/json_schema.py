"""As much of a JSON Schema validator as our own schemas need; a word that it doesn't know is an error, never passed over."""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_TOLD = {"description", "title", "default", "$ref"}


def is_valid(value: Any, schema: dict[str, Any], components: dict[str, Any]) -> bool:
    """Whether a value is what a schema wants."""
    if "$ref" in schema and not is_valid(value, components[schema["$ref"].rpartition("/")[2]], components):
        return False
    return all(_holds(word, wanted, value, schema, components) for word, wanted in schema.items() if word not in _TOLD)


def _holds(word: str, wanted: Any, value: Any, schema: dict[str, Any], components: dict[str, Any]) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match word:
        case "type":
            return any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
        case "anyOf":
            return any(is_valid(value, way, components) for way in wanted)
        case "const":
            return type(value) is type(wanted) and value == wanted
        case "enum":
            return value in wanted
        case "required":
            return not isinstance(value, dict) or set(wanted) <= value.keys()
        case "properties":
            inner = value.items() if isinstance(value, dict) else ()
            return all(is_valid(one, wanted[name], components) for name, one in inner if name in wanted)
        case "additionalProperties":
            more = (
                [one for name, one in value.items() if name not in schema.get("properties", {})]
                if isinstance(value, dict)
                else []
            )
            return (
                all(is_valid(one, wanted, components) for one in more)
                if isinstance(wanted, dict)
                else wanted or not more
            )
        case "items":
            return not isinstance(value, list) or all(is_valid(one, wanted, components) for one in value)
        case "minItems" | "minProperties" | "minLength":
            return not isinstance(value, list | dict | str) or len(value) >= wanted
        case "minimum":
            return not number or value >= wanted
        case "exclusiveMinimum":
            return not number or value > wanted
        case "maximum":
            return not number or value <= wanted
    raise AssertionError(f"no such word: {word}")


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
