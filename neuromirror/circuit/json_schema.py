"""The format of circuit files as a JSON Schema, with which editors complete and check them while they are written."""

from __future__ import annotations

from typing import Any

from neuromirror.circuit.description import SCHEMA, Description

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of circuit files.

    Returns
    -------
    dict
        Every table and field with its type and default. Names that nothing defines and shapes that do not fit are
        found by ``neuromirror check`` alone. Of a file that ``extends`` another nothing is required.
    """
    schema = Description.model_json_schema(by_alias=True)
    name = {"type": "string"}
    beneath = {
        "description": "A circuit file, or a shipped circuit, of which this one states the differences.",
        "anyOf": [
            name,
            {
                "type": "object",
                "properties": {
                    "circuit": {"type": "string"},
                    "without": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["circuit"],
                "additionalProperties": False,
            },
        ],
    }
    required, whole_properties = schema.pop("required"), schema["properties"]
    del whole_properties["schema"]["default"]  # a file that does not say is of version 1
    whole_definitions = schema["$defs"]
    schema["$defs"] = {**whole_definitions, **{f"{n}{_PART}": _part(one) for n, one in whole_definitions.items()}}
    schema["properties"] = {"extends": beneath, **_part(whole_properties)}
    described = {"title": f"neuromirror circuit file, version {SCHEMA}", "description": "See docs/circuit-file.md."}
    whole = {"if": {"not": {"required": ["extends"]}}, "then": {"required": required, "properties": whole_properties}}
    return {"$schema": DIALECT, **schema, **described, **whole}


_PART = "InPart"
"""What the names of definitions end with of which nothing is required."""


def _part(schema: Any) -> Any:
    """Return a schema that requires nothing, as the tables of a file that extends another, down to the innermost."""
    if isinstance(schema, list):
        return [_part(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _part(one) for key, one in schema.items() if not (key == "required" and isinstance(one, list))}
    if isinstance(found.get("$ref"), str):
        found["$ref"] += _PART
    if isinstance(found.get("discriminator"), dict):
        mapping = found["discriminator"].get("mapping", {})
        found["discriminator"] = {**found["discriminator"], "mapping": {k: v + _PART for k, v in mapping.items()}}
    return found
