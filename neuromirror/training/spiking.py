"""Trains circuits of spiking cells on images: every synapse learns by itself, and all of a run is one simulation.

Turns awake and asleep alternate; see `neuromirror.training.spiking_schedule`. Seeds share one program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuromirror.backends.base import Options, load_backend
from neuromirror.begun import check_circuit, check_incomplete, check_resumable
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.circuit.protocol import Training
from neuromirror.errors import RequestError
from neuromirror.plan import Plan
from neuromirror.record.checkpoint import reopened
from neuromirror.record.store import RunWriter, check_free
from neuromirror.result import Run, open_run, warned
from neuromirror.simulation import Progress, carry_out, manifest_of, run_folders, versions_of
from neuromirror.training import image_contents
from neuromirror.training.images import Fitted, check_images, circuit_to_train, fitted_to_images, notes_of
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import FILE, read_settings, to_json
from neuromirror.training.spiking_record import SpikingRecorder, entries
from neuromirror.training.spiking_roles import SpikingRoles, spiking_roles_of
from neuromirror.training.spiking_schedule import Stretch, labels_of, planned, scheduled, stretches

OF_TORCH = (
    "device",
    "dtype",
    "bf16",
    "compile",
    "channels_last",
    "workers",
    "checkpoint_s",
    "checkpoint_steps",
    "delta_images",
    "tensorboard",
    "profile_steps",
    "max_broken_images",
)
"""Settings that spiking cells have no use for."""

LIBRARIES = ("torch", "torchvision")
"""What makes the images, besides the simulator."""


@dataclass(frozen=True, kw_only=True)
class SpikingTraining:
    """A circuit, its images, and the course of its runs.

    Attributes
    ----------
    fitted : Fitted
        The circuit as the record keeps it, and the images.
    roles : SpikingRoles
    phases : list of Stretch
    scheduled : Circuit
        What is simulated: the circuit with these phases for its schedule, and the images for its stimulus.
    """

    fitted: Fitted
    roles: SpikingRoles
    phases: list[Stretch]
    scheduled: Circuit

    def plan(self, seed: int) -> Plan:
        """Return the plan of one run."""
        return planned(self.scheduled, self.fitted.data, self.phases, seed)

    def options(self, target: str) -> Options:
        """Return how it is simulated: with a snapshot at the end of every phase, and the spikes of the output."""
        return Options(target=target, points=len(self.phases), population=self.roles.output)


def spiking_training(circuit: Circuit | str | Path, settings: Settings, *, overlaid: bool = False) -> SpikingTraining:
    """Prepare a circuit for training in spikes.

    Parameters
    ----------
    circuit : Circuit, str or Path
    settings : Settings
    overlaid : bool
        Whether the circuit is that of the method already.

    Raises
    ------
    CircuitError
        If the circuit has errors, or what cannot be trained.
    RequestError
        If the images cannot be used, or an option is for networks of torch.
    """
    settings.check()
    for name in OF_TORCH:
        if getattr(settings, name) != getattr(Settings(), name):
            option = name.replace("_", "-")
            raise RequestError(f"--{option}: an option of networks of torch. Leave it out with --backend brian2.")
    circuit = circuit_to_train(circuit, settings, overlaid=overlaid)
    roles = spiking_roles_of(circuit)
    fitted = fitted_to_images(circuit, settings)
    training = fitted.circuit.description.training or Training()
    phases = stretches(training, roles, fitted.data)
    whole = scheduled(fitted.circuit, training, roles, fitted.data, phases)
    for _, part in image_contents.parts_of(fitted.data):
        part.compare(part.read())
    return SpikingTraining(fitted=fitted, roles=roles, phases=phases, scheduled=whole)


def train_spiking_seeds(
    circuit: Circuit | str | Path,
    *,
    seeds_: Sequence[int],
    out: Path | str | None = None,
    settings: Settings,
    target: str = "auto",
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> list[Run]:
    """Train spiking cells once for each seed; otherwise as `neuromirror.training.train.train_seeds`."""
    training = spiking_training(circuit, settings)
    if not seeds_ or len(set(seeds_)) < len(seeds_):
        raise RequestError(f"seeds {list(seeds_)}: expected one or more seeds, each once.")
    plans = [training.plan(seed) for seed in seeds_]
    folders = run_folders(f"{training.fitted.circuit.name}-{training.fitted.data.name}-brian2", list(seeds_), out)
    for folder in folders:
        check_free(folder)
    options = training.options(target)
    simulator = load_backend("brian2")
    target = simulator.target(plans, options)
    announce(f"{said_of(training)}; brian2 ({target}), {len(plans)} seed{'' if len(plans) == 1 else 's'}")
    for line in notes_of(training.fitted.data, settings):
        announce(line)
    total_s = plans[0].phases[-1].stop_s
    recorders = [
        _recorder(
            training,
            plan,
            _writer(training, plan, settings, folder, target),
            settings,
            lambda done, k=index: progress(k * total_s + done, len(plans) * total_s),
        )
        for index, (plan, folder) in enumerate(zip(plans, folders, strict=True))
    ]
    carry_out(simulator, plans, recorders, options, announce)
    runs = [warned(open_run(folder)) for folder in folders]
    for run in runs if figures else ():
        run.save_figures()
    return runs


def resume_spiking(
    folder: Path | str,
    *,
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> Run:
    """Go on with a run that was cut short, to the same end that it would have had; see `neuromirror.resume`.

    Raises
    ------
    RequestError
        If it is none of training, is complete, or its circuit, its images or a version have changed.
    UnsupportedError
        If its target keeps no state that it could go on from.
    """
    folder = Path(folder)
    settings, manifest = read_settings(folder), open_run(folder).manifest
    check_incomplete(folder, manifest, "Train again")
    check_resumable(folder, manifest, *LIBRARIES)
    training = spiking_training(load(folder / "circuit.toml"), settings, overlaid=True)
    check_images(settings, training.fitted.data, manifest.summary.get("data_sha256"), folder)
    check_circuit(folder, training.fitted.circuit, manifest)
    plan, (writer, found) = training.plan(manifest.seed), reopened(folder)
    total_s = plan.phases[-1].stop_s
    recorder = _recorder(training, plan, writer, settings, lambda done_s: progress(done_s, total_s))
    if found is not None:
        recorder.restore(found)
    reached_s = 0.0 if recorder.last is None else recorder.last.t_s
    announce(f"{folder}: goes on after {reached_s:g} of {total_s:g} s")
    assert manifest.target is not None
    carry_out(load_backend("brian2"), [plan], [recorder], training.options(manifest.target), announce)
    run = warned(open_run(folder))
    if figures:
        run.save_figures()
    return run


def said_of(training: SpikingTraining) -> str:
    """Return how long a run is, and on what."""
    plan, data = training.plan(0), training.fitted.data
    lasts_s: dict[str, float] = {}
    for phase in plan.phases:
        lasts_s[phase.mode] = lasts_s.get(phase.mode, 0.0) + phase.stop_s - phase.start_s
    shown = sum(phase.examples for phase in training.phases if phase.part == "train")
    modes = ", ".join(f"{name} {seconds:g} s" for name, seconds in lasts_s.items())
    return (
        f"{training.fitted.circuit.name}: {shown} images to learn from, of {len(data.train)} of {data.name}; "
        f"{plan.phases[-1].stop_s:g} s of simulated time ({modes})"
    )


def _writer(training: SpikingTraining, plan: Plan, settings: Settings, folder: Path, target: str) -> RunWriter:
    """Begin a record: with the circuit as it is trained, not with the schedule and the images that it is given."""
    own = Plan(training.fitted.circuit, plan.seed)
    learned = {one.name for phase in plan.phases for one in plan.modes[phase.mode].learners}
    phases = entries(plan, training.phases, training.roles.engaged)
    manifest = manifest_of(own, backend="brian2", target=target, phases=phases, learned=learned)
    data, versions = training.fitted.data, versions_of("brian2", *LIBRARIES)
    summary = {"data": data.name, "data_sha256": data.sha256}
    manifest = dataclasses.replace(manifest, versions=versions, summary=summary)
    files = training.fitted.circuit.to_files("circuit")
    text = files.pop("circuit.toml").decode()
    if (checksums := image_contents.to_bytes(data)) is not None:
        files[image_contents.FILE] = checksums
    return RunWriter.create(folder, manifest, text, {**files, FILE: to_json(settings).encode()})


def _recorder(
    training: SpikingTraining, plan: Plan, writer: RunWriter, settings: Settings, progress: Callable[[float], None]
) -> SpikingRecorder:
    fitted, shown = training.fitted, plan.presented
    assert shown is not None
    about = {
        "circuit_sha256": fitted.circuit.sha256,
        "protocol_sha256": fitted.circuit.protocol_sha256,
        "data": fitted.data.name,
        "data_sha256": fitted.data.sha256,
        "backend": "brian2",
        "seed": plan.seed,
        "method": settings.method or "as the file says",
    }
    return SpikingRecorder(
        plan=plan,
        writer=writer,
        phases=training.phases,
        labels=labels_of(fitted.data, shown),
        output=training.roles.output,
        about=about,
        progress_to=progress,
    )
