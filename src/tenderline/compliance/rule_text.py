"""Rules as TOML again, shipped or written by an operator: what somebody reads, edits and puts back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, time
from typing import Any

import msgspec

from tenderline.compliance.rule import Row, Span

_DEFAULTS = {
    field.name: field.default for field in msgspec.structs.fields(Row) if field.default is not msgspec.NODEFAULT
}


def as_toml(rows: Iterable[Row]) -> str:
    """Rows as a rule file has them, without what is left at its default."""
    return "\n".join(_row(row) for row in rows)


def _row(row: Row) -> str:
    lines = ["[[rule]]"]
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if name not in _DEFAULTS or value != _DEFAULTS[name]:
            lines.append(f"{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case date() | time():
            return value.isoformat()
        case Span():
            opens, closes = value.opens.isoformat(), value.closes.isoformat()
            return f"{{ days = {_value(value.days)}, opens = {opens}, closes = {closes} }}"
        case tuple() if value and isinstance(value[0], Span):
            return "[\n" + "".join(f"    {_value(one)},\n" for one in value) + "]"
        case tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            # A basic string of TOML has the escapes of JSON; DEL is the one control character that JSON leaves alone.
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
