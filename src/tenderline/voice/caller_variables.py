"""What is known of a caller, as the variables of her call."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.core.money import Money
from tenderline.flows.call import Value
from tenderline.routing.lookup import Known


def of(known: Known) -> Mapping[str, Value]:
    """Its names are what flows read. What was all given back is nothing to speak of."""
    own, donor = known.own, known.donor
    told: dict[str, Value] = {"segment": known.segmented.name}
    if own is not None:
        told |= {"person_id": str(own.id), "name": own.name, "locale": own.locale, "balance": own.balance}
    if donor is not None:
        last = donor.last_gift
        told |= {
            "name": donor.name,
            "locale": (own.locale if own is not None else None) or donor.language,
            "donor_id": donor.crm_id or None,
            "tier": donor.tier,
            "lifetime_value": _above_zero(donor.lifetime_value),
            "last_gift": _above_zero(last.amount) if last is not None else None,
            "last_gift_on": last.on if last is not None else None,
            "gift_count": donor.gift_count,
            "gifts_last_year": donor.gifts_last_year,
            "recurring": donor.is_recurring,
            "urgency_score": donor.urgency_score,
            "preferred_agent": donor.preferred_agent,
        }
    return told


def _above_zero(money: Money | None) -> Money | None:
    return money if money is not None and money.minor > 0 else None
