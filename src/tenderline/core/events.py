"""What happened, in the past tense: written in the same transaction as the change it tells of.

`worker/reactions.py` says who acts on which. The timeline of a case and the live board are drawn from the same rows.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=True):
    """The root: an event may concern a person, a payment, a case and an attempt."""

    summary: ClassVar[str] = ""
    """A sentence for the timeline, filled from the event's own fields."""

    person_id: UUID | None = None
    payment_id: UUID | None = None
    case_id: UUID | None = None
    attempt_id: UUID | None = None


class PaymentFailed(Event, frozen=True):
    """A card was declined or a debit bounced, and the payment now stands as failed."""

    summary = "Payment of {amount} failed: {reason}"
    amount: str
    reason: str


class PaymentActionRequired(Event, frozen=True):
    """The payer has to do something (confirm with the bank) before the payment can go on."""

    summary = "Payment of {amount} waits for the payer: {reason}"
    amount: str
    reason: str


class PaymentSucceeded(Event, frozen=True):
    """The money arrived. Nobody is asked for it again."""

    summary = "Payment of {amount} succeeded"
    amount: str


class PaymentStopped(Event, frozen=True):
    """The debt is no longer to be asked for: refunded, disputed, or its subscription was ended."""

    summary = "Payment of {amount} stopped: {why}"
    amount: str
    why: str


class PaymentRefunded(Event, frozen=True):
    """Money has gone back, whole or a part, as the gateway says: given back here, or at the gateway itself."""

    summary = "{amount} given back"
    amount: str
    refund_id: UUID


class RefundFailed(Event, frozen=True):
    """Money that had gone back came back: the payer's bank did not take it, after the gateway had told that it did."""

    summary = "{amount} given back did not arrive: it is with us again"
    amount: str
    refund_id: UUID


class PayerContactMissing(Event, frozen=True):
    """A payment failed and the gateway's event told no way to reach the payer; the gateway is asked."""

    summary = "No way to reach the payer was given; asking {gateway}"
    gateway: str
    payer_reference: str


class PaymentLookupWanted(Event, frozen=True):
    """An event named an object of the gateway that must be read before its payment is known."""

    summary = "{gateway} is asked which payment {reference} belongs to"
    gateway: str
    reference: str
    inbox_id: int


class CaseOpened(Event, frozen=True):
    """A failed payment became a case, and its first attempts are planned."""

    summary = "Case opened: {amount}, {reason}"
    amount: str
    reason: str


class CaseHeld(Event, frozen=True):
    """The case waits for a person to look at it; nothing is sent meanwhile."""

    summary = "Case held: {why}"
    why: str


class CaseReleased(Event, frozen=True):
    """What the case was held for is settled; its attempts are planned."""

    summary = "Case released: {why}"
    why: str


class CaseClosed(Event, frozen=True):
    """The case came to its end: recovered, stopped or exhausted."""

    summary = "Case closed: {outcome}"
    outcome: str


class AttemptPlanned(Event, frozen=True):
    """A contact was planned; the gate will decide when it is due."""

    summary = "{channel} planned for {due}"
    channel: str
    due: str


class AttemptAllowed(Event, frozen=True):
    """The gate let the contact pass; it is handed to the provider next. The rules that were asked stand beside it."""

    summary = "{channel} allowed by the gate"
    channel: str


class AttemptDeferred(Event, frozen=True):
    """The gate held the contact until a later instant."""

    summary = "{channel} held until {until}: {why}"
    channel: str
    until: str
    why: str
    rules: list[str] = []


class AttemptSuppressed(Event, frozen=True):
    """The gate refused the contact for good; it will never leave."""

    summary = "{channel} suppressed: {why}"
    channel: str
    why: str
    rules: list[str] = []


class AttemptAccepted(Event, frozen=True):
    """The provider took the message."""

    summary = "{channel} accepted by {provider}"
    channel: str
    provider: str


class AttemptDelivered(Event, frozen=True):
    """The carrier says that the message arrived."""

    summary = "{channel} delivered"
    channel: str


class AttemptFailed(Event, frozen=True):
    """The message did not arrive and will not: the provider or carrier refused it."""

    summary = "{channel} failed: {why}"
    channel: str
    why: str


class AttemptBackedOff(Event, frozen=True):
    """The provider was busy; the contact is planned again, and the gate will be asked again."""

    summary = "{channel} put back until {until}: {why}"
    channel: str
    until: str
    why: str


class AttemptInDoubt(Event, frozen=True):
    """The message may have left, and nobody recorded it: the provider is asked, the person is never sent to twice."""

    summary = "{channel} in doubt: {why}"
    channel: str
    why: str


class PersonOptedOut(Event, frozen=True):
    """The person asked for silence; every channel is silent from this instant."""

    summary = "Opted out by {channel}: {text}"
    channel: str
    text: str
    how: str = ""
    """By what means: reply, unsubscribe link, carrier …"""
    address: str = ""
    said_at: str = ""
    """When her word was received; empty: when this was written."""


