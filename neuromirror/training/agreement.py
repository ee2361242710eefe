"""What all ranks agree on: what is asked of them, and before each step what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neuromirror.backends.torch.fingerprint import fingerprint, fingerprint_of_all
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import Ranks
from neuromirror.data.broken import BrokenImages
from neuromirror.errors import NeuromirrorError, RequestError, RunError
from neuromirror.training.statistics import is_statistic

CHECKED_EVERY = 100
"""Steps from one comparison of W and B between ranks to the next."""


def check_alike(ranks: Ranks, asked: Mapping[str, object]) -> None:
    """Refuse to train in processes that were asked for different things, or have different images.

    Parameters
    ----------
    ranks : Ranks
    asked : mapping of str to object
        What must be the same on all, by what it is called.

    Raises
    ------
    RequestError
        On all ranks, with the first that differs.
    """
    first, *others = ranks.gathered(dict(asked))
    for rank, other in enumerate(others, start=1):
        for name, value in first.items():
            if other[name] != value:
                raise RequestError(
                    f"rank {rank}: {name} {other[name]}, where rank 0 has {value}. Start all processes with the same "
                    "options, circuit and images."
                )


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """What holds for all ranks.

    Attributes
    ----------
    stop, save : bool
        Whether any rank was asked to stop, and whether the first finds that it is time for a checkpoint.
    images : int
        Those of the step, of all ranks.
    finite : bool
        Whether every rank's losses are.
    """

    stop: bool
    save: bool
    images: int
    finite: bool


def agree(
    ranks: Ranks,
    broken: BrokenImages,
    known: int,
    *,
    stop: bool,
    save: bool,
    images: int,
    finite: bool,
    failure: NeuromirrorError | None,
) -> Agreed:
    """Exchange a few numbers, and the names of images that were found broken.

    Parameters
    ----------
    ranks : Ranks
    broken : BrokenImages
        Comes to know what any rank has found.
    known : int
        How many of them all ranks knew before.
    stop, save, images, finite
        As this rank has them; see `Agreed`.
    failure : NeuromirrorError or None
        What went wrong on this rank.

    Raises
    ------
    NeuromirrorError
        If anything went wrong on any rank, or more images are broken than there may be.
    """
    if ranks.size == 1:
        if failure is not None:
            raise failure
        return Agreed(stop=stop, save=save, images=images, finite=finite)
    new = dict(list(broken.found.items())[known:])
    mine = [stop, save and ranks.is_first, images, not finite, len(new), failure is not None]
    stopping, saving, all_images, lost, found, failed = ranks.numbers([float(one) for one in mine])
    if failed:
        ranks.raise_any(failure)
    if found:
        broken.agree(known, ranks.gathered(new))
    return Agreed(stop=stopping > 0, save=saving > 0, images=int(all_images), finite=not lost)


def check_same(network: Network, ranks: Ranks, steps: int) -> None:
    """Stop a run in which ranks have come to differ.

    Raises
    ------
    RunError
        With the arrays that differ and the ranks that have them.
    """
    if ranks.size == 1:
        return
    arrays = {name: one for name, one in network.state_dict().items() if not is_statistic(name)}
    if len(set(ranks.integers(fingerprint_of_all(arrays)))) == 1:
        return
    found: list[Mapping[str, int]] = ranks.gathered({name: fingerprint(one) for name, one in arrays.items()})
    other = {name: [rank for rank, has in enumerate(found) if has[name] != found[0][name]] for name in arrays}
    named = [f"{name} of rank {', '.join(map(str, some))}" for name, some in other.items() if some]
    raise RunError(
        f"after {steps} steps ranks differ from rank 0 in {'; '.join(named[:3])}"
        f"{f' and {len(named) - 3} more arrays' if len(named) > 3 else ''}. Machines whose processors or libraries "
        "differ may round otherwise; go on from the last checkpoint on machines of one kind."
    )
