"""Options that a command has not, and the value of the circuit file that is meant by them.

What a circuit file says is set by ``--set``, and not by options: ``--epochs 3`` of other programs is
``--set training.epochs=3`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cyclopts import UnknownOptionError

from neuromirror.errors import RequestError

TABLES = ("training", "code", "time", "mirroring", "feedback", "stimulus")
"""Tables that a file has one of; with `train` the first to know a name is meant, elsewhere the last is asked first."""

SYNONYMS: Mapping[str, str] = {
    "lr": "training.rate",
    "learning_rate": "training.rate",
    "batch_size": "training.batch",
    "minibatch": "training.batch",
    "micro_batch_size": "training.micro_batch",
    "max_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "max_steps": "training.steps",
    "warmup": "training.warmup_epochs",
    "augmentation": "training.augment",
    "momentum": "rules.forward.updater.momentum",
    "weight_decay": "rules.forward.updater.decay",
    "wd": "rules.forward.updater.decay",
    "duration": "schedule.0.duration",
    "examples": "schedule.0.examples",
    "time_step": "time.dt",
    "timestep": "time.dt",
    "sizes": "layers.sizes",
}
"""What other programs call a value, and what some parts of a file call one that is in several tables."""


def naming_values(command: Callable[[], object], arguments: Sequence[str]) -> object:
    """Call a command, and say of an option that it has not which value of the file is meant.

    Parameters
    ----------
    command : callable
    arguments : sequence of str
        Of the command line.

    Raises
    ------
    RequestError
        If an option is no option, and there is such a value.
    """
    try:
        return command()
    except UnknownOptionError as error:
        option, equals, value = str(error.token.keyword or error.token.value).partition("=")
        name = dotted_name(option, training="train" in arguments[:1])
        if name is None:
            raise
        if not equals:
            value = _following(option, arguments)
        message = f"unknown option: {option}. A value of the circuit file is set by --set {name}={value}"
        raise RequestError(f"{message}.") from error


def dotted_name(option: str, *, training: bool) -> str | None:
    """Return the dotted name of the value that an option stands for, or None.

    Parameters
    ----------
    option : str
        As it was written, such as ``"--batch-size"``.
    training : bool
        Whether the command trains from images.
    """
    word = option.lstrip("-").replace("-", "_").lower()
    if not option.startswith("--") or not word:
        return None
    if word in SYNONYMS:
        return SYNONYMS[word]
    from neuromirror.circuit.validate import fields_at  # here: it loads pydantic, and most command lines are right

    tables = TABLES if training else TABLES[::-1]
    return next((f"{table}.{word}" for table in tables if word in fields_at((table,))), None)


def _following(option: str, arguments: Sequence[str]) -> str:
    """Return what follows an option, or dots where nothing does that could be its value."""
    for word, after in zip(arguments, [*arguments[1:], "--"], strict=True):
        if word.partition("=")[0] == option:
            value = word.partition("=")[2] or after
            return "…" if value.startswith("--") else f'"{value}"' if " " in value else value
    return "…"
