"""The rules that a circuit file can name. A module here with a `RULE` is all that a new one takes."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType

from neuromirror.rules.rule import LibraryRule


@cache
def library() -> MappingProxyType[str, LibraryRule]:
    """Return the library's rules by name."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return MappingProxyType({module.RULE.name: module.RULE for module in modules})
