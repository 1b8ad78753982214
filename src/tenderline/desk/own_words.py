"""How things are told to the payer herself, on her own page: plain, in her time, with nothing that only we need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from tenderline.compliance.decide import NO_ZONE
from tenderline.compliance.rule import RuleKind
from tenderline.core import hours
from tenderline.core.zones import Evidence
from tenderline.desk import words
from tenderline.desk.zone_names import clock
from tenderline.store.own_page import LEFT_OUT

WAYS: Final = {
    "sms": "Text message",
    "email": "E-mail",
    "push": "Notification",
    "voice_live": "Call",
    "voice_artificial": "Recorded call",
}
"""One contact, by its channel."""
CHANNELS: Final = {"sms": "Text messages", "email": "E-mails", "voice": "Calls"}
"""All contacts of a channel that she can turn off."""
ABOUT: Final = {
    "first_party_recovery": "a payment to {organisation} that did not go through",
    "third_party_collection": "a payment that did not go through",
    "charity_solicitation": "a gift to {organisation}",
    "telemarketing": "an offer of {organisation}",
    "servicing": "something that you did yourself, such as a payment",
    "opt_out_confirmation": "your wish to hear no more",
}
BECAME: Final = {
    "leased": "being sent now",
    "accepted": "sent",
    "delivered": "arrived",
    "in_doubt": "may have been sent; we are finding out",
    "failed": "did not arrive",
}
EVIDENCE: Final = {
    Evidence.SELF_STATED: "because you told us",
    Evidence.ADDRESS: "by your postal address",
    Evidence.ADDRESS_AND_NUMBER: "by your postal address and your telephone number, which lie in different places",
    Evidence.NUMBER: "by your telephone number",
    Evidence.COUNTRY: "by your country",
    Evidence.DEFAULT: "because we know no better",
    Evidence.NONE: "",
}

# In the order in which they are told. What says nothing to her (that nobody held the matter, say) is left out.
_ALLOWED: Final = {
    RuleKind.CONFIRMATION: "You had just asked us to stop; this told you that we had heard it.",
    RuleKind.OPTED_OUT: "You had not asked us to stop.",
    RuleKind.PAUSED: "You had not asked for a pause.",
    RuleKind.SETTLED: "It was not paid yet.",
    RuleKind.CONSENT: "You had agreed to be contacted this way, for instance by giving the number with a payment.",
    RuleKind.CAP: "We had not contacted you too often before.",
    RuleKind.DNC: "The address was on no do-not-contact list that counts here.",
}
_HELD_BACK: Final = {
    RuleKind.OPTED_OUT: "You had asked us to stop.",
    RuleKind.PAUSED: "You had asked for a pause.",
    RuleKind.DECLINED: "You do not want to be contacted this way.",
    RuleKind.SETTLED: "It is paid.",
    RuleKind.CLOSED: "It is not asked for any more.",
    RuleKind.UNUSABLE_ADDRESS: "The address does not work.",
    RuleKind.DNC: "The address is on a do-not-contact list.",
    RuleKind.CONSENT: "You have not agreed to be contacted this way.",
    RuleKind.BAN: "It is not allowed where you are.",
    RuleKind.PROCESSING: "A payment is on its way.",
    RuleKind.HELD: "One of us looks at it first.",
    RuleKind.DISTRESS: "We leave you in peace for a while.",
    RuleKind.UNREAD_NEWS: "News about it had just come in.",
    RuleKind.HOURS: "It would have been too early or too late in your day.",
    RuleKind.CAP: "We had contacted you shortly before.",
    RuleKind.QUIET_AFTER: "We had spoken with you shortly before.",
    RuleKind.CONFIRMATION: "It was too late to tell you that we had heard it.",
}
# What is taken back outside the gate says so in these words.
_TAKEN_BACK: Final = {
    LEFT_OUT: "You left it out.",
    "it is paid": "It is paid.",
    "it is not to be asked for any more": "It is not asked for any more.",
    "the person asked not to be contacted": "You had asked us to stop.",
}
NOT_SENT: Final = "It was taken back before it was sent."
TOO_LATE: Final = "It had become too late for it."
NOT_DELIVERABLE: Final = "It could not be delivered."
ZONE_NEEDED: Final = "We do not know what time it is where you are."


def way(channel: str) -> str:
    """`Text message` for `sms`."""
    return WAYS.get(channel, words.channel(channel))


def about(purpose: str, organisation: str) -> str:
    """What a contact was for."""
    return ABOUT.get(purpose, "{organisation}").format(organisation=organisation)


def mask(kind: str | None, value: str | None, *, is_hers: bool) -> str:
    """An address as the link's holder may see it. Only of the one that the link came to she sees more than an end."""
    if kind is None or value is None:
        return "an address that we do not have any more"
    if is_hers:
        return words.mask_address(kind, value) or words.DOTS
    match kind:
        case "phone":
            return f"a number ending in {value[-2:]}"
        case "email":
            return f"an address ending in .{value.rpartition('.')[2]}"
        case _:
            return words.DOTS


def when(at: datetime, zones: Sequence[str]) -> str:
    """`Tue 3 Nov 2026, 10:05 am`; of somebody who may be in several zones, from when to when."""
    if not zones:
        return f"{_day(at.astimezone(UTC))}, {clock(at.astimezone(UTC))} UTC"
    local = sorted(at.astimezone(hours.zone(name)).replace(tzinfo=None) for name in zones)
    first, last = local[0], local[-1]
    if first == last:
        return f"{_day(first)}, {clock(first)}"
    until = clock(last) if first.date() == last.date() else f"{_day(last)}, {clock(last)}"
    return f"{_day(first)}, {clock(first)} to {until}, depending on where you are"


def until(at: datetime, zones: Sequence[str]) -> str:
    """`the end of Sat 5 Dec 2026` when it is midnight at one of her places, else as `when` says it."""
    local = [at.astimezone(hours.zone(name)) for name in zones]
    midnights = [one for one in local if (one.hour, one.minute) == (0, 0)]
    return f"the end of {_day(min(midnights) - timedelta(days=1))}" if midnights else when(at, zones)


def _day(at: datetime) -> str:
    return f"{at:%a} {at.day} {at:%b} {at.year}"


def allowed(kinds: set[RuleKind], at: str) -> tuple[str, ...]:
    """Why a contact was let pass, by the kinds of the rules that were asked. `at` is the instant in her time."""
    reasons = [text for kind, text in _ALLOWED.items() if kind in kinds]
    if RuleKind.HOURS in kinds:
        reasons.append(f"It was a time of day at which we may contact you: {at}.")
    return tuple(reasons)


def taken_back(state: str, why: str | None) -> str | None:
    """Why a contact was not made, when it was not the gate that refused it."""
    if why in _TAKEN_BACK:
        return _TAKEN_BACK[why]
    return NOT_DELIVERABLE if state == "failed" else None


def held_back(said_no: RuleKind | None, why: str | None) -> str:
    """Why the gate does not let a contact pass. Only these sentences are shown: other words are for us."""
    if why == NO_ZONE:
        return ZONE_NEEDED
    return _HELD_BACK.get(said_no, NOT_SENT) if said_no else NOT_SENT
