"""Runs a plan in this process, with code made for NumPy or Cython, from its beginning or from where it was cut short.

At boundaries, fixed simulated times, all that there is is handed over, and the state may be kept.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.backends.base import Keeper, Recorder
from neuromirror.backends.brian2.harvest import Harvest, boundary_ticks
from neuromirror.backends.brian2.network import RECORDED, SpikingNetwork
from neuromirror.backends.brian2.private import drop_numbers_drawn_ahead, forget_run
from neuromirror.backends.brian2.runtime import stop_if_interrupted
from neuromirror.backends.brian2.state import restore, state_of
from neuromirror.interrupts import Interrupts
from neuromirror.plan import Plan


class RunHere:
    """One run.

    Parameters
    ----------
    spiking : SpikingNetwork
        Just built, with the random numbers seeded.
    plan : Plan
    recorder : Recorder
        What it goes on from, if it is a `Keeper` that has begun, is restored.
    """

    def __init__(self, spiking: SpikingNetwork, plan: Plan, recorder: Recorder) -> None:
        self.spiking, self.recorder, self.network = spiking, recorder, spiking.network
        self.keeper = recorder if isinstance(recorder, Keeper) else None
        self.harvest = Harvest(spiking, plan, recorder)
        self.interrupts = Interrupts()
        # First of all in its time step, so that a state is one between two steps.
        interval_s = boundary_ticks(spiking.layout, spiking.snapshot_ticks) * spiking.grid.tick_s
        self.network.add(
            b2.NetworkOperation(self._at_boundary, dt=interval_s * b2.second, when="before_start", name="boundary")
        )

    def run(self, duration: Any) -> None:
        """Run to the end of ``duration``, counted from the beginning of the whole run.

        Raises
        ------
        KeyboardInterrupt
            If it was interrupted; what there is has been handed over.
        """
        if self.keeper is not None and self.keeper.begun is not None:
            self._restore(self.keeper.begun)
        try:
            with self.interrupts, np.errstate(all="ignore"):  # what is not finite is looked for in the state
                self.network.run(duration - self.network.t, namespace={})
            stop_if_interrupted()
            if self.network.t > duration - 0.5 * b2.defaultclock.dt:
                self._take(self.spiking.grid.ticks)
            self.interrupts.check()
        finally:
            forget_run()

    def _at_boundary(self) -> None:
        drop_numbers_drawn_ahead()
        t_s = float(self.network.t / b2.second)
        self._take(round(t_s / self.spiking.grid.tick_s))
        if self.keeper is not None:
            self.keeper.keep(self._state, now=self.interrupts.asked)
        self.recorder.progress(min(t_s, self.spiking.grid.ticks * self.spiking.grid.tick_s))
        if self.interrupts.asked:
            self.network.stop()

    def _take(self, tick: int) -> None:
        """Hand over what the monitors hold, which is all from before a tick, and empty them."""
        spikes, clipped, monitors = self.spiking.spikes, self.spiking.clipped, self.spiking.monitors
        self.harvest.spikes(
            np.array(spikes.variables["t"].get_value()), np.array(spikes.variables["i"].get_value()), tick
        )
        rows = {name: monitor.variables[RECORDED.get(name, "w")].get_value() for name, monitor in monitors.items()}
        for row, counts in enumerate(np.array(clipped.variables["clipped"].get_value())):
            self.harvest.snapshot({name: of_name[row] for name, of_name in rows.items()}, counts)
        spikes.variables["N"].set_value(0)
        for monitor in (spikes, clipped, *monitors.values()):
            monitor.resize(0)

    def _state(self) -> dict[str, Any]:
        network = {f"network/{name}": array for name, array in state_of(self.network).items()}
        return network | {f"harvest/{name}": array for name, array in self.harvest.state().items()}

    def _restore(self, state: Any) -> None:
        parts: dict[str, dict[str, Any]] = {"network": {}, "harvest": {}}
        for name, array in state.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
        restore(self.network, parts["network"])
        self.harvest.restore(parts["harvest"])
