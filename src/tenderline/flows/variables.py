"""What a call knows: variables, those every call has from its beginning, and what may never be kept in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenderline.core import pan

if TYPE_CHECKING:
    from tenderline.flows.call import Call, Value

BUILT_IN = frozenset({"caller", "called", "language"})
"""Known on every call, and set by no step. `caller` is null when the number was withheld."""

VALUE_CHARACTERS_MAX = 500


class Sets(str):
    """The name of a variable that a step sets."""

    __slots__ = ()


class Reads(str):
    """The name of a variable that a step reads."""

    __slots__ = ()


def of(call: Call) -> dict[str, Value]:
    """All that may be spoken or asked about."""
    built_in: dict[str, Value] = {"caller": call.caller, "called": call.called, "language": call.language}
    return {**call.variables, **built_in}


def is_storable(value: Value) -> bool:
    """False for what looks like a card number, also with an expiry or a code typed right behind it."""
    return not (isinstance(value, str | int) and pan.is_written_in(str(value)))
