"""What others are told of what happened here: which events, under which name, and no more of a person than they need.

To tell of one more event, add its class to `TOLD` with a name and what is said of it. Names are for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tenderline.core.events import Event, PersonOptedIn, PersonOptedOut

TEST: Final = "webhook.test"
"""What `tenderline webhooks test` sends; nobody subscribes to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """By which addresses a person is known: what she says holds for all of them."""

    phone_numbers: Sequence[str] = ()
    email_addresses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of message: its name, and what it says of an event. `at` is when the event was written."""

    name: str
    say: Callable[[Any, datetime, Reached], dict[str, Any]]


def _word(event: PersonOptedOut | PersonOptedIn, at: datetime, reached: Reached) -> dict[str, Any]:
    """Of somebody's word about contact: whose, by which address and channel, since when, and by what means it came.

    Never the words themselves: they are nobody else's business.
    """
    return {
        "personId": str(event.person_id),
        "globalOptOutStatus": "TRUE" if isinstance(event, PersonOptedOut) else "FALSE",
        "channel": event.channel,
        "how": event.how or None,
        "address": event.address or None,
        "phoneNumbers": list(reached.phone_numbers),
        "emailAddresses": list(reached.email_addresses),
        "at": _instant(datetime.fromisoformat(event.said_at) if event.said_at else at),
    }


TOLD: Final[dict[type[Event], Told]] = {
    PersonOptedOut: Told("contact.opted_out", _word),
    PersonOptedIn: Told("contact.opted_in", _word),
}
NAMES: Final = tuple(told.name for told in TOLD.values())


def kinds_of(names: Sequence[str] = ()) -> list[str]:
    """The stored names of the events behind these messages; of all when none is named."""
    return [kind.__name__ for kind, told in TOLD.items() if not names or told.name in names]


def told_of(event: Event, at: datetime, reached: Reached) -> tuple[str, str]:
    """(name, body) of the message about an event of `TOLD`."""
    told = TOLD[type(event)]
    return told.name, body_of(told.name, at, told.say(event, at, reached))


def body_of(name: str, at: datetime, data: dict[str, Any]) -> str:
    """A message as it is sent: type, timestamp and data, as Standard Webhooks recommends."""
    return msgspec.json.encode({"type": name, "timestamp": _instant(at), "data": data}).decode()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
