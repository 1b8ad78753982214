"""What people write back: a STOP silences every channel in the transaction that reads it; the rest is shown."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tenderline.compliance.keywords import ReplyKind, read_reply
from tenderline.core import mailbox, phone
from tenderline.core.errors import InvalidInputError
from tenderline.core.events import MessageReceived, ReplyUnclear
from tenderline.core.pan import mask_card_numbers
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.people import consent
from tenderline.store import events, people
from tenderline.store.db import Connection

TEXT_LENGTH_MAX = 500


async def on_message(connection: Connection, message: IncomingMessage, received_at: datetime) -> None:
    """Reads one incoming message in the caller's transaction: what it says holds from `received_at` on."""
    by_mail = message.channel is Channel.EMAIL
    try:
        sender = mailbox.normalise(message.sender) if by_mail else phone.normalise(message.sender)
    except InvalidInputError:
        return  # a short code or a name: nobody we can contact, so nobody to silence
    whole = mask_card_numbers(message.text)
    reply = read_reply(whole)
    # Everybody is written to by strangers; of a stranger's mail only a STOP is kept, for when she becomes known.
    may_be_new = not by_mail or reply.kind is ReplyKind.OPT_OUT
    person_id = await _sender(connection, people.EMAIL if by_mail else people.PHONE, sender, may_be_new=may_be_new)
    if person_id is None:
        return
    text = whole[:TEXT_LENGTH_MAX]  # what is kept; what is judged is all of it
    channel = message.channel.value
    await events.append(connection, [MessageReceived(person_id=person_id, channel=channel, text=text)])
    if reply.kind is ReplyKind.OPT_OUT:
        await consent.opt_out(
            connection, person_id, channel=channel, address=sender, how="reply", evidence=text, at=received_at
        )
    elif reply.kind is ReplyKind.OPT_IN and not by_mail:  # anybody can write in her name: a mail lifts nothing
        await consent.opt_in(connection, person_id, channel=channel, address=sender, evidence=text, at=received_at)
    elif reply.kind in (ReplyKind.UNCLEAR, ReplyKind.OPT_IN) or reply.needs_review:
        await people.ask_for_review(connection, person_id)
        await events.append(connection, [ReplyUnclear(person_id=person_id, channel=channel)])


async def _sender(connection: Connection, kind: str, address: str, *, may_be_new: bool) -> UUID | None:
    """Whose address it is, locked. A stranger who says STOP must find it honoured when she becomes known."""
    # The same lock as for a payer who becomes known: two readings of a new address must end at one person.
    by_phone, by_email = (address, None) if kind == people.PHONE else (None, address)
    owners = await people.find_owners(connection, phone=by_phone, email=by_email, source="reply", reference=None)
    person_id = owners.by_phone or owners.by_email
    if person_id is None:
        if not may_be_new:
            return None
        person_id = await people.create(connection, name=None, locale=None)
        await people.add_contact_point(connection, person_id, kind, address)
    await people.lock(connection, person_id)
    return person_id
