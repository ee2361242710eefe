"""A moment of training as a checkpoint has it, and going on from one, be it of another number of ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neuromirror.errors import RequestError
from neuromirror.training.checkpoint import State
from neuromirror.training.loop import Tally, Trainer
from neuromirror.training.statistics import is_statistic, mean_statistics, statistics_of

_MOMENTUM = "momentum/"


def shared_arrays(trainer: Trainer) -> dict[str, Tensor]:
    """Return all that every rank has alike: W, B, biases, gains and shifts by name, and their momentum."""
    network, optimizer = trainer.network, trainer.updater.optimizer
    arrays = {name: one for name, one in network.state_dict().items() if not is_statistic(name)}
    names = {id(one): name for name, one in (*network.named_parameters(), *network.named_buffers())}
    for one, kept in optimizer.state.items():
        if kept.get("momentum_buffer") is not None:
            arrays[f"{_MOMENTUM}{names[id(one)]}"] = kept["momentum_buffer"]
    return arrays


def state_of(trainer: Trainer) -> State:
    """Return all that the rest of the run depends on; all ranks together."""
    tallies = trainer.ranks.gathered(vars(trainer.tally).copy())
    said = {"step": trainer.step, "seen": dict(trainer.seen), "tallies": tallies}
    return State(shared=shared_arrays(trainer), own=[statistics_of(trainer.network)], said=said)


@torch.no_grad()
def go_on(trainer: Trainer, state: State) -> None:
    """Bring a trainer to a moment.

    Raises
    ------
    RequestError
        If the moment is of other arrays than the network has.
    """
    network, optimizer = trainer.network, trainer.updater.optimizer
    network.load_state_dict(checked_arrays(trainer, state))
    optimizer.state.clear()
    for name, one in (*network.named_parameters(), *network.named_buffers()):
        if (momentum := state.shared.get(f"{_MOMENTUM}{name}")) is not None:
            optimizer.state[one] = {"momentum_buffer": torch.empty_like(one).copy_(momentum)}
    trainer.step, trainer.seen = state.said["step"], dict(state.said["seen"])
    trainer.tally = _tally(state.said["tallies"], trainer.ranks.rank, trainer.ranks.size)
    trainer.forget_loaded()


def checked_arrays(trainer: Trainer, state: State) -> dict[str, Tensor]:
    """Return the arrays of a network that a state has.

    Raises
    ------
    RequestError
        If they are not those of the trainer's.
    """
    then = {name: one for name, one in state.shared.items() if not name.startswith(_MOMENTUM)}
    then |= mean_statistics(state.own)
    now = trainer.network.state_dict()
    for name in sorted({*now, *then}):
        here, there = (tuple(arrays[name].shape) if name in arrays else "missing" for arrays in (now, then))
        if here != there:
            raise RequestError(
                f"the checkpoint is of other arrays: {name} is {there} in it, and {here} in this circuit. "
                "Go on with the circuit that it was written of."
            )
    return then


def _tally(tallies: Sequence[dict], rank: int, ranks: int) -> Tally:
    """Return this rank's tally; of another number of ranks before, the first takes them all."""
    if len(tallies) == ranks:
        return Tally(**tallies[rank])
    return Tally(**{key: sum(one[key] for one in tallies) for key in tallies[0]}) if rank == 0 else Tally()
