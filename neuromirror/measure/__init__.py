"""What is measured of a run: alignment of B with Wᵀ, what theory predicts of it, and how sure a number is."""

from neuromirror.measure.alignment import angle_deg, gain, mean_example_angle_deg, vector_angle_deg
from neuromirror.measure.driven import driven_angle_deg, driven_covariance, driven_share
from neuromirror.measure.probing import ProbingLaw, passed_correlation, passed_covariance, probed_part, probing_law
from neuromirror.measure.row_gains import gain_floor_deg, row_gains, siegert_gains
from neuromirror.measure.sampling import SamplingLaw, phase_signals, sampling_law
from neuromirror.measure.theory import (
    correlated_angle_deg,
    correlation_time_s,
    effective_examples,
    examples_for_angle,
    explained_variance,
    normalisation_floor_deg,
    rate_angle_deg,
    sampling_angle_deg,
)
from neuromirror.measure.traces import exponential_traces
from neuromirror.measure.uncertainty import Interval, SeedSummary, median_interval, over_seeds, paired_difference

__all__ = [
    "Interval",
    "ProbingLaw",
    "SamplingLaw",
    "SeedSummary",
    "angle_deg",
    "correlated_angle_deg",
    "correlation_time_s",
    "driven_angle_deg",
    "driven_covariance",
    "driven_share",
    "effective_examples",
    "examples_for_angle",
    "explained_variance",
    "exponential_traces",
    "gain",
    "gain_floor_deg",
    "mean_example_angle_deg",
    "median_interval",
    "normalisation_floor_deg",
    "over_seeds",
    "paired_difference",
    "passed_correlation",
    "passed_covariance",
    "phase_signals",
    "probed_part",
    "probing_law",
    "rate_angle_deg",
    "row_gains",
    "sampling_angle_deg",
    "sampling_law",
    "siegert_gains",
    "vector_angle_deg",
]
