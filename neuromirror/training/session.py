"""A training run with its record: what is measured after every epoch, checkpoints, and going on from one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.torch
import torch

from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.weight_files import packed
from neuromirror.circuit.methods import method_of
from neuromirror.data.batches import Batches
from neuromirror.data.load import Data
from neuromirror.errors import DivergenceError, NeuromirrorError
from neuromirror.interrupts import Interrupts
from neuromirror.measure import health
from neuromirror.plan import FloatArray, Plan, transport
from neuromirror.record.manifest import PhaseEntry
from neuromirror.record.onlooker import Onlooker
from neuromirror.record.store import RunWriter
from neuromirror.recorder import alignment_of, lost_of
from neuromirror.run_warnings import learned_mirrors
from neuromirror.schedule import window_s
from neuromirror.training import checkpoint
from neuromirror.training.agreement import CHECKED_EVERY, Agreed, agree, check_same
from neuromirror.training.deltas import delta_angles
from neuromirror.training.image_contents import KeptContents
from neuromirror.training.loop import Tally, Trainer
from neuromirror.training.moment import go_on, state_of
from neuromirror.training.profiling import Profile
from neuromirror.training.settings import Settings
from neuromirror.training.silence import silent_layers

CHECKPOINTS = "checkpoints"
"""Folder of a run directory."""

Progress = Callable[[float, float], None]


class Session:
    """One run.

    Parameters
    ----------
    trainer : Trainer
        At its beginning.
    data : Data
    size : (int, int)
        Of the images.
    settings : Settings
    writer : RunWriter or Onlooker
        Of a record without rows, or of one that goes on; the latter on ranks but the first.
    notes : mapping, optional
        What the summary says besides, of where the run comes from.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: Data,
        size: tuple[int, int],
        settings: Settings,
        writer: RunWriter | Onlooker,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.trainer, self.data, self.size, self.settings, self.writer = trainer, data, size, settings, writer
        self.plan: Plan = trainer.network.plan
        self.ranks = trainer.ranks
        self.notes = dict(notes or {})
        self.saved_step: int | None = None
        self.contents = KeptContents(data, writer.path, self.ranks)
        self.rows, self.last, self.broken_told = 0, dict[str, Any](), 0
        data.broken.begin()
        self.broken_known = len(data.broken.found)
        self.began_s, self.first_step = time.perf_counter(), trainer.step
        self.evaluating_s, self.angles_s = 0.0, 0.0
        self._board: Any = None
        self._is_whole = False

    # ---- the course of it -------------------------------------------------------------------------------------------

    def run(self, progress: Progress) -> None:
        """Train to the end, measuring after every epoch, and close the record.

        Raises
        ------
        DivergenceError
            If the loss or a weight is no longer finite; the record up to there is kept.
        """
        self.began_s, self.first_step = time.perf_counter(), self.trainer.step
        self._profile = self._profiled()
        complete, self._is_whole, self._is_agreed = False, self.trainer.step > 0, self.ranks.size == 1
        try:
            with Interrupts() as interrupts:
                self._advance(progress, interrupts)
                complete = self._is_agreed = True
        finally:
            # In the midst of a step there is nothing to go on from: the last checkpoint stays the newest. Nor is there
            # when one rank of several ends by itself, since a checkpoint is written by all.
            self._profile.close()
            if self._is_whole and self._is_agreed:
                self.save()
            self._close(complete=complete)
            self._profile.say()

    def _profiled(self) -> Profile:
        """Return what traces steps: of the first rank, and of images where there are such steps."""
        mirror, total = self.trainer.length.mirror, self.trainer.length.total
        first = max(self.first_step, mirror) if mirror < total else self.first_step
        return Profile(self.writer.path, self.settings.profile_steps if self.ranks.is_first else 0, first)

    def _advance(self, progress: Progress, interrupts: Interrupts) -> None:
        trainer, saved_s = self.trainer, self.began_s
        if trainer.step == 0:
            self._row()
            self._is_whole = True
        while trainer.step < trainer.length.total:
            self._profile.begin(trainer.step)
            agreed = self._agreed(interrupts, saved_s)
            if agreed.save:
                self.save()
                saved_s = time.perf_counter()
            if agreed.stop:
                self._is_agreed = True
                raise KeyboardInterrupt
            self._is_whole = False
            trainer.advance(agreed.images)
            self._profile.end()
            if trainer.step % CHECKED_EVERY == 0:
                check_same(trainer.network, self.ranks, trainer.step)
            if self._is_due():
                self._row()
            self._is_whole = True
            progress(trainer.step, trainer.length.total)

    def _agreed(self, interrupts: Interrupts, saved_s: float) -> Agreed:
        """Load the images of the next step, and agree with all ranks on what comes next."""
        trainer, steps, failure, images = self.trainer, self.settings.checkpoint_steps, None, 0
        try:
            images = trainer.load()
        except NeuromirrorError as error:
            failure, self._is_whole = error, False
        is_time = time.perf_counter() - saved_s > self.settings.checkpoint_s
        is_step = bool(steps) and trainer.step % steps == 0 and trainer.step > self.first_step
        agreed = agree(
            self.ranks,
            self.data.broken,
            self.broken_known,
            stop=interrupts.asked,
            save=is_time or is_step,
            images=images,
            finite=trainer.is_finite,
            failure=failure,
        )
        self.broken_known = len(self.data.broken.found)
        if not agreed.finite:
            self._is_whole = False
            trainer.check_finite(trainer.step - 1, finite=False)
        return agreed

    def save(self) -> None:
        """Write a checkpoint, if there is none of this moment; all ranks together."""
        if self.saved_step == self.trainer.step:
            return
        check_same(self.trainer.network, self.ranks, self.trainer.step)
        self.contents.save()
        state, length = state_of(self.trainer), self.trainer.length
        state.said |= {"rows": self.rows, "last": self.last, "data_sha256": self.data.sha256}
        state.said |= {"broken": dict(self.data.broken.found), "broken_told": self.broken_told}
        state.said |= {"epoch_steps": length.epoch, "mirror_steps": length.mirror}
        kept = self.settings.keep_checkpoints
        checkpoint.save(self.writer.path / CHECKPOINTS, self.trainer.step, state, ranks=self.ranks, kept=kept)
        self.saved_step = self.trainer.step

    def restore(self, state: checkpoint.State) -> None:
        """Go on from a checkpoint."""
        go_on(self.trainer, state)
        self.rows, self.last = state.said["rows"], state.said["last"]
        self.data.broken.begin(state.said["broken"])
        self.broken_told, self.broken_known = state.said["broken_told"], len(self.data.broken.found)

    def _is_due(self) -> bool:
        step, length = self.trainer.step, self.trainer.length
        return step % length.epoch == 0 or step in (length.mirror, length.total)

    def _close(self, *, complete: bool) -> None:
        if self._board is not None:
            self._board.close()
        if not self.rows:
            self.writer.discard()
            return
        self.writer.timings(self.timings())
        if complete:
            self.writer.finish(self.summary())
        else:
            found = list(self.data.broken.found)
            self.writer.interrupt({"broken_images": found} if found else None)

    # ---- what is measured -------------------------------------------------------------------------------------------

    def _row(self) -> None:
        """Measure, and add a row to the metrics; keep the weights where a phase ends."""
        started, evaluated_s = time.perf_counter(), self.evaluating_s
        trainer, length = self.trainer, self.trainer.length
        check_same(trainer.network, self.ranks, trainer.step)
        loss, wrong, images = self.ranks.numbers(list(vars(trainer.tally).values()))
        arrays = arrays_of(trainer.network)
        mode, examples = self._mode(), trainer.step * trainer.training.batch
        row: dict[str, Any] = {
            "phase": len(phases_of(trainer)) - 1 if mode != "mirroring" else 0,
            "mode": mode,
            "examples": examples,
            "t_s": round(examples * self._window_s(), 9),
            "step": trainer.step,
            "epoch": trainer.epoch,
            "rate_factor": trainer.rate_factor,
            **alignment_of(self.plan, arrays),
        }
        if images:
            trainer.check_finite(trainer.step - 1, finite=np.isfinite(loss))
            row["loss"], row["train_error_percent"] = loss / images, 100.0 * wrong / images
        if trainer.step == 0 or trainer.step > length.mirror:
            row |= self._errors()
        if self.settings.delta_images:
            found = self._deltas()
            row["delta_angles_deg"], row["delta_angles_by_example_deg"] = found.vector, found.examples
        if found := list(self.data.broken.found)[self.broken_told :]:
            row["broken_images"] = found
            self.broken_told += len(found)
        trainer.tally = Tally()
        self.writer.metrics(row)
        self._show(row)
        self.rows, self.last = self.rows + 1, row
        if trainer.step in (0, length.mirror, length.total):
            feedback = {name: torch.from_numpy(arrays[name]).float().contiguous() for name in self.plan.mirrors}
            self.writer.weight_files(examples, packed(trainer.network), safetensors.torch.save(feedback))
        self.angles_s += time.perf_counter() - started - (self.evaluating_s - evaluated_s)
        if (lost := lost_of(arrays) or _lost_state(trainer.network)) is not None:
            raise DivergenceError(
                f"{lost} is no longer finite after {trainer.step} steps. Lower the rate of the rule that teaches it."
            )

    def _mode(self) -> str:
        step, alone = self.trainer.step, self.trainer.length.mirror
        return "mirroring" if alone and step <= alone else self.trainer.roles.engaged.name

    def _window_s(self) -> float:
        described = self.plan.description
        return window_s(described, described.modes[self.trainer.roles.engaged.name])

    def _errors(self) -> dict[str, float]:
        """Evaluate: on the validation images where there are some, else on the test images; at the end on both."""
        started = time.perf_counter()
        at_end = self.trainer.step == self.trainer.length.total
        sets = {"validation": self.data.validation, "test": self.data.test}
        wanted = ["validation"] if self.data.validation is not None else ["test"]
        wanted += ["test"] if at_end and "test" not in wanted else []
        found = {}
        for part in wanted:
            images = sets[part]
            assert images is not None
            found[f"{part}_error_percent"] = self.trainer.error_percent(images, self.data)
        self.evaluating_s += time.perf_counter() - started
        return found

    def _deltas(self) -> Any:
        """Measure δ on the first of the training images, the same in every epoch."""
        part = Batches(
            self.data.train, self.data, batch=min(self.settings.delta_images, len(self.data.train)), size=self.size
        )
        images, labels = next(part.all())
        trainer = self.trainer
        return delta_angles(trainer.network, trainer.placed(images), labels.to(trainer.device), trainer.loss)

    def timings(self) -> dict[str, float]:
        """Return what took how long, in seconds of the clock, and images per second of the engaged steps."""
        trainer, wall_s = self.trainer, time.perf_counter() - self.began_s
        engaged = max(0, trainer.step - max(self.first_step, trainer.length.mirror))
        training_s = max(wall_s - self.evaluating_s - self.angles_s, 1e-9)
        return {
            "wall_s": wall_s,
            "evaluating_s": self.evaluating_s,
            "measuring_angles_s": self.angles_s,
            "waiting_for_data_s": trainer.batches.waited_s,
            "mirroring_s": trainer.mirroring_s,
            "images_per_s": engaged * trainer.training.batch / training_s,
        }

    def describe(self, done: float, total: float) -> str:
        """Return what a progress line says."""
        trainer, timings = self.trainer, self.timings()
        epochs = trainer.length.total / trainer.length.epoch
        said = [f"epoch {trainer.epoch:.2f} of {epochs:g}"]
        if trainer.step > trainer.length.mirror:
            if (loss := self.last.get("loss")) is not None:
                said.append(f"loss {loss:.3f}")
            wrong = [
                f"{part[:-14]} error {self.last[part]:.1f}%" for part in self.last if part.endswith("_error_percent")
            ]
            said += wrong[-1:]
            said.append(f"{timings['images_per_s']:.0f} images/s")
            said.append(f"data {100 * timings['waiting_for_data_s'] / timings['wall_s']:.0f}%")
            said.append(f"mirroring {100 * timings['mirroring_s'] / timings['wall_s']:.0f}%")
        else:
            said.append("mirroring alone")
        return ", ".join(said)

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints of a run."""
        trainer, plan = self.trainer, self.plan
        return {
            "circuit_sha256": plan.circuit.sha256,
            "protocol_sha256": plan.circuit.protocol_sha256,
            "data": self.data.name,
            "data_sha256": self.data.sha256,
            "backend": "torch",
            "seed": plan.seed,
            "method": self.settings.method or method_of(plan.description) or "as the file says",
            "epochs": trainer.epoch,
            "steps": trainer.step,
            "examples": self.last["examples"],
            "simulated_s": self.last["t_s"],
            "matrix_angles_deg": self.last["angles_deg"],
            "gain": self.last["gain"],
            "delta_angles_deg": self.last.get("delta_angles_deg", {}),
            "top1_error_percent": self.last.get("test_error_percent"),
            "validation_error_percent": self.last.get("validation_error_percent"),
            "broken_images": list(self.data.broken.found),
            "warnings": self._warnings(),
            **self.notes,
        }

    def _warnings(self) -> list[str]:
        """Return what is doubtful of the run; nothing on ranks that write no record."""
        if isinstance(self.writer, Onlooker):
            return []
        rows, mirrored = self.writer.written_rows(), learned_mirrors(self.plan, self.writer.manifest)
        return [*health.of_rows(rows, mirrored), *silent_layers(self.trainer, self.data)]

    def _show(self, row: Mapping[str, Any]) -> None:
        """Write a row for TensorBoard."""
        if not self.settings.tensorboard or not self.ranks.is_first:
            return
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.writer.path / "tensorboard"), purge_step=row["step"])
        for name, value in row.items():
            values = value if isinstance(value, Mapping) else {"": value}
            for key, number in values.items():
                if isinstance(number, float) and np.isfinite(number):
                    self._board.add_scalar(f"{name}/{key}" if key else name, number, row["step"])
        self._board.flush()


def _lost_state(network: Network) -> str | None:
    """Return the name of a tensor of a network, running statistics included, that is not finite, if one is not."""
    state = network.state_dict().items()
    return next((name for name, tensor in state if not bool(torch.isfinite(tensor).all())), None)


def arrays_of(network: Network) -> dict[str, FloatArray]:
    """Return every W, bias and B of a network by its name in the circuit, a transported B as it is used."""
    plan, arrays = network.plan, dict[str, FloatArray]()
    for w, layer in network.weighted():
        arrays[w] = _numbers(layer.weight)
        if layer.feedback is not None:
            arrays[network.feedback_of[w]] = _numbers(layer.feedback)
    arrays |= {f"{name}.bias": _numbers(bias) for name, bias in network.biases.items()}
    return transport(plan, arrays, arrays, {})


def _numbers(tensor: torch.Tensor) -> FloatArray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy().copy()


def phases_of(trainer: Trainer) -> tuple[PhaseEntry, ...]:
    """Return the stretches of a run as the manifest has them: mirroring alone, then learning."""
    length, batch = trainer.length, trainer.training.batch
    described = trainer.network.plan.description
    engaged = trainer.roles.engaged.name
    window = window_s(described, described.modes[engaged])
    parts = [("mirroring", 0, length.mirror), (engaged, length.mirror, length.total)]
    return tuple(
        PhaseEntry(
            mode=mode,
            start_s=round(first * batch * window, 9),
            stop_s=round(last * batch * window, 9),
            first_example=first * batch,
            examples=(last - first) * batch,
        )
        for mode, first, last in parts
        if last > first
    )
