"""The agent's desk as her screen shows it: who calls, what she may say and do, and what follows when it ends.

All of it comes from rows, so a page that is loaded anew in the middle of a call shows the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from uuid import UUID

import phonenumbers

from tenderline.core import zones
from tenderline.core.clock import utc_now
from tenderline.desk import donors, endings, secure, words
from tenderline.desk.donors import DonorView
from tenderline.desk.secure import SecurePanel
from tenderline.store import conversations, desks, dispositions, people, places, scripts
from tenderline.store.conversations import Step
from tenderline.store.db import Connection
from tenderline.store.desks import Desk, DueCallback, Past, Target
from tenderline.store.dispositions import Chosen
from tenderline.store.places import Defaults
from tenderline.store.scripts import Script, ScriptStep

STATES: Final = {
    "available": ("Ready", "good"),
    "reserved": ("Ringing", "busy"),
    "ringing": ("Ringing", "busy"),
    "on_call": ("On a call", "busy"),
    "wrap_up": ("After the call", "warn"),
    "away": ("Away", "mute"),
    "offline": ("Offline", "mute"),
    "distress": ("Distress", "bad"),
}
REASONS: Final = ("Break", "Lunch", "Meeting", "Training", "Technical problem")
"""Why she is away; the first is what is meant when nothing is chosen."""
BUSY: Final = frozenset({"reserved", "ringing", "on_call", "distress"})
SILENT: Final = frozenset({"secure_ivr", "provider_ivr"})
STEPS_SHOWN: Final = 6
CALLBACKS_SHOWN: Final = 5
_KINDS: Final = {"call": "Call", "contact": "Contact", "case": "Case", "payment": "Payment", "callback": "To be called"}


@dataclass(frozen=True, slots=True)
class State:
    """What she does now, since when, until when, and what she said for afterwards."""

    code: str
    words: str
    tone: str
    reason: str
    since: datetime
    until: datetime | None
    after: str
    is_reachable: bool
    is_busy: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """A way to end the call, with what follows from it."""

    code: str
    title: str
    key: int | None
    follows: str
    can_be_moved: bool


@dataclass(frozen=True, slots=True)
class PastLine:
    """Something that was before."""

    kind: str
    id: UUID
    at: datetime
    words: str
    link: str | None


@dataclass(frozen=True, slots=True)
class CallPart:
    """The call that is hers. `is_hers` is False for one that is over, whose end she has not told yet."""

    id: UUID
    is_live: bool
    is_talking: bool
    is_hers: bool
    can_end: bool
    """Somebody talked: it can be said how it ended."""
    direction: str
    name: str
    number: str
    local_time: str | None
    line: str
    queue: str
    started_at: datetime
    since: datetime
    waited_s: int | None
    is_priority: bool
    returned: bool
    tier: str
    skills: str
    segment: str
    recording: tuple[str, str]
    is_held: bool
    is_consulting: bool
    donor: DonorView | None
    steps: tuple[Step, ...]
    past: tuple[PastLine, ...]
    secure: SecurePanel
    script: Script | None
    endings: tuple[Ending, ...]
    chosen: Chosen | None
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class DeskView:
    """The whole desk."""

    agent_id: UUID
    agent: str
    state: State
    call: CallPart | None
    callbacks: tuple[DueCallback, ...]


@dataclass(frozen=True, slots=True)
class Around:
    """What does not come from the database."""

    organisation: str
    defaults: Defaults
    zone: tzinfo
    """By whose days gifts are booked."""


async def read(connection: Connection, user_id: UUID, around: Around) -> DeskView | None:
    """The desk of a user; None when she is no agent. Read it in one transaction."""
    desk = await desks.of_user(connection, user_id)
    if desk is None:
        return None
    call = None
    if desk.conversation_id is not None and desk.started_at is not None:
        call = await _call(connection, desk, desk.conversation_id, desk.started_at, around)
    callbacks = tuple(await desks.callbacks_due(connection, CALLBACKS_SHOWN))
    return DeskView(desk.agent_id, desk.name, _state(desk), call, callbacks)


def _state(desk: Desk) -> State:
    said, tone = STATES[desk.state]
    after = ""
    if desk.next_state is not None:
        after = STATES[desk.next_state][0] + (f": {desk.next_reason}" if desk.next_reason else "")
    return State(
        code=desk.state,
        words=said,
        tone=tone,
        reason=desk.reason or "",
        since=desk.since,
        until=desk.until,
        after=after,
        is_reachable=desk.is_reachable,
        is_busy=desk.state in BUSY,
    )


async def zones_of(connection: Connection, person_id: UUID | None, number: str | None, defaults: Defaults) -> list[str]:
    """Where the person may be; by the number alone when nobody is known by it."""
    if person_id is not None:
        return list((await places.of_person(connection, person_id, defaults)).zones)
    place = zones.locate(None, None, [number] if number else [], defaults.zone, defaults.region)
    return list(place.zones)


async def _call(connection: Connection, desk: Desk, call_id: UUID, started_at: datetime, around: Around) -> CallPart:
    conversation = await conversations.get(connection, call_id)
    assert conversation is not None, "it was read in the same transaction"
    donor = await donors.read(connection, call_id, around.zone)
    where = await zones_of(connection, desk.person_id, desk.number, around.defaults)
    name = (donor.name if donor else None) or await _name(connection, desk.person_id)
    panel = await secure.read(connection, conversation)
    now = utc_now()
    campaign = desk.campaign or desk.line_campaign
    script = await scripts.fitting(connection, campaign, desk.call_queue)
    known = {
        "name": name or "…",
        "agent": desk.name,
        "organisation": around.organisation,
        "fund": desk.fund or campaign or around.organisation,
        "campaign": campaign or around.organisation,
    }
    options = await dispositions.fitting(connection, desk.call_queue, desk.flow)
    is_talking = desk.is_hers and desk.state in ("on_call", "distress") and desk.ended_at is None
    return CallPart(
        id=call_id,
        is_live=desk.ended_at is None,
        is_talking=is_talking,
        is_hers=desk.is_hers,
        can_end=desk.state not in ("reserved", "ringing"),
        direction=desk.direction or "inbound",
        name=words.short_name(name) if name else "Unknown donor",
        number=spoken(desk.number),
        local_time=None if not where else words.local_time(now, where),
        line=_line(desk),
        queue=desk.queue_title or desk.call_queue or "",
        started_at=started_at,
        since=desk.connected_at or desk.answered_at or started_at,
        waited_s=_waited_s(desk),
        is_priority=bool(desk.overflowed),
        returned=bool(desk.returned),
        tier=_tier(desk, donor),
        skills=", ".join(words.reason(one) for one in desk.skills or ()),
        segment=desk.segment or "",
        recording=recording(desk, panel),
        is_held=desk.segment == "hold",
        is_consulting=is_talking and desk.is_consulting,
        donor=donor,
        steps=tuple((await conversations.steps(connection, call_id))[-STEPS_SHOWN:]),
        past=tuple(_past(one) for one in await desks.past(connection, desk.person_id, desk.number, call_id)),
        secure=panel,
        script=None if script is None else filled(script, known),
        endings=tuple(
            Ending(one.code, one.title, one.key, endings.next_of(one, now, where).words, one.next_action == "callback")
            for one in options
        ),
        chosen=await dispositions.chosen(connection, call_id, desk.agent_id),
        targets=tuple(await desks.targets(connection, desk.agent_id)),
    )


async def _name(connection: Connection, person_id: UUID | None) -> str | None:
    found = await people.find(connection, person_id) if person_id is not None else None
    return found.name if found else None


def _tier(desk: Desk, donor: DonorView | None) -> str:
    """The CRM's tier; else that of the queue, unless it only says the segment again."""
    told = next((one.text for one in donor.facts if one.name == "Tier"), None) if donor else None
    is_news = desk.tier is not None and (donor is None or donor.segment != desk.tier)
    return told or (words.reason(desk.tier or "") if is_news else "")


