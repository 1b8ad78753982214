"""Conditions over a call's variables, in CEL: no loops, no side effects, and nothing but what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import cel

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.flows.call import Value

EXPRESSION_CHARACTERS_MAX = 500


class BadConditionError(InvalidInputError):
    """The condition cannot be read; write it in CEL, such as balance.minor > 5000."""

    code = "bad_condition"


@lru_cache(maxsize=1_024)
def read(expression: str) -> cel.Program:
    """The condition, ready to be asked; raises `BadConditionError`."""
    if len(expression) > EXPRESSION_CHARACTERS_MAX:
        raise BadConditionError("The condition is too long.")
    try:
        return cel.compile(expression)
    except ValueError as error:
        said = str(error).partition("ERROR: ")[2].partition("\n")[0] or "it is no CEL"
        raise BadConditionError(f"{expression!r} cannot be read: {said[:200]}") from None


def variables(expression: str) -> frozenset[str]:
    """The variables that it looks at."""
    return frozenset(read(expression).variables())


def holds(expression: str, known: Mapping[str, Value]) -> bool:
    """Whether it holds. What is not known is null; a comparison that makes no sense does not hold."""
    program = read(expression)
    context = {name: _plain(known.get(name)) for name in program.variables()}
    try:
        return program.execute(context) is True
    except (RuntimeError, TypeError, ValueError, KeyError):
        return False


def _plain(value: Value) -> Any:
    if isinstance(value, Money):
        return {"minor": value.minor, "currency": value.currency}
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value
