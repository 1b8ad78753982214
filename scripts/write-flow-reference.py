"""Writes the page of steps from what the steps say of themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from tenderline.flows.step import Step, kinds

HEAD = """# Steps of call flows

Written from the steps themselves by `make docs`. A flow is a TOML file: `name`, `title`, `languages`, `start`,
`on_error` (the node that a defect leads to), and nodes. A node has a `step`, the step's parameters, and where its exits
lead: `next = "menu"`, or `exits = { open = "menu", closed = "bye" }`. Texts are one string, or one for each language;
placeholders are `{name}`, `{amount:money}`, `{code:digits}`, `{day:date}`, `{hour:time}`, `{count:number}`. Every call
has the variables organisation, campaign, currency, fund, caller, called and language.

```
name = "hello"
title = "Hello"
start = "greeting"

[node.greeting]
step = "say"
text = "Welcome to {organisation}."
next = "bye"

[node.bye]
step = "hangup"
```
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, step in sorted(kinds().items()):
        parts.append(f"\n## {name}\n\n{step.about}\n\n{_parameters(step)}\n{_exits(name, step)}\n")
    return "".join(parts)


def _parameters(step: type[Step]) -> str:
    rows = []
    for one in msgspec.structs.fields(step):
        required = one.default is msgspec.NODEFAULT and one.default_factory is msgspec.NODEFAULT
        default = "needed" if required else f"`{_written(one.default)}`"
        rows.append(f"| `{one.name}` | {default} |")
    if not rows:
        return "No parameters.\n"
    return "\n".join(["| parameter | default |", "|---|---|", *rows]) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else "[]" if value == () else str(value)


def _exits(name: str, step: type[Step]) -> str:
    if name == "menu":
        return "Exits: each key that is wired, `no_input`, `no_match`."
    if name == "choose":
        return "Exits: the names of the conditions, `otherwise`."
    if step.is_end and name == "hangup":
        return "The call is over after it."
    nobody: Any = None  # these exits depend on no parameter
    exits = ", ".join(f"`{one}`" for one in sorted(step.exits(nobody, frozenset())))
    return f"Exits: {exits}." + (" When it worked, the call is somebody else's." if step.is_end else "")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
