"""What a step is: its parameters, its exits, what it needs to be true and makes true, and what it does to a call.

A new step is one new file in `flows/steps/`: a frozen struct whose fields are its parameters. The checker, the
reference page and the tests find it there, and read everything they want to know from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from tenderline.core.condition import Condition
from tenderline.core.errors import TenderlineError
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.graph import Flow, Node
from tenderline.flows.phrase import InvalidTextError, Text, text_of
from tenderline.flows.spoken import Spoken
from tenderline.flows.variables import BUILT_IN, VALUE_CHARACTERS_MAX, Reads, Sets, is_storable, of

Touch = Literal["caller", "agent", "database", "network"]
Facts = frozenset[str]
NOTHING: Facts = frozenset()

RECORDING_ON = "recording_on"
RECORDING_OFF = "recording_off"
RECORDING_ANNOUNCED = "recording_announced"
AT_THE_START: Facts = frozenset({RECORDING_OFF})
"""True of every call before its first step."""
RETURNED = "returned"
"""The end of a flow that gives the caller back to whoever called it, instead of ending the call."""


def confirmed(variable: str) -> str:
    """The fact that the caller heard a variable's value and said yes to it. Setting it anew undoes the fact."""
    return f"{variable}_confirmed"


Tries = Annotated[int, Meta(ge=1, le=10, description="How often it is asked in all.")]
KeyWait = Annotated[float, Meta(ge=1, le=60, description="How long the first key is waited for.")]
Ring = Annotated[float, Meta(ge=5, le=120, description="How long it may ring.")]
Answer = Annotated[float, Meta(ge=0.1, le=10, description="How long an answer is waited for.")]
Key = Annotated[str, Meta(pattern=r"^[0-9*#]$")]
Destination = Annotated[
    str,
    Meta(
        pattern=r"^(?:\+[1-9][0-9]{6,14}|sip:[A-Za-z0-9][A-Za-z0-9.-]{0,39})$",
        description="A number in E.164, or sip:NAME of a telephone registered here. No variable: a caller must not"
        " choose who is called.",
    ),
]
Names = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class StepError(TenderlineError):
    """A step of a flow could not do its work; the flow's node for errors takes over."""

    code = "flow_step_failed"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a call can do. Its fields are the parameters as a flow writes them."""

    touches: ClassVar[frozenset[Touch]] = frozenset()
    needs: ClassVar[Facts] = NOTHING
    gives: ClassVar[Facts] = NOTHING
    takes_away: ClassVar[Facts] = NOTHING
    brings: ClassVar[Mapping[str, Value]] = {}
    """Variables that its texts may name though no step has set them, because it finds them out itself: examples."""
    fixed_exits: ClassVar[tuple[str, ...]] = ("next",)
    derived_exits: ClassVar[str] = ""
    """In words, for the reference, which exits come of the parameters."""
    derived_facts: ClassVar[str] = ""
    """In words, which facts it gives on some exits, or with some parameters, only."""
    ends: ClassVar[tuple[str, ...]] = ()
    """Exits that lead nowhere, because the call is over."""

    def exits(self) -> tuple[str, ...]:
        """Every exit that the flow must wire."""
        return self.fixed_exits

    def gives_on(self, exit: str) -> Facts:
        """Facts that hold when it is left by that exit."""
        return self.gives

    def takes_away_on(self, exit: str) -> Facts:
        """Facts that hold no more when it is left by that exit."""
        return self.takes_away

    def sets_on(self, exit: str) -> frozenset[str]:
        """Variables that are set when it is left by that exit."""
        return frozenset()

    def samples(self) -> Mapping[str, Value]:
        """Of variables that it sets, an example of their values; what may be of any kind is not among them."""
        return {}

    def waits_on(self, exit: str) -> bool:
        """Whether somebody was asked or waited for on the way to that exit; a circle needs one such step."""
        return False

    def faults(self, flow: Flow) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with it in this flow: the keys that led there, and what to say."""
        yield from ()

    def more_words(self, language: str) -> tuple[str, ...]:
        """What it says besides its parameters, for whoever makes clips beforehand."""
        return ()

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Does it, and says by which exit. Raises `CallEndedError` once the caller has hung up."""
        raise NotImplementedError


@cache
def parameters_of(kind: type[Step]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The parameters of a step, read once: resolving annotations is nearly all that a check would do."""
    return msgspec.structs.fields(kind)