class PersonOptedIn(Event, frozen=True):
    """The person took an earlier opt-out back, from the same address."""

    summary = "Opted in again by {channel}"
    channel: str
    how: str = ""
    address: str = ""
    said_at: str = ""


class MessageReceived(Event, frozen=True):
    """The person wrote to us."""

    summary = "{channel} received: {text}"
    channel: str
    text: str


class ReplyUnclear(Event, frozen=True):
    """The person wrote something that may mean stop: her cases wait until somebody has read it."""

    summary = "A reply by {channel} needs to be read by a person"
    channel: str


class ContactPointRejected(Event, frozen=True):
    """An address cannot be used, with the reason."""

    summary = "{channel} address cannot be used: {why}"
    channel: str
    why: str


class CarrierHoldsOptOut(Event, frozen=True):
    """The carrier refused a message because the person had told it to: her word counts for us too."""

    summary = "The carrier holds an opt-out of this {channel} address"
    channel: str
    address: str = ""


class PaymentLinkOpened(Event, frozen=True):
    """The payer opened the link of a message; told once an hour for each message."""

    summary = "Payment link opened"


class ContactPaused(Event, frozen=True):
    """On her own page the payer asked for a pause: no machine contacts her until it ends."""

    summary = "Paused by the payer until {until}"
    until: str


class ContactResumed(Event, frozen=True):
    """The payer ended her pause before its time."""

    summary = "Pause ended by the payer"


class ChannelDeclined(Event, frozen=True):
    """The payer does not want this channel; what is said by others goes on."""

    summary = "{channel} turned off by the payer"
    channel: str


class ChannelAccepted(Event, frozen=True):
    """The payer turned a channel on again that she had turned off herself."""

    summary = "{channel} turned on again by the payer"
    channel: str


class ZoneCorrected(Event, frozen=True):
    """The payer told her time zone: from now on it alone says what hour it is there."""

    summary = "Time zone corrected by the payer: {zone}"
    zone: str


class AddressCorrected(Event, frozen=True):
    """The payer told her postal address, by which hours and law are found."""

    summary = "Postal address corrected by the payer"


class CallDisposed(Event, frozen=True):
    """Whoever was on a call said how it ended: promise_to_pay, call_back, wrong_number …"""

    summary = "Call ended as {code}"
    conversation_id: str
    code: str
    note: str = ""
    at: str = ""
    agent_id: UUID | None = None


class DistressReported(Event, frozen=True):
    """A caller was in distress: payment is off for the call, and nothing automatic contacts her until it is lifted."""

    summary = "In distress ({source}): {reason}. Held on every channel"
    conversation_id: str
    source: str
    reason: str


class DistressLifted(Event, frozen=True):
    """A supervisor lets contacts go on for somebody who was in distress."""

    summary = "Distress hold lifted by {by}: {reason}"
    by: str
    reason: str


class WebhookEndpointDisabled(Event, frozen=True):
    """Another system is told nothing more: by an operator's word, or because it took nothing for days."""

    summary = "No webhooks to {host} any more: {why}"
    host: str
    why: str


AnyEvent = (
    PaymentFailed
    | PaymentActionRequired
    | PaymentSucceeded
    | PaymentStopped
    | PaymentRefunded
    | RefundFailed
    | PayerContactMissing
    | PaymentLookupWanted
    | CaseOpened
    | CaseHeld
    | CaseReleased
    | CaseClosed
    | AttemptPlanned
    | AttemptAllowed
    | AttemptDeferred
    | AttemptSuppressed
    | AttemptAccepted
    | AttemptDelivered
    | AttemptFailed
    | AttemptBackedOff
    | AttemptInDoubt
    | PersonOptedOut
    | PersonOptedIn
    | MessageReceived
    | ReplyUnclear
    | ContactPointRejected
    | CarrierHoldsOptOut
    | PaymentLinkOpened
    | ContactPaused
    | ContactResumed
    | ChannelDeclined
    | ChannelAccepted
    | ZoneCorrected
    | AddressCorrected
    | CallDisposed
    | DistressReported
    | DistressLifted
    | WebhookEndpointDisabled
)

_decoder = msgspec.json.Decoder(AnyEvent)


def kind_of(event: Event) -> str:
    """The name under which an event is stored."""
    return type(event).__name__


def encode(event: Event) -> bytes:
    """As JSON, with the kind beside the fields."""
    return msgspec.json.encode(event)


def decode(payload: bytes | str) -> AnyEvent:
    """The event of a stored row; raises `msgspec.ValidationError` for a kind this version does not know."""
    event: AnyEvent = _decoder.decode(payload)
    return event


def sentence(event: Event) -> str:
    """The event as one line for the timeline."""
    return type(event).summary.format(**msgspec.structs.asdict(event))
