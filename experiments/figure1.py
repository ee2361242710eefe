"""Figure 1: in mirror mode B learns the direction of Wᵀ, with spikes and as rates.

Claim     B of the paper's section of 3 lower and 2 upper cells starts anywhere. Its angle to Wᵀ is at most 5° after
          20 s of mirror mode with spikes, 3.5° after 60 s, and 2.5° after 5,000 examples as rates.
Command   python -m experiments.figure1
Takes     15 seconds on two cores.
Expected  over seeds 0 to 9, median (95 % interval by order statistics):
              spikes, 20 s             4.48° (2.65° to 6.20°)
              spikes, 60 s             2.51° (1.50° to 4.00°)
              rates, 5000 examples     2.14° (1.53° to 2.86°)
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.section import mirror, options, section, stated

LOWER, UPPER = 3, 2


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    quick = options(__doc__, argv, quick="2 seeds and a fortieth of the time: shows only that it runs").quick
    seeds = 2 if quick else 10
    print(f"{LOWER}→{UPPER} cells, angle of B to Wᵀ over seeds 0 to {seeds - 1}, median (95% interval):")
    lengths = ("500 ms", "1500 ms", "250 examples") if quick else ("20 s", "60 s", "5000 examples")
    for length, kind, backend in zip(
        lengths, ("spikes", "spikes", "rates"), ("brian2", "brian2", "torch"), strict=True
    ):
        found = mirror(section(LOWER, UPPER, length), seeds=seeds, backend=backend)
        print(f"{kind}, {length}".ljust(24), stated(found.angles_deg), flush=True)


if __name__ == "__main__":
    main()
