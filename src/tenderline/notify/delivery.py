"""Handing messages over and following them until the carrier says that they arrived."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core import links
from tenderline.core.clock import utc_now
from tenderline.core.errors import ProviderError, TenderlineError
from tenderline.core.events import CarrierHoldsOptOut, ContactPointRejected
from tenderline.core.money import Money
from tenderline.messengers.base import (
    Accepted,
    Busy,
    Channel,
    LeaseLost,
    Messenger,
    Outcome,
    OutgoingMessage,
    Receipt,
    ReceiptState,
    Refused,
    Unknown,
)
from tenderline.notify import templates
from tenderline.store import cases, consents, events, outcomes, people
from tenderline.store.attempts import Leased
from tenderline.store.consents import Word
from tenderline.store.db import Connection
from tenderline.store.jobs import back_off_s
from tenderline.store.outcomes import Doubtful, HandedOver, Receipted

log = structlog.get_logger(__name__)

CALL_LINK = "call_link"
"""The template for somebody who hung up before she had paid."""
RECEIPT = "receipt"
"""The template that thanks for a payment by telephone."""
REFUND_RECEIPT = "refund_receipt"
"""The template that tells of money that went back."""
CONFIRMATION = "opt_out_confirmation"
"""The template of the one message that may follow an opt-out."""
PAY_LINK = "pay"
STOP_LINK = "stop"
OWN_PAGE_LINK = "me"
LASTING_LINKS = frozenset({STOP_LINK, OWN_PAGE_LINK})
LASTING_LINK_VALID_DAYS = 3_653
"""Ten years: who finds an old message and wants silence gets it."""
BACK_OFF_FIRST_S = 5.0
NO_PROVIDER_AGAIN_S = 300.0
CHECK_AGAIN_S = 30.0
CHECK_SHORTEST_S = 1.0
RECEIPT_WAIT_MAX_S = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class Written:
    """A message ready to be handed over, or why it cannot be written."""

    leased: Leased
    messenger: Messenger
    message: OutgoingMessage


def link(services: Services, purpose: str, *subjects: UUID) -> str:
    """A signed address of ours that names nobody: `subjects` are an attempt, a case, or a person and her address."""
    valid_days = LASTING_LINK_VALID_DAYS if purpose in LASTING_LINKS else services.settings.recovery.link_valid_days
    expires = int(utc_now().timestamp()) + valid_days * 86_400
    payload = b"".join(subject.bytes for subject in subjects)
    token = links.sign(services.key_for(purpose), purpose, payload, expires)
    return f"{services.settings.public_url}/{purpose}/{token}"


def write(services: Services, leased: Leased) -> Written | str:
    """The message of an attempt, or the reason why it cannot be written."""
    messenger = services.messengers.get(Channel(leased.channel))
    if messenger is None:
        return f"no provider is configured for {leased.channel}"
    try:
        organisation = services.settings.organisation
        if leased.template == CONFIRMATION:
            text = templates.opt_out_confirmation_sms(organisation)
            message = OutgoingMessage(reference=leased.id, to=leased.address, text=text, planned_at=leased.planned_at)
            return Written(leased, messenger, message)
        if leased.template in (RECEIPT, REFUND_RECEIPT):
            return _receipt(organisation, leased, messenger)
        amount = Money.parse(leased.amount_minor, leased.currency).format(leased.locale or "en_US")
        pay_url = link(services, PAY_LINK, leased.id)
        stop_url = link(services, STOP_LINK, leased.id)
        if messenger.channel is Channel.SMS:
            writes = templates.call_link_sms if leased.template == CALL_LINK else templates.recovery_sms
            text = writes(organisation, amount, pay_url)
            message = OutgoingMessage(reference=leased.id, to=leased.address, text=text, planned_at=leased.planned_at)
        else:
            own_page_url = link(services, OWN_PAGE_LINK, leased.person_id, leased.contact_point_id)
            email = templates.recovery_email(organisation, leased.person_name, amount, pay_url, stop_url, own_page_url)
            message = OutgoingMessage(
                reference=leased.id,
                to=leased.address,
                text=email.text,
                subject=email.subject,
                html=email.html,
                unsubscribe_url=stop_url,
                planned_at=leased.planned_at,
            )
    except TenderlineError as error:
        return error.detail
    return Written(leased, messenger, message)


class Thanks(msgspec.Struct, frozen=True):
    """What a receipt says: kept beside its attempt. A refund of what was not paid by telephone has no reference."""

    amount_minor: int
    currency: str
    reference: str


def _receipt(organisation: str, leased: Leased, messenger: Messenger) -> Written | str:
    try:
        told = msgspec.json.decode(leased.said or "", type=Thanks)
    except msgspec.DecodeError:
        return "what the receipt says is not there"
    amount = Money.parse(told.amount_minor, told.currency).format(leased.locale or "en_US")
    is_refund = leased.template == REFUND_RECEIPT
    write_text = templates.refund_sms if is_refund else templates.receipt_sms
    write_mail = templates.refund_email if is_refund else templates.receipt_email
    message = OutgoingMessage(
        reference=leased.id,
        to=leased.address,
        text=write_text(organisation, amount, told.reference),
        planned_at=leased.planned_at,
    )
    if messenger.channel is not Channel.SMS:
        email = write_mail(organisation, leased.person_name, amount, told.reference)
        message = msgspec.structs.replace(message, text=email.text, subject=email.subject, html=email.html)
    return Written(leased, messenger, message)


async def send_all(services: Services, leased: list[Leased]) -> None:
    """Hands over what the gate let pass, `send_concurrency` at a time: marked in one commit, then sent together."""
    size = services.settings.worker.send_concurrency
    for start in range(0, len(leased), size):
        await _send_some(services, leased[start : start + size])


async def _send_some(services: Services, leased: list[Leased]) -> None:
    written: list[Written] = []
    for one in leased:
        found = write(services, one)
        if isinstance(found, str):
            await _record(services, one, Busy(why=found, retry_after_s=NO_PROVIDER_AGAIN_S))
        else:
            written.append(found)
    ours = await outcomes.hand_over(
        services.pool,
        [
            (
                one.leased,
                one.messenger.name,
                HandedOver(to=one.message.to, text=one.message.text, subject=one.message.subject),
            )
            for one in written
        ],
    )
    await asyncio.gather(*(_send_one(services, one) for one in written if one.leased.id in ours))


async def _send_one(services: Services, written: Written) -> None:
    outcome = await written.messenger.send(written.message, written.leased.may_send)
    await _record(services, written.leased, outcome, written.messenger)


async def _record(services: Services, leased: Leased, outcome: Outcome, messenger: Messenger | None = None) -> None:
    settings = services.settings.worker
    async with services.pool.acquire() as connection, connection.transaction():
        match outcome:
            case Accepted(provider_reference=reference):
                assert messenger is not None
                recorded = await outcomes.record_accepted(
                    connection,
                    leased,
                    messenger.name,
                    reference,
                    receipt_poll_after_s=settings.receipt_poll_after_s,
                )
                if recorded and leased.case_id is not None:
                    await cases.count_contact(connection, leased.person_id, leased.case_id)
            case Refused(why=why):
                recorded = await outcomes.record_refused(connection, leased, why)
                await _learn(
                    connection,
                    leased.person_id,
                    leased.contact_point_id,
                    why,
                    unusable=outcome.address_unusable,
                    opted_out=outcome.opted_out,
                )
            case Busy(why=why, retry_after_s=retry_after_s):
                again = back_off_s(leased.tries, first_s=BACK_OFF_FIRST_S) if retry_after_s is None else retry_after_s
                recorded = await outcomes.record_not_sent(
                    connection, leased, why, again_after_s=again, tries_max=settings.attempt_tries_max
                )
            case Unknown(why=why):
                askable = messenger is not None and messenger.can_be_asked
                recorded = await outcomes.record_unknown(connection, leased, why, can_be_asked=askable)
            case LeaseLost():  # nothing left this machine: the gate is asked anew
                recorded = await outcomes.record_not_sent(
                    connection,
                    leased,
                    "its lease ran out before it was sent",
                    again_after_s=0,
                    tries_max=settings.attempt_tries_max,
                )
    if not recorded:
        log.warning("outcome refused: the lease was lost", attempt=str(leased.id), outcome=type(outcome).__name__)


async def _learn(
    connection: Connection, person_id: UUID, contact_point_id: UUID, why: str, *, unusable: bool, opted_out: bool
) -> None:
    """What a refusal tells of the address: that it does not work, or that its owner wants silence."""
    found = await people.get_contact_point(connection, contact_point_id)
    if found is None:
        return
    point = found[1]
    if unusable and await people.mark_unusable(connection, person_id, contact_point_id, why):
        await events.append(connection, [ContactPointRejected(person_id=person_id, channel=point.kind, why=why)])
    if opted_out:
        channel = Channel.SMS.value if point.kind == people.PHONE else Channel.EMAIL.value
        told = CarrierHoldsOptOut(person_id=person_id, channel=channel, address=point.value)
        await events.append(connection, [told])
        word = Word(
            channel=channel,
            address=point.value,
            granted=False,
            how="carrier",
            evidence="the carrier refused a message because of an opt-out",
        )
        await consents.record(connection, person_id, word)


async def on_receipt(services: Services, connection: Connection, provider: str, receipt: Receipt) -> Receipted | None:
    """Moves an attempt along by what its provider tells; None when that was known."""
    changed = await outcomes.apply_receipt(
        connection,
        reference=receipt.reference,
        provider=provider,
        provider_ref=receipt.provider_reference,
        state=receipt.state.value,
        why=receipt.why,
        receipt_poll_after_s=services.settings.worker.receipt_poll_after_s,
    )
    if changed is not None and receipt.state is ReceiptState.FAILED:
        await _learn(
            connection,
            changed.person_id,
            changed.contact_point_id,
            receipt.why or "the carrier refused it",
            unusable=receipt.address_unusable,
            opted_out=receipt.opted_out,
        )
    return changed


async def ask_providers(services: Services) -> int:
    """Asks about messages in doubt and about those with no receipt; returns how many were asked about."""
    settle_s = services.settings.worker.doubt_settle_s
    again_s = min(CHECK_AGAIN_S, max(CHECK_SHORTEST_S, settle_s / 2))
    doubtful = await outcomes.to_check(services.pool, again_after_s=again_s)
    for one in doubtful:
        messenger = services.messengers.get(Channel(one.channel))
        if messenger is None or messenger.name != one.provider:
            continue
        try:
            if one.state == "in_doubt":
                await _settle_doubt(services, messenger, one)
            else:
                await _ask_for_receipt(services, messenger, one)
        except ProviderError as error:
            log.warning("provider could not be asked", provider=one.provider, attempt=str(one.id), why=error.detail)
    return len(doubtful)


async def _settle_doubt(services: Services, messenger: Messenger, one: Doubtful) -> None:
    """Found: it left, once. Not found, long after it could have left: it did not, and is planned again."""
    settings = services.settings.worker
    message = OutgoingMessage(
        reference=one.id,
        to=one.message.to,
        text=one.message.text,
        subject=one.message.subject,
        planned_at=one.handed_over_at,
    )
    found = await messenger.find(message)
    async with services.pool.acquire() as connection, connection.transaction():
        match found:
            case Accepted(provider_reference=reference):
                if (
                    await outcomes.found_accepted(
                        connection, one, reference, receipt_poll_after_s=settings.receipt_poll_after_s
                    )
                    and one.case_id is not None
                ):
                    await cases.count_contact(connection, one.person_id, one.case_id)
            case Refused(why=why):
                await outcomes.record_refused(connection, one, why)
            case None if one.since_handover_s > settings.lease_s + settings.doubt_settle_s:
                await outcomes.record_not_sent(
                    connection,
                    one,
                    "the provider does not know it",
                    again_after_s=0,
                    tries_max=settings.attempt_tries_max,
                )
            case None:
                pass  # it may still appear in the provider's list: asked again


async def _ask_for_receipt(services: Services, messenger: Messenger, one: Doubtful) -> None:
    assert one.provider_ref is not None
    receipt = await messenger.status(one.provider_ref)
    async with services.pool.acquire() as connection, connection.transaction():
        if receipt is not None:
            await on_receipt(services, connection, one.provider, receipt)
        if receipt is None or one.since_handover_s > RECEIPT_WAIT_MAX_S:
            await outcomes.stop_checking(connection, one)
