"""All steps there are: one file each, found by looking. The name of a step is the name of its file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from tenderline.flows.step import Step

Steps = Mapping[str, type[Step]]


@cache
def shipped() -> Steps:
    """Every step by its name."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return MappingProxyType({name: _only_step(name) for name in names})


def _only_step(name: str) -> type[Step]:
    module = importlib.import_module(f"{__name__}.{name}")
    kinds = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Step) and one.__module__ == module.__name__
    ]
    assert len(kinds) == 1, f"flows/steps/{name}.py holds {len(kinds)} steps, not one"
    return kinds[0]
