"""What every kind of step says of itself, so that a flow can be checked before any call takes it.

A step is a class named `Step` in a file of its own in `steps/`: its fields are its parameters, and its methods say
which exits it has, which facts must hold before it, and which hold after each exit. Facts are words (`recording_off`),
or `$name` for a variable that is set.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Annotated, ClassVar, Literal

import msgspec

from tenderline.flows.call import Backstage, Call

Touches = Literal["caller", "agent", "database", "network", "recording"]
Text = str | dict[str, str]
"""Words with placeholders, in one language or by language: `{ en = "…", es = "…" }`."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3_600)]
Tries = Annotated[int, msgspec.Meta(ge=1, le=10)]

ALWAYS = frozenset({"$organisation", "$campaign", "$currency", "$fund", "$caller", "$called", "$language"})
"""Variables that every call has."""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The root of all steps."""

    about: ClassVar[str] = ""
    touches: ClassVar[frozenset[Touches]] = frozenset()
    is_end: ClassVar[bool] = False
    """The call is over, or somebody else's, after it."""
    waits: ClassVar[bool] = False
    """Somebody is asked, heard or waited for: a circle of such steps goes round no faster than a person does."""

    @classmethod
    def kind(cls) -> str:
        """The name of the step: that of its file."""
        return cls.__module__.rpartition(".")[2]

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """The names of its exits; a menu has one for each key that is wired."""
        del wired
        return frozenset({"next"})

    def needs(self) -> frozenset[str]:
        """Facts that must hold on every way to it."""
        return frozenset()

    def gives(self, exit: str) -> frozenset[str]:
        """Facts that hold after this exit."""
        del exit
        return frozenset()

    def takes_away(self, exit: str) -> frozenset[str]:
        """Facts that do not hold any more after this exit."""
        del exit
        return frozenset()

    def texts(self) -> Mapping[str, Text]:
        """What it says, by the name of the parameter."""
        return {}

    def faults(self) -> list[tuple[str, str]]:
        """What is wrong with the parameters together: (parameter, what)."""
        return []

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Does it; returns the exit. `wired` are the exits that lead somewhere. Raises `CallEndedError`."""
        raise NotImplementedError


@cache
def kinds() -> dict[str, type[Step]]:
    """Every kind of step, found by its file."""
    from tenderline.flows import steps

    found: dict[str, type[Step]] = {}
    for module in pkgutil.iter_modules(steps.__path__):
        loaded = importlib.import_module(f"{steps.__name__}.{module.name}")
        kind = loaded.Step
        assert issubclass(kind, Step), module.name
        found[module.name] = kind
    return found
