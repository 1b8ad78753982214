"""What people write back: a STOP silences every channel in the transaction that reads it; the rest is shown."""

from __future__ import annotations

from datetime import datetime

from tenderline.compliance.keywords import ReplyKind, read_reply
from tenderline.core import phone
from tenderline.core.errors import InvalidInputError
from tenderline.core.events import MessageReceived, ReplyUnclear
from tenderline.core.pan import mask_card_numbers
from tenderline.messengers.base import IncomingMessage
from tenderline.people import consent
from tenderline.store import events, people
from tenderline.store.db import Connection

TEXT_LENGTH_MAX = 500


async def on_message(connection: Connection, message: IncomingMessage, received_at: datetime) -> None:
    """Reads one incoming message in the caller's transaction: what it says holds from `received_at` on."""
    try:
        sender = phone.normalise(message.sender)
    except InvalidInputError:
        return  # a short code or a name: nobody we can contact, so nobody to silence
    # The same lock as for a payer who becomes known: two readings of a new number must end at one person.
    owners = await people.find_owners(connection, phone=sender, email=None, source="reply", reference=None)
    person_id = owners.by_phone
    if person_id is None:
        # A stranger who says STOP must find it honoured when she becomes known.
        person_id = await people.create(connection, name=None, locale=None)
        await people.add_contact_point(connection, person_id, people.PHONE, sender)
    await people.lock(connection, person_id)
    whole = mask_card_numbers(message.text)
    text = whole[:TEXT_LENGTH_MAX]  # what is kept; what is judged is all of it
    channel = message.channel.value
    await events.append(connection, [MessageReceived(person_id=person_id, channel=channel, text=text)])
    reply = read_reply(whole)
    if reply.kind is ReplyKind.OPT_OUT:
        await consent.opt_out(
            connection, person_id, channel=channel, address=sender, how="reply", evidence=text, at=received_at
        )
    elif reply.kind is ReplyKind.OPT_IN:
        await consent.opt_in(connection, person_id, channel=channel, address=sender, evidence=text, at=received_at)
    elif reply.kind is ReplyKind.UNCLEAR or reply.needs_review:
        await people.ask_for_review(connection, person_id)
        await events.append(connection, [ReplyUnclear(person_id=person_id, channel=channel)])
