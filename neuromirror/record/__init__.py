"""Run records: what a simulation writes as it goes, and how it is read again.

A run directory, schema 1::

    circuit.toml                       the circuit, expanded
    manifest.json                      what ran, with what, and how it ended (`Manifest`)
    metrics.jsonl                      one JSON object a line: angles, gains, norms over time
    spikes/POPULATION-PART.npz         int64 ``ticks`` and int32 ``cells``, in parts, written as the run goes
    weights/STEP/{W,B}.safetensors     snapshots; STEP is the number of examples done
    timings.json                       how long things took
    figures/                           drawings of the above

All but ``timings.json`` and the manifest's ``invocation`` are bit-identical for the same circuit, seed, target and
versions, whatever the directory.
"""

from neuromirror.record.manifest import Invocation, Manifest, PhaseEntry, PopulationEntry, ProjectionEntry
from neuromirror.record.run import Run, Spikes, open_run
from neuromirror.record.store import RunWriter

__all__ = [
    "Invocation",
    "Manifest",
    "PhaseEntry",
    "PopulationEntry",
    "ProjectionEntry",
    "Run",
    "RunWriter",
    "Spikes",
    "open_run",
]
