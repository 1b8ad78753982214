"""The line of every table and key of a TOML text: the standard library reads TOML, and forgets where it stood.

It is asked only about texts that `tomllib` has read already, so it looks for no faults. Keys inside an inline table
have the line of the key that holds it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Keys = tuple[str, ...]

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*')"
_KEYS = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"\[\[?[ \t]*({_KEYS})[ \t]*\]\]?")
_PAIR = re.compile(rf"({_KEYS})[ \t]*=[ \t]*")
_ONE_KEY = re.compile(_KEY)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)+")
# The pieces of a value, the longest quotes first; of these only brackets and line ends matter to where it ends.
_PIECE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|[\[{]|[\]}]|\n|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)


def lines_of(text: str) -> dict[Keys, int]:
    """The first line of each table and key, by its full path."""
    written: dict[Keys, int] = {}
    implied: dict[Keys, int] = {}
    for keys, start in _places(text):
        line = text.count("\n", 0, start) + 1
        written.setdefault(keys, line)
        for length in range(1, len(keys)):
            implied.setdefault(keys[:length], line)
    return implied | written


def _places(text: str) -> Iterator[tuple[Keys, int]]:
    table: Keys = ()
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            at = blank.end()
        elif header := _HEADER.match(text, at):
            table = _split(header[1])
            yield table, at
            at = header.end()
        elif pair := _PAIR.match(text, at):
            yield (*table, *_split(pair[1])), at
            at = _end_of_value(text, pair.end())
        else:
            at += 1


def _split(keys: str) -> Keys:
    return tuple(_unquoted(one) for one in _ONE_KEY.findall(keys))


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return next(iter(tomllib.loads(f"{key} = 0")))


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while piece := _PIECE.match(text, at):
        first = piece.group()
        if first == "\n" and depth == 0:
            break
        depth += (first in "[{") - (first in "]}")
        at = piece.end()
    return at
