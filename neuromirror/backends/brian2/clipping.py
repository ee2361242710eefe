"""How often spiking cells are asked for a negative rate, from what they have counted."""

from __future__ import annotations

from neuromirror.backends.brian2.layout import Layout
from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray


def clipped_share(layout: Layout, mode: ModePlan, counts: FloatArray, windows: int) -> dict[str, dict[str, float]]:
    """Return the share of windows, of all cells of each population, whose input asked for a rate below zero.

    Parameters
    ----------
    layout : Layout
    mode : ModePlan
        The mode of the windows. Populations that its drive projections control copy others, and are left out.
    counts : float array (cells,)
        How many such windows every cell has had; see `neuromirror.backends.brian2.equations.CELLS`.
    windows : int
        Of how many. Of those in which cells take turns each half counts, and each cell once, under its forward
        population.

    Returns
    -------
    dict
        ``{"clipped": {population: share}}``, for the metrics; nothing where there are no windows.
    """
    if windows == 0:
        return {}
    parts = len(layout.grid.parts(mode.name))
    names = sorted(n for n in layout.plan.sizes if n not in mode.drives and not (parts > 1 and layout.shared(n)))
    return {"clipped": {name: float(counts[layout.cells(name)].mean()) / (parts * windows) for name in names}}
