"""Figure 2: on real images weight mirrors nearly match backprop, and random feedback does not.

Claim     Of a ResNet-20 with batch norm after the ReLU, on 10,000 images of CIFAR-10, the test error with weight
          mirrors is within a point of backprop's; sign-symmetry is worse, and feedback alignment by many points.
Command   python -m experiments.figure2 --data DIR (--size smoke, small or paper; --jobs runs at a time), which draws
          figure2-CIRCUIT.png and .pdf into --out
Takes     5 hours on two cores, in runs of 3 minutes, 9 with weight mirrors; it goes on where it was stopped.
Expected  CIFAR-10 as JPEG files, seeds 0 to 4, test error and its difference from backprop's in points (95%, paired):
              backprop, rate .2               32.50%
              weight mirror, rate .2          32.74%    +0.24  (−0.35 to +0.83)
              sign-symmetry, rate .05         46.74%   +14.24 (+12.82 to +15.65)
              feedback alignment, rate .05    56.15%   +23.65 (+21.82 to +25.48)
          Validation error in % by peak learning rate, of one seed (of two: backprop at .2 and .4):
              backprop              36.3 at .05, 35.4 at .1, 32.8 at .2, 33.4 at .4, diverges at .8
              weight mirror         34.3 at .1, 33.1 at .2, 33.3 at .4
              sign-symmetry         49.7 at .025, 47.4 at .05, 47.6 at .1, 47.6 at .2
              feedback alignment    56.9 at .025, 55.1 at .05, 57.0 at .1, 73.1 at .2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

from experiments.methods import NAMES, SIZES, Results, draw, options, results
from neuromirror.measure import over_seeds, paired_difference


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    chosen = options(__doc__, argv)
    for circuit in SIZES[chosen.size].circuits:
        found = results(chosen, circuit, chosen.methods)
        print(f"{circuit}, {chosen.data if chosen.size == 'smoke' else 'the images given'}:")
        print_tuning(found)
        print_errors(found)
        draw(found, 2, f"figure2-{circuit}", chosen.out)


def print_tuning(found: Results) -> None:
    """Print the validation error of every learning rate tried, the mean where it was tried with several seeds."""
    for method in found.runs:
        if tried := sorted(found.tuning.get(method, {}).items()):
            rates = ", ".join(f"{rate:g}: {_percent(errors)}" for rate, errors in tried)
            print(f"{NAMES[method]:20} validation error by peak learning rate {rates}")


def _percent(errors: Sequence[float]) -> str:
    error = mean(errors)
    seeds = f" ({len(errors)} seeds)" if len(errors) > 1 else ""
    return f"{error:.1f}%{seeds}" if math.isfinite(error) else "diverges"


def print_errors(found: Results) -> None:
    """Print the test error of each method, and its difference from backprop over paired seeds."""
    for method in found.runs:
        errors = found.errors(method)
        summary = over_seeds(errors)
        line = f"{NAMES[method]:20} rate {found.rates[method]:<6g} test error {summary.mean:.2f}%"
        if summary.n > 1:
            line += f" (sd {summary.sd:.2f}, {summary.n} seeds)"
        if method != "bp" and "bp" in found.runs and summary.n > 1:
            one = paired_difference(errors, found.errors("bp"))
            line += f", {one.estimate:+.2f} against backprop (95% {one.low:+.2f} to {one.high:+.2f})"
        print(line)


if __name__ == "__main__":
    main()
