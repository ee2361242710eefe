"""Processes that load batches ahead of the one that trains."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from neuromirror.errors import NeuromirrorError, RunError


class Requests(Protocol):
    """A known number of requests, which need not be there before they are asked for."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class Workers:
    """Processes that answer requests, in the order in which these are made.

    They are started when first needed and stay for the next sequence of requests, unless the last one is still being
    read: then it gets processes of its own. Each keeps to one thread, as torch has it in the workers of a loader.

    Parameters
    ----------
    answer : callable
        What a request is answered with; it can be pickled.
    workers : int
        How many processes.
    pin_memory : bool
        Whether tensors come in memory that a GPU reads directly.
    start_method : str or None
        "fork", "spawn" or "forkserver"; None for what is usual on the system.
    """

    def __init__(
        self, answer: Callable[[Any], Any], workers: int, *, pin_memory: bool = False, start_method: str | None = None
    ) -> None:
        self._answer = answer
        self._options: dict[str, Any] = {
            "num_workers": workers,
            "pin_memory": pin_memory,
            "multiprocessing_context": start_method,
        }
        self._idle: list[_Loader] = []

    def answers(self, requests: Requests) -> Iterator[Any]:
        """Give the answer to each request.

        Raises
        ------
        RunError
            If a process ends before it has answered. A `NeuromirrorError` of a worker is raised as it is.
        """
        loader = self._idle.pop() if self._idle else _Loader(self._answer, self._options)
        loader.requests.waiting = requests
        answer = None
        try:
            for answer in loader.loader:
                if isinstance(answer, NeuromirrorError):
                    raise answer
                yield answer
        except RuntimeError as error:
            if isinstance(error, NeuromirrorError) or "DataLoader worker" not in str(error):
                raise
            loader = None
            raise RunError(
                f"loading data: a worker ended before its time ({error}). It may have run out of memory, or of shared "
                "memory (/dev/shm): use fewer workers, or smaller batches."
            ) from error
        finally:
            # An error that was an answer has this frame in its traceback. A cycle would leave its processes to the
            # garbage collector, by which they end only after seconds.
            del answer
            if loader is not None:
                self._idle.append(loader)


def _deaf(number: int) -> None:
    """Let Ctrl-C go to the process that trains alone: it ends the workers when it has come to the end of a step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Loader:
    """A loader, and the requests that it takes when it is next read."""

    def __init__(self, answer: Callable[[Any], Any], options: dict[str, Any]) -> None:
        self.requests = _Requests()
        self.loader: DataLoader[Any] = DataLoader(
            _Answers(answer),
            sampler=self.requests,
            batch_size=None,
            worker_init_fn=_deaf,
            persistent_workers=True,
            generator=torch.Generator(),  # its own, or each epoch would take a number of the global one
            **options,
        )


class _Requests(Sampler[Any]):
    """What a loader calls the sampler: the requests in their order."""

    def __init__(self) -> None:
        self.waiting: Requests = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.waiting)

    def __len__(self) -> int:
        return len(self.waiting)


class _Answers(Dataset[Any]):
    """What a loader calls the dataset: the answer to a request, or the error that it gave."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def __getitem__(self, request: Any) -> Any:
        try:
            return self._answer(request)
        except NeuromirrorError as error:  # raised here, it would come with the worker's traceback as its message
            return error
