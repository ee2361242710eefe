"""What the environment says of the processes of a run, and which of them speaks."""

from __future__ import annotations

import pytest

from neuromirror.backends.torch.ranks import joined
from neuromirror.commands import ending
from neuromirror.errors import RequestError, RunError
from neuromirror.processes import Place, place

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT")


def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Say no more of the processes than this."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert place() == Place(rank=0, size=1)
    environment(monkeypatch, WORLD_SIZE="4", RANK="3", LOCAL_RANK="1", TORCHELASTIC_RESTART_COUNT="2")
    assert place() == Place(rank=3, size=4, local_rank=1, restarts=2)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"WORLD_SIZE": "8"}, "^RANK is not set, but WORLD_SIZE is: .* Start with torchrun, or without WORLD_SIZE"),
        ({"WORLD_SIZE": "many", "RANK": "0"}, "^WORLD_SIZE=many: torchrun gives a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "^RANK=2: of 2 processes there is none of that number"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "^RANK=-1: of 2 processes"),
        ({"WORLD_SIZE": "0", "RANK": "0"}, "^RANK=0: of 0 processes"),
        ({"RANK": "3"}, "^RANK=3: of 1 processes"),
    ],
)
def test_what_no_torchrun_says_is_refused(values: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, **values)
    with pytest.raises(RequestError, match=says):
        place()
    assert ending.own_rank() == 0


@pytest.mark.parametrize(
    ("also", "missing"),
    [({}, "MASTER_ADDR and MASTER_PORT"), ({"MASTER_ADDR": "localhost"}, "MASTER_PORT")],
)
def test_other_processes_that_are_nowhere_are_refused_at_once(
    also: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, WORLD_SIZE="8", RANK="0", **also)
    with pytest.raises(RequestError, match=rf"^WORLD_SIZE=8 .* no {missing} says where\. Start with torchrun"):
        joined.__wrapped__()


@pytest.mark.parametrize(("rank", "kind", "waits"), [(0, RequestError, 0), (1, RequestError, 1), (1, RunError, 0)])
def test_no_error_goes_unsaid_but_the_first_speaks_first_of_a_request(
    rank: int,
    kind: type[Exception],
    waits: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    waited: list[float] = []
    environment(monkeypatch, WORLD_SIZE="2", RANK=str(rank))
    monkeypatch.setattr(ending.time, "sleep", waited.append)
    ending.say_error("it is so", kind("it is so"))
    assert capsys.readouterr().err == ("rank 1: error: it is so\n" if rank else "error: it is so\n")
    assert len(waited) == waits