def reads(step: Step) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every variable a step reads, with the keys of its parameters that name it."""
    for field in parameters_of(type(step)):
        yield from _names((field.name,), getattr(step, field.name), Reads)


def settable(step: Step) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every variable a step may set, with the keys of its parameters that name it."""
    for field in parameters_of(type(step)):
        yield from _names((field.name,), getattr(step, field.name), Sets)


def texts(step: Step) -> Iterator[tuple[tuple[str, ...], Text]]:
    """Every text of a step, with its keys."""
    for field in parameters_of(type(step)):
        for keys, value in _leaves((field.name,), getattr(step, field.name)):
            if isinstance(value, Text):
                yield keys, value


def _names(keys: tuple[str, ...], value: object, kind: type[Reads | Sets]) -> Iterator[tuple[tuple[str, ...], str]]:
    for below, leaf in _leaves(keys, value):
        if isinstance(leaf, kind):
            yield below, str(leaf)
        elif isinstance(leaf, Text | Condition) and kind is Reads:
            yield from ((below, name) for name in sorted(leaf.variables))


def _leaves(keys: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves((*keys, str(key)), one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _leaves(keys, one)
    else:
        yield keys, value


def read(kind: type[Step], node: Node, language: str) -> tuple[Step | None, list[tuple[tuple[str, ...], str]]]:
    """A step of the parameters of a node; else all that is wrong with them, each with its keys."""
    faults: list[tuple[tuple[str, ...], str]] = []
    values: dict[str, Any] = {}
    fields = {field.name: field for field in parameters_of(kind)}
    for key in node.parameters.keys() - fields.keys():
        faults.append(((key,), f"unknown parameter {key!r}; {_offered(tuple(fields))}"))
    for name, field in fields.items():
        if name not in node.parameters:
            if field.required:
                faults.append(((), f"lacks {name!r}, which the step {node.step} needs"))
            continue
        try:
            written = msgspec.to_builtins(node.parameters[name])
            values[name] = msgspec.convert(written, field.type, dec_hook=lambda as_, raw: _made(as_, raw, language))
        except (msgspec.ValidationError, InvalidTextError) as error:
            faults.append(((name,), f"{name}: {error}"))
    if faults:
        return None, faults
    try:
        return kind(**values), []
    except ValueError as error:  # raised by the step's own look at its parameters together
        return None, [((), str(error))]


def _offered(names: tuple[str, ...]) -> str:
    return f"there are {', '.join(names)}" if names else "it has none"


def _made(kind: type, raw: object, language: str) -> object:
    """A value of one of our own types; `msgspec` knows the rest."""
    if kind is Text:
        return text_of(raw, language)
    if kind is Condition:
        return Condition(raw)
    if kind in (Sets, Reads):
        name = msgspec.convert(raw, Names)
        if kind is Sets and name in BUILT_IN:
            raise ValueError(f"{name!r} is known of every call and cannot be set")
        return Sets(name) if kind is Sets else Reads(name)
    raise NotImplementedError(f"no parameter is read as {kind.__name__}")


def spoken(text: Text, call: Call) -> Spoken:
    """A text as this call would hear it now."""
    return text.spoken(call.language, of(call))


def keep(call: Call, name: str, value: Value) -> None:
    """Sets a variable, unless it looks like a card number: those never lie among the variables of a call."""
    if not is_storable(value):
        raise StepError(f"The value for {name!r} looks like a card number; it is not kept.")
    call.variables[name] = value


def take_over(call: Call, variables: tuple[Sets, ...], known: Mapping[str, Value]) -> None:
    """Sets these variables to what another side said; to nothing when it said nothing that may be kept."""
    for name in variables:
        value = known.get(name)
        text_too_long = isinstance(value, str) and len(value) > VALUE_CHARACTERS_MAX
        call.variables[str(name)] = value if is_storable(value) and not text_too_long else None
