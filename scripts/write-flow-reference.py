"""Writes the page of all steps of call flows from their declarations; a test holds the committed page against them."""

import sys
from pathlib import Path

import msgspec
from msgspec import inspect

from tenderline.core.condition import Condition
from tenderline.flows import steps
from tenderline.flows.phrase import KINDS, Text
from tenderline.flows.run import STEPS_MAX
from tenderline.flows.step import Step, parameters_of
from tenderline.flows.variables import BUILT_IN, Reads, Sets

HEAD = """# Call flows

Written by `make docs` from the steps' declarations. Why flows are as they are stands in
[0017](../decisions/0020-call-flows.md). `tenderline flow check` names every fault of a flow with its line,
`tenderline flow show` and `tenderline flow draw` show it; the shipped ones are named without a path.

## A flow

A flow is a TOML file: nodes, each with a step, its parameters, and where its exits lead.

```toml
name = "front_door"
title = "Front door"
language = "en"
languages = ["en", "es"]
start = "greeting"
on_error = "sorry"
apology = { en = "Something went wrong. Goodbye.", es = "Algo salió mal. Adiós." }

[given]
organisation = "Example Aid"

[node.greeting]
step = "say"
text = { en = "Welcome to {organisation}.", es = "Bienvenido a {organisation}." }
next = "menu"

[node.menu]
step = "menu"
text = { en = "For an agent, press 1.", es = "Para hablar con alguien, marque 1." }
keys = ["1"]
exits = { 1 = "agent", no_input = "sorry", no_match = "sorry" }

[node.agent]
step = "queue"
queue = "front_desk"
exits = { talked = "sorry", timed_out = "sorry", nobody = "sorry" }

[node.sorry]
step = "hangup"
text = { en = "Goodbye.", es = "Adiós." }
```

| key | is |
|---|---|
| `name` | small letters, digits and underscores |
| `title` | a line for people |
| `language`, `languages` | its own language, and all it speaks; every text stands in each of them |
| `start` | the node it begins at |
| `given` | variables that the number's table may set, each with its value when it does not |
| `on_error` | the node that takes over when a step fails; the second time the call ends |
| `apology` | said before hanging up when there is no such node |

Every exit of a step is wired in `exits`; where the only exit is `next`, `next = "menu"` does it. A call ends after
{steps_max} steps at the latest. A flow ends the call on every way, or gives the caller back on every way (`return`):
then it is called by an agent on a call that lasts, and no line leads to it.

**Texts** have placeholders: `{{name}}` is said as what the variable holds, `{{name:kind}}` as {kinds}. A brace that is
meant is written twice. A variable that holds nothing is left out.

**Variables** are set by steps. {built_in} are known on every call. **Expressions** are
[CEL](https://cel.dev); money is seen as `amount.minor` and `amount.currency`. What looks like a card number is kept in
no variable.

**Facts** are what the checker proves on every way to a step that needs them: `recording_off` holds when a call begins,
`recording_announced` comes of a `say` that no key cuts short, `<variable>_confirmed` of a `confirm`, and is lost when
the variable is set anew.
"""


def page() -> str:
    """The page as Markdown."""
    head = HEAD.replace("{steps_max}", str(STEPS_MAX)).replace("{{", "{").replace("}}", "}")
    head = head.replace("{kinds}", _listed(filter(None, KINDS))).replace("{built_in}", _listed(sorted(BUILT_IN)))
    return head + "".join(_section(name, kind) for name, kind in steps.shipped().items())


def _listed(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _section(name: str, kind: type[Step]) -> str:
    said = "\n\n".join(" ".join(part.split()) for part in (kind.__doc__ or "").split("\n\n"))
    exits = [f"`{one}`" for one in kind.fixed_exits]
    if kind.derived_exits:
        exits.append(kind.derived_exits)
    lines = [f"\n## {name}\n", f"\n{said}\n"]
    fields = parameters_of(kind)
    if fields:
        lines.append("\n| parameter | is | default |\n|---|---|---|\n")
        lines += [_row(field) for field in fields]
    facts = [("exits", ", ".join(exits)), ("ends by", _listed(kind.ends))]
    facts += [("needs", _listed(sorted(kind.needs))), ("gives", kind.derived_facts or _listed(sorted(kind.gives)))]
    facts += [("takes away", _listed(sorted(kind.takes_away))), ("touches", ", ".join(sorted(kind.touches)))]
    told = "; ".join(f"{what} {value}" for what, value in facts if value)
    lines.append(f"\n{told[0].upper()}{told[1:]}.\n")
    return "".join(lines)


def _row(field: msgspec.structs.FieldInfo) -> str:
    default = "required" if field.required else _default(field.default)
    return f"| `{field.name}` | {_kind(inspect.type_info(field.type))} | {default} |\n"


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value in (None, "", (), msgspec.NODEFAULT) else f"`{value}`"


def _kind(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner):
            description = (info.extra_json_schema or {}).get("description", "")
            return _kind(inner) + (f". {description}".rstrip(".") if description else "")
        case inspect.UnionType(types=types):
            return " or ".join(_kind(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.CustomType(cls=cls):
            return {Text: "text", Condition: "CEL", Sets: "variable, set", Reads: "variable, read"}[cls]
        case inspect.VarTupleType(item_type=item):
            return f"list of: {_kind(item)}"
        case inspect.DictType(key_type=key, value_type=value):
            return f"table: {_kind(key)} to {_kind(value)}"
        case inspect.IntType() | inspect.FloatType():
            name = "whole number" if isinstance(info, inspect.IntType) else "number"
            bounds = "" if info.ge is None else f", {info.ge:g} to {info.le:g}"
            return name + bounds
        case inspect.LiteralType(values=values):
            return " or ".join(f"`{one}`" for one in values)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(pattern=pattern):
            return {r"^[0-9*#]$": "key", r"^[a-z][a-z0-9_]{0,39}$": "name"}.get(pattern or "", "string")
    raise NotImplementedError(str(info))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")
