"""The map of events and reactions is whole: what it names is there, and every event can be kept and told."""

from __future__ import annotations

import inspect
import string
from typing import Any, get_args
from uuid import UUID

import msgspec
import pytest

from tenderline.core import events
from tenderline.core.events import AnyEvent, Event
from tenderline.store import events as stored_events
from tenderline.worker.reactions import REACTIONS, handlers, subscriptions

KINDS: tuple[type[Event], ...] = tuple(
    kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event) and kind is not Event
)
DISTINCT = sorted({one for reactions in REACTIONS.values() for one in reactions}, key=lambda one: one.__name__)
SUBJECTS = ("person_id", "payment_id", "case_id", "attempt_id")


def example(kind: type[Event], *, whole: bool) -> Event:
    """An event of that kind; `whole` fills optional fields too."""
    values: dict[str, Any] = {}
    for number, field in enumerate(msgspec.structs.fields(kind), 1):
        if not field.required and not whole:
            continue
        if field.name in SUBJECTS or field.type in (UUID, UUID | None):
            values[field.name] = UUID(int=number)
        elif field.type is str:
            values[field.name] = f"“{field.name}” {{braces}} ✓"
        elif field.type is int:
            values[field.name] = 2**53 + number
        elif field.type == list[str]:
            values[field.name] = ["OWN-HOURS", "OWN-CAP-24H"]
        else:
            raise AssertionError(f"{kind.__name__}.{field.name}: no example for {field.type}")
    return kind(**values)


def test_every_event_is_in_the_union_that_is_decoded() -> None:
    assert set(KINDS) == set(get_args(AnyEvent))
    assert len(get_args(AnyEvent)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [False, True], ids=["bare", "whole"])
def test_every_event_comes_back_from_storage_as_it_was(kind: type[Event], whole: bool) -> None:
    event = example(kind, whole=whole)
    assert events.decode(events.encode(event)) == event
    assert msgspec.json.decode(events.encode(event))["kind"] == events.kind_of(event) == kind.__name__


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [False, True], ids=["bare", "whole"])
def test_every_event_is_told_in_a_sentence_of_its_own_fields(kind: type[Event], whole: bool) -> None:
    event = example(kind, whole=whole)
    named = {name for _, name, _, _ in string.Formatter().parse(kind.summary) if name is not None}
    sentence = events.sentence(event)
    assert named <= {field.name for field in msgspec.structs.fields(kind)} - set(SUBJECTS)
    assert sentence.strip()
    assert all(str(getattr(event, name)) in sentence for name in named)


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_says_what_it_means_and_how_it_is_told(kind: type[Event]) -> None:
    assert kind.__doc__
    assert kind.__doc__ != Event.__doc__
    assert "summary" in vars(kind), "its own sentence, not the root's"


def test_an_event_of_a_newer_version_is_refused_by_name_of_its_kind() -> None:
    with pytest.raises(msgspec.ValidationError, match="MoonRose"):
        events.decode(b'{"kind": "MoonRose"}')


@pytest.mark.parametrize("kind", REACTIONS)
def test_whoever_is_reacted_to_is_an_event(kind: type[Event]) -> None:
    assert kind in KINDS
    assert REACTIONS[kind], "an event without a reaction is left out of the map"


@pytest.mark.parametrize("reaction", DISTINCT)
def test_every_reaction_says_what_it_does_and_waits_for_nothing_else(reaction: Any) -> None:
    assert inspect.iscoroutinefunction(reaction)
    assert (reaction.__doc__ or "").strip().endswith(".")
    assert list(inspect.signature(reaction).parameters) == ["services", "event"]


def test_job_names_are_unique_and_are_the_names_of_the_reactions() -> None:
    names = [one.__name__ for one in DISTINCT]
    assert len(set(names)) == len(names), "two reactions of one name would run as one job"
    assert all(len(set(reactions)) == len(reactions) for reactions in REACTIONS.values()), "twice for one event"


def test_every_job_that_is_enqueued_has_a_handler() -> None:
    enqueued = {name for names in subscriptions().values() for name in names}
    assert enqueued == set(handlers(None))  # type: ignore[arg-type]  # bound, not run
    assert set(subscriptions()) == {kind.__name__ for kind in REACTIONS}


def test_the_store_takes_the_map_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, tuple[str, ...]] = {"Stale": ("gone",)}
    monkeypatch.setattr(stored_events, "_subscriptions", taken)
    stored_events.subscribe(subscriptions())
    assert taken == subscriptions()
