"""Questions about the variables of a call or of a donor, in CEL: small, safe, and checked before use.

CEL has no loops but those over a list or a map, and these are not harmless inside one another: each level multiplies,
and a dozen fit into 500 characters. One is allowed.

Money is seen as `amount.minor` (an int) and `amount.currency`; a date as a timestamp of its midnight in UTC.
The library is imported when the first expression is read: it brings a command line of its own along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from tenderline.core.money import Money

Value = str | int | bool | Money | date | datetime | list[str] | None

EXPRESSION_CHARACTERS_MAX = 500
LOOPS_MAX = 1
FUNCTIONS = frozenset(
    {"bytes", "contains", "double", "duration", "dyn", "endsWith", "int", "matches", "size", "startsWith", "string"}
    | {"timestamp", "type", "uint", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear"}
    | {"getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds"}
)
"""What the library has. It reads a name that it lacks without a word, and has no answer later."""
_BINDER = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")


class InvalidConditionError(ValueError):
    """An expression cannot be used; the message says why."""


class UnansweredError(ValueError):
    """An expression has no answer for these values: types that do not go together, a number too large."""


class Condition:
    """One CEL expression."""

    __slots__ = ("_program", "source", "variables")

    def __init__(self, source: object) -> None:
        import cel

        if not isinstance(source, str) or not source.strip():
            raise InvalidConditionError('is no expression; write one in CEL, such as "amount.minor > 5000"')
        if len(source) > EXPRESSION_CHARACTERS_MAX:
            raise InvalidConditionError(f"is longer than {EXPRESSION_CHARACTERS_MAX} characters")
        source = " ".join(source.splitlines())  # a comment at a line's end could hide a loop from us
        try:
            self._program = cel.compile(source)
        except ValueError as error:
            raise InvalidConditionError(f"is no CEL: {_first_line(str(error), source)}") from None
        if unknown := sorted(name for name in self._program.functions() if name.isalpha() and name not in FUNCTIONS):
            raise InvalidConditionError(f"calls {unknown[0]}(), which there is not; {', '.join(sorted(FUNCTIONS))}")
        bound = _BINDER.findall(source)
        if len(bound) > LOOPS_MAX:
            raise InvalidConditionError("goes through more than one list; that could take for ever")
        self.source = source
        self.variables = frozenset(self._program.variables()) - set(bound)

    def answer(self, variables: Mapping[str, Value]) -> Any:
        """What it comes to; raises `UnansweredError` when it comes to nothing."""
        try:
            return self._program.execute({name: _seen(variables.get(name)) for name in self.variables})
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise UnansweredError(f"{self.source!r} has no answer: {_first_line(str(error), '')}") from None

    def holds(self, variables: Mapping[str, Value]) -> bool:
        """Whether it is true; what has no answer is not (an empty variable is no reason to end a call)."""
        try:
            return self.answer(variables) is True
        except UnansweredError:
            return False


def _seen(value: Value) -> Any:
    if isinstance(value, Money):
        return {"minor": value.minor, "currency": value.currency}
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time.min, UTC)
    return value


def _first_line(message: str, source: str) -> str:
    line = message.removeprefix(f"Failed to parse expression '{source}': ").splitlines()[0]
    line = re.sub(r"^ERROR: <input>:\d+:(\d+): ", r"at character \1, ", line)
    return line if len(line) <= 160 else f"{line[:159]}…"
