"""What a standalone program records, written to files as it goes and read by us meanwhile.

At each boundary the program appends the spikes and snapshots that it holds to a file, and forgets them. The files are a
row of chunks: a header of three 64-bit whole numbers, the kind of the chunk and two numbers, and then its content.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.brian2.harvest import Harvest
from neuromirror.backends.brian2.network import RECORDED, SNAPSHOT, SpikingNetwork
from neuromirror.backends.brian2.private import RESULTS_FOLDER, array_name, rows_code
from neuromirror.plan import FloatArray

_BOUNDARY, _SPIKES, _CLIPPED = 0, 1, 2
"""Kinds of chunks: a boundary (its tick); spikes (their number): times in s, float64, and cells, int32; and from 2
on rows of snapshots (rows, columns), float64, first of clipped cells, then of each array that learns."""

FILE_BYTES = 2**26
"""A file is followed by the next when it is longer than this, and taken away when it has been read."""

_CODE = """
void chunk_of_%(name)s(std::ofstream& out, int64_t kind, int64_t a, int64_t b) {
    const int64_t header[3] = {kind, a, b};
    out.write((const char*) header, sizeof(header));
}
double %(name)s(double tick) {
    static std::ofstream out;
    static int number = 0;
    if (!out.is_open() || out.tellp() > %(file_bytes)d) {
        if (out.is_open()) out.close();
        out.open(%(folder)s + "stream-" + std::to_string(number++) + ".bin", std::ios::binary);
    }
    {
        auto& t = %(spikes_t)s;
        auto& i = %(spikes_i)s;
        chunk_of_%(name)s(out, %(spikes)d, t.size(), 0);
        out.write((const char*) t.data(), t.size()*sizeof(double));
        out.write((const char*) i.data(), i.size()*sizeof(int32_t));
        t.clear();
        i.clear();
        %(spikes_N)s[0] = 0;
    }
%(rows)s
    chunk_of_%(name)s(out, %(boundary)d, (int64_t) tick, 0);
    out.flush();
    return out.good() ? tick : 0.0;
}
"""

_ROWS = """
    {
        auto& rows = %(values)s;
        chunk_of_%(name)s(out, %(kind)d, rows.n, rows.m);
        %(write)s
        %(t)s.clear();
        %(N)s[0] = 0;
    }
"""

_NAME = "hand_over"


def hand_over(spiking: SpikingNetwork, ticks: int) -> None:
    """Have a network's program write what it holds to a file at boundaries, so many ticks apart."""
    rows, write = "", rows_code("rows", "out")
    for k, (monitor, variable) in enumerate(_recorded(spiking).values()):
        values, t, N = (array_name(monitor.variables[name]) for name in (variable, "t", "N"))
        rows += _ROWS % {"values": values, "t": t, "N": N, "kind": _CLIPPED + k, "name": _NAME, "write": write}
    spikes_t, spikes_i, spikes_N = (array_name(spiking.spikes.variables[name]) for name in ("t", "i", "N"))
    code = _CODE % {
        "name": _NAME,
        "folder": RESULTS_FOLDER,
        "rows": rows,
        "spikes_t": spikes_t,
        "spikes_i": spikes_i,
        "spikes_N": spikes_N,
        "spikes": _SPIKES,
        "boundary": _BOUNDARY,
        "file_bytes": FILE_BYTES,
    }

    @b2.implementation("cpp", code, headers=["<fstream>", "<string>", "<cstdint>"])
    @b2.check_units(tick=1, result=1)
    def written(tick: float) -> float:
        raise NotImplementedError("for compiled programs only")

    tick_s = spiking.grid.tick_s
    writer = b2.NeuronGroup(1, "written : 1", namespace={_NAME: written}, name="writer")
    writer.run_regularly(
        f"written = {_NAME}(floor(t/({tick_s!r}*second) + 0.5))",
        dt=ticks * tick_s * b2.second,
        order=SNAPSHOT + 1,
        name="write_stream",
    )
    spiking.network.add(writer)


def _recorded(spiking: SpikingNetwork) -> dict[str, tuple[Any, str]]:
    """Return the monitors of snapshots, each with its variable: that of clipped cells first."""
    monitors = {name: (monitor, RECORDED.get(name, "w")) for name, monitor in spiking.monitors.items()}
    return {"": (spiking.clipped, "clipped"), **monitors}


class Stream:
    """Reads what one run of a program writes, and hands it over.

    Parameters
    ----------
    folder : Path
        The run's results.
    spiking : SpikingNetwork
    harvest : Harvest
    """

    def __init__(self, folder: Path, spiking: SpikingNetwork, harvest: Harvest) -> None:
        self.folder, self.harvest = folder, harvest
        self._tick_s = harvest.layout.grid.tick_s
        self._names = list(_recorded(spiking))
        self._number = self._offset = 0
        self._spikes: tuple[FloatArray, NDArray[np.int32]] = np.zeros(0), np.zeros(0, np.int32)
        self._rows: dict[str, FloatArray] = {}

    def poll(self) -> None:
        """Hand over all that has been written up to the last boundary."""
        while True:
            path = self._path(self._number)
            later = self._path(self._number + 1).exists()  # then this one is whole
            if not path.exists():
                return
            self._read(path)
            if not later:
                return
            path.unlink()
            self._number, self._offset = self._number + 1, 0

    def _path(self, number: int) -> Path:
        return self.folder / f"stream-{number}.bin"

    def _read(self, path: Path) -> None:
        """Read the chunks of a file that are whole, from where it was left."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            while self._offset + 24 <= size:
                file.seek(self._offset)
                kind, a, b = np.frombuffer(file.read(24), np.int64).tolist()
                content = 0 if kind == _BOUNDARY else 12 * a if kind == _SPIKES else 8 * a * b
                if self._offset + 24 + content > size:
                    return
                self._take(kind, a, b, file.read(content))
                self._offset += 24 + content

    def _take(self, kind: int, a: int, b: int, content: bytes) -> None:
        if kind == _SPIKES:
            self._spikes = np.frombuffer(content, np.float64, a), np.frombuffer(content, np.int32, offset=8 * a)
        elif kind == _BOUNDARY:
            self._hand_over(a)
        else:
            self._rows[self._names[kind - _CLIPPED]] = np.frombuffer(content, np.float64).reshape(a, b)

    def _hand_over(self, tick: int) -> None:
        self.harvest.spikes(*self._spikes, tick)
        clipped = self._rows.pop("")
        for row, counts in enumerate(clipped):
            self.harvest.snapshot({name: rows[row] for name, rows in self._rows.items()}, counts)
        self._rows = {}
        self.harvest.recorder.progress(min(tick, self.harvest.layout.grid.ticks) * self._tick_s)
