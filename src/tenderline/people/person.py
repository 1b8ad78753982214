"""Finding out who a payer is, from what a gateway tells: by address first, by the gateway's own id next.

When the evidence points at two people, nobody is merged and nobody is contacted: the conflict is told, and the case is
held for a person to look at.
"""

from __future__ import annotations

from uuid import UUID

from tenderline.core import mailbox, phone
from tenderline.core.errors import InvalidInputError
from tenderline.core.facts import Payer
from tenderline.core.places import Address
from tenderline.people import consent
from tenderline.store import people as rows
from tenderline.store import places
from tenderline.store.db import Connection
from tenderline.store.people import Addresses, Resolved

NAME_LENGTH_MAX = 200
LOCALE_LENGTH_MAX = 35  # BCP 47 tags in practice


def read_addresses(payer: Payer, default_region: str) -> Addresses:
    """Normalises what the gateway gave; what cannot be dialled or written to is kept as a reason, not as an address."""
    rejected: dict[str, str] = {}
    e164 = email = None
    if payer.phone:
        try:
            e164 = phone.normalise(payer.phone, payer.region or default_region)
        except InvalidInputError as error:
            rejected[rows.PHONE] = error.detail
    if payer.email:
        try:
            email = mailbox.normalise(payer.email)
        except InvalidInputError as error:
            rejected[rows.EMAIL] = error.detail
    return Addresses(e164, email, rejected)


async def resolve(
    connection: Connection, source: str, payer: Payer, *, default_region: str, beside: UUID | None = None
) -> Resolved:
    """The person behind a payer, made when nobody is known yet, and her addresses as far as they are new.

    Locks everybody who may be meant, and `beside`, before anything of theirs is written.
    """
    addresses = read_addresses(payer, default_region)
    owners = await rows.find_owners(
        connection, phone=addresses.phone, email=addresses.email, source=source, reference=payer.reference
    )
    await rows.lock_all(connection, owners.all | ({beside} if beside else set()))
    name = payer.name[:NAME_LENGTH_MAX] if payer.name else None
    locale = payer.locale if payer.locale and len(payer.locale) <= LOCALE_LENGTH_MAX else None
    person_id = owners.by_phone or owners.by_email or owners.by_reference
    if person_id is None:
        person_id = await rows.create(connection, name=name, locale=locale)
    else:
        await rows.learn(connection, person_id, name=name, locale=locale)
    learnt = False
    if addresses.phone and owners.by_phone is None:
        learnt |= await rows.add_contact_point(connection, person_id, rows.PHONE, addresses.phone)
    if addresses.phone and owners.by_phone in (None, person_id):
        evidence = f"{source} {payer.reference or ''}".strip()
        await consent.given_with_a_payment(connection, person_id, addresses.phone, evidence=evidence)
    if addresses.email and owners.by_email is None:
        learnt |= await rows.add_contact_point(connection, person_id, rows.EMAIL, addresses.email)
    if payer.region:
        told = Address(payer.region, payer.state, payer.postal_code)
        learnt |= await places.learn_address(connection, person_id, told)
    if payer.reference and owners.by_reference is None:
        await rows.add_reference(connection, person_id, source, payer.reference)
    return Resolved(person_id, addresses, len(owners.all) > 1, learnt)
