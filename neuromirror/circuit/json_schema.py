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
    required = schema.pop("required")
    del schema["properties"]["schema"]["default"]  # a file that does not say is of version 1
    schema["properties"] = {"extends": beneath, **schema["properties"]}
    described = {"title": f"neuromirror circuit file, version {SCHEMA}", "description": "See docs/circuit-file.md."}
    whole = {"if": {"not": {"required": ["extends"]}}, "then": {"required": required}}
    return {"$schema": DIALECT, **schema, **described, **whole}
