"""The page of defaults: each default that touches a signal or a weight, with the value that the models have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from neuromirror.circuit import description, protocol
from neuromirror.circuit.description import Feedback, Mode, Projection, Updater
from neuromirror.circuit.model import Model
from neuromirror.units import Quantity

PAGE = (Path(__file__).parents[2] / "docs" / "defaults.md").read_text(encoding="utf-8")
PREFIXES = {
    "Code": "code",
    "Cell": "cells.NAME",
    "Init": "INIT",
    "Population": "populations.NAME",
    "Norm": "populations.NAME.norm",
    "Projection": "projections.NAME",
    "Updater": "rules.NAME.updater",
    "Normalise": "rules.NAME.updater.normalise",
    "Mode": "modes.NAME",
    "Noise": "modes.NAME.noise.POPULATION",
    "Stimulus": "stimulus (teacher)",
    "ArrayStimulus": "stimulus (array)",
    "DigitsStimulus": "stimulus (digits)",
    "Timing": "time",
    "Layers": "layers",
    "Feedback": "feedback",
    "Mirroring": "mirroring",
    "Training": "training",
}
OF_THE_FILE = {"Description", "Motif", "Use", "Step", "Repeat", "Parameters", "Rule", "Signal", "Estimate"}
"""Models whose defaults are empty: what a file has none of, or what a part of it must say or is refused."""
NEEDED_OR_REFUSED = {
    *("cells.NAME.phi", "cells.NAME.slope", "cells.NAME.equations", "cells.NAME.threshold", "cells.NAME.reset"),
    *("cells.NAME.constants", "cells.NAME.start", "cells.NAME.unit_current", "INIT.values"),
    *("populations.NAME.norm.rate", "populations.NAME.norm.tau", "populations.NAME.shares"),
    *("projections.NAME.roles", "projections.NAME.weight", "projections.NAME.kernel", "projections.NAME.pool"),
    *("projections.NAME.join", "rules.NAME.updater.rate", "layers.cell", "feedback.cell"),
    *("modes.NAME.noise.POPULATION.amplitude", "modes.NAME.noise.POPULATION.dwell"),
    *("stimulus (array).inputs", "stimulus (array).targets"),
}
"""What is absent unless said, and then has no effect: a part that needs it is refused without it."""


def defaults() -> dict[str, Any]:
    """Give the default of every field that need not be said, by its name on the page."""
    models = {**vars(description), **vars(protocol)}
    found = {}
    for name, prefix in PREFIXES.items():
        for field, info in models[name].model_fields.items():
            if not info.is_required():
                found[f"{prefix}.{field}"] = info.get_default(call_default_factory=True)
    return found


def text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(heading: str) -> dict[str, list[str]]:
    """Give the rows of a section's table, by their first cell."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| `.*\|$", section, re.M)]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_value_is_listed_as_it_is() -> None:
    values = {
        name: text(value)
        for name, value in defaults().items()
        if isinstance(value, bool | int | float | str | Quantity) or (isinstance(value, tuple) and value)
    }
    listed = table("Values")
    assert {name: row[0].strip("`") for name, row in listed.items()} == values
    assert all(row[1] for row in listed.values())


def test_what_holds_where_nothing_is_said_is_listed() -> None:
    absent = {name for name, value in defaults().items() if value is None}
    listed = table("What holds where nothing is said")
    assert {*listed} == absent - NEEDED_OR_REFUSED
    assert absent >= NEEDED_OR_REFUSED
    assert all(row[0] for row in listed.values())


def test_every_model_of_the_format_is_looked_at() -> None:
    models = {
        name
        for module in (description, protocol)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Model) and value is not Model
    }
    assert models == {*PREFIXES, *OF_THE_FILE}


def test_no_default_moves_a_weight() -> None:
    """Nothing learns, at no rate, and nothing is transported, unless a file says so."""
    assert Mode().learn == {}
    assert (Updater().rate, Updater().memory, Updater().decay) == (None, None, 0.0)
    assert Feedback().transport == "none"
    assert Projection(source="a", target="b", connector="all_to_all").transport == "none"