def _line(desk: Desk) -> str:
    campaign = desk.campaign or desk.line_campaign or ""
    told = [spoken(desk.called if desk.direction != "outbound" else desk.caller), campaign]
    if desk.fund and desk.fund != campaign:
        told.append(f"for {desk.fund}")
    return ", ".join(one for one in told if one)


def _waited_s(desk: Desk) -> int | None:
    until = desk.connected_at or desk.offered_at
    if desk.entered_at is None or until is None:
        return None
    return max(0, round((until - desk.entered_at).total_seconds()))


def recording(desk: Desk, panel: SecurePanel) -> tuple[str, str]:
    """(words, tone) of the recording; while a card is keyed in it holds silence, whatever else is said."""
    is_secure = desk.segment in SILENT or panel.open is not None
    if desk.ended_at is not None:
        return ("Over", "mute")
    match desk.recording:
        case "open" if is_secure:
            return ("Secure: the recording is silent", "warn")
        case "open":
            return ("Recording", "bad")
        case "failed":
            return ("The recording failed", "warn")
        case _:
            return ("Secure: not recorded", "warn") if is_secure else ("Not recorded", "mute")


def spoken(number: str | None) -> str:
    """A number as people read it: `+1 202-555-0143`; `withheld`."""
    if not number:
        return "withheld"
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def filled(script: Script, known: dict[str, str]) -> Script:
    """The script with what is known put into its places; other braces stay as they are."""

    def fill(text: str) -> str:
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    steps = [ScriptStep(fill(one.title), fill(one.text)) for one in script.steps]
    return Script(name=script.name, title=script.title, steps=steps, version=script.version)


def _past(one: Past) -> PastLine:
    amount = words.amount(one.amount_minor, one.currency) if one.amount_minor is not None else ""
    state = words.state_name(one.state or "")
    link = None
    match one.kind:
        case "call":
            told = f"{'outgoing' if one.what == 'outbound' else 'incoming'}{f': {one.told}' if one.told else ''}"
            link = f"/calls/{one.id}"
        case "contact":
            told = f"{words.channel(one.what)}, {state}{f': {words.reason(one.told)}' if one.told else ''}"
            link = f"/attempts/{one.id}/why"
        case "case":
            told = f"{amount}, {words.reason(one.what)}: {state}{f' ({words.reason(one.told)})' if one.told else ''}"
            link = f"/cases/{one.id}"
        case "payment":
            told = f"{amount}: {state.lower()}{f', {words.reason(one.told)}' if one.told else ''}"
            link = f"/payments/{one.id}"
        case "callback":
            told = spoken(one.what)
    return PastLine(_KINDS[one.kind], one.id, one.at, words.plain(told) if one.kind != "callback" else told, link)
