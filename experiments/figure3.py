"""Figure 3: weight mirrors keep B close to Wᵀ, and δ close to backprop's, in all layers; other methods do not.

Claim     Of the runs of Figure 2, with weight mirrors, every B is within 6° of its Wᵀ after the learning rate has
          dropped (the last layer's within 12°), and every δ within 25° of backprop's; with feedback alignment most are
          beyond 80°.
Command   python -m experiments.figure3 --data DIR (--size smoke, small or paper; --jobs runs at a time), which draws
          figure3-CIRCUIT.png and .pdf into --out
Takes     no time after Figure 2, whose runs it reads; 5 hours without.
Expected  median of seeds 0 to 4 at the end, in degrees:
              weight mirror         B .8 to .9, the last 1.0          δ 2.3 at the input, 1.0 before the output
              sign-symmetry         B 48 to 51, the last 41           δ 86 at the input, 37 before the output
              feedback alignment    B 88 to 91, the last 70           δ 90 at the input, 61 before the output
          The largest with weight mirrors after any epoch of learning, of all seeds: B 5.4, δ 9.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import neuromirror as nm
from experiments.methods import NAMES, SIZES, draw, options, results

LOCAL = ("wm", "kp", "ss", "fa")
"""Methods whose B is not Wᵀ itself."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    chosen = options(__doc__, argv)
    methods = [method for method in chosen.methods if method in LOCAL]
    for circuit in SIZES[chosen.size].circuits:
        found = results(chosen, circuit, methods)
        for method, runs in found.runs.items():
            print(f"{circuit}, {NAMES[method]}, rate {found.rates[method]:g}, {len(runs)} seeds; angles in degrees")
            for line in by_layer(runs):
                print(line)
        draw(found, 3, f"figure3-{circuit}", chosen.out)


def by_layer(runs: Sequence[nm.Run]) -> list[str]:
    """Return a line for each W in the order of layers: what its B and the δ that teaches it are like.

    Of each there is the median over seeds at the end, and the largest of all epochs after mirroring alone.
    """
    entries, populations = runs[0].manifest.projections, runs[0].manifest.populations
    feedback = {w: b for b, w in runs[0].mirrored.items()}
    forward = [n for n, p in entries.items() if p["role"] == "synapse" and p["target"] in _of_deltas(runs[0])]
    forward.sort(key=lambda name: (populations[entries[name]["target"]]["layer"], name))
    lines = [f"{'':14} {'B at the end':>13} {'largest':>8} {'δ at the end':>13} {'largest':>8}"]
    for name in forward:
        if (name in feedback) or name.split("_")[-1].startswith("W") or name.startswith("W"):
            angles = [_course(run, "angles_deg", feedback.get(name, "")) for run in runs]
            deltas = [_course(run, "delta_angles_deg", entries[name]["target"]) for run in runs]
            lines.append(f"{name:14} {_said(angles)} {_said(deltas)}")
    return lines


def _of_deltas(run: nm.Run) -> set[str]:
    return {name for row in run.metrics() for name in row.get("delta_angles_deg", {})}


def _course(run: nm.Run, key: str, name: str) -> list[float]:
    """Return the angles of one array or layer over the epochs in which the network learned."""
    rows = [row for row in run.metrics() if row.get("loss") is not None]
    return [row[key][name] for row in rows if row.get(key, {}).get(name) is not None]


def _said(courses: Sequence[Sequence[float]]) -> str:
    if not all(courses):
        return f"{'none':>13} {'':8}"
    return f"{median(course[-1] for course in courses):13.1f} {max(map(max, courses)):8.1f}"


if __name__ == "__main__":
    main()
