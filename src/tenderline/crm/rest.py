"""A CRM that answers `POST /api/v1/donor/lookup` with an OAuth bearer token: what to write for one of your own.

A donor's figures are those of `crm/record.py`. Nobody known: 404, 204, or an object without a donor. Writing back is a
post to one address for everything, with our key as `Idempotency-Key` and in the body.
"""

from __future__ import annotations

from typing import Final

from pydantic import SecretStr

from tenderline.config_crm import CrmRestSettings
from tenderline.core.donor import Donor
from tenderline.core.errors import ConfigurationError
from tenderline.crm import record
from tenderline.crm.base import Disposition, Failure, Gift, LookUpBy, LookupFailed, OptOut, Written
from tenderline.crm.record import Record
from tenderline.crm.tokens import Tokens
from tenderline.crm.web import Web, as_write_error

WHO: Final = "The CRM"
CHECK_NUMBER: Final = "+12025550100"


class Rest:
    """One CRM behind the document's interface."""

    name = "rest"
    looks_up_by: frozenset[LookUpBy] = frozenset({"ANI", "DNIS"})
    writes = True

    def __init__(self, settings: CrmRestSettings, *, currency: str, region: str | None) -> None:
        if settings.url is None or not settings.client_id or settings.client_secret is None:
            raise ConfigurationError(
                "crm.kind is rest: set crm_rest.url, crm_rest.client_id and crm_rest.client_secret."
            )
        self._settings, self._currency, self._region = settings, currency, region
        self._web = Web(WHO)
        secret: SecretStr = settings.client_secret
        self._tokens = Tokens(
            self._web,
            settings.token_url or f"{settings.url}/oauth/token",
            client_id=settings.client_id,
            client_secret=secret,
            sent="header",
            extra={"scope": settings.scope} if settings.scope else None,
        )

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """See `Crm.find`."""
        question = {"identifier_type": by, "identifier_value": number}
        answer = await self._tokens.ask("POST", f"{self._settings.url}{self._settings.lookup_path}", json=question)
        if answer.status in (204, 404):
            return None
        told = answer.read(Record, WHO)
        if told == Record():
            return None
        if by == "ANI" and (told.phone or told.phones):
            record.require_number([told.phone, *(told.phones or [])], number, self._region, WHO)
        return record.donor(told, WHO, self._currency)

    async def write(self, entry: Written) -> bool:
        """See `Crm.write`. Whom it knows is for the CRM to say: it is given every address."""
        url = f"{self._settings.url}{self._settings.activity_path}"
        try:
            answer = await self._tokens.ask(
                "POST", url, json=_body(entry), headers={"Idempotency-Key": str(_key(entry))}
            )
            if answer.status == 404:
                raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} has no {self._settings.activity_path} (HTTP 404).")
        except LookupFailed as failed:
            raise as_write_error(failed) from None
        return True

    async def check(self) -> str:
        """See `Crm.check`."""
        await self.find(CHECK_NUMBER)
        return f"{self._settings.url} answers look-ups"

    async def close(self) -> None:
        """See `Crm.close`."""
        await self._tokens.close()
        await self._web.close()


def _key(entry: Written) -> str:
    """What became of a gift, and another choice for the same call, are other things than what was told before."""
    match entry:
        case Gift(standing="completed", given_back=back) if back is not None and _is_part(entry):
            return f"{entry.key}-refunded-{back.minor}"
        case Gift(standing="refunded"):
            return f"{entry.key}-refund"
        case Gift(standing="disputed"):
            return f"{entry.key}-dispute"
        case Disposition():
            return f"{entry.key}-{entry.at.timestamp():.3f}"
        case _:
            return str(entry.key)


def _is_part(entry: Gift) -> bool:
    """Nothing that went back is worth telling only to who was told of more."""
    return entry.given_back is not None and (entry.given_back.minor > 0 or entry.is_there)


def _gift(entry: Gift) -> dict[str, object]:
    kind, status = {
        "completed": ("gift", "COMPLETED"),
        "refunded": ("refund", "REFUNDED"),
        "disputed": ("dispute", "DISPUTED"),
    }[entry.standing]
    part = entry.given_back if _is_part(entry) else None
    if part is not None:
        kind, status = "partial_refund", "PARTIALLY_REFUNDED"
    return {
        "type": kind,
        "gift_id": str(entry.key),
        "transaction_status": status,
        "amount": record.written(entry.amount),
        "amount_refunded": None if part is None else record.written(part),
        "currency": entry.amount.currency,
        "reference": entry.reference,
        "fund": entry.fund,
        "campaign": entry.campaign,
    }


def _body(entry: Written) -> dict[str, object]:
    whom = entry.whom
    body: dict[str, object] = {
        "id": _key(entry),
        "occurred_at": entry.at.isoformat(),
        "phone": whom.phone,
        "name": whom.name,
        "email": whom.email,
    }
    match entry:
        case Gift():
            body |= _gift(entry)
        case OptOut():
            body |= {"type": "opt_out", "channel": entry.channel, "globalOptOutStatus": True}
            body |= {"address": entry.address or None, "phones": list(whom.phones)}
        case Disposition():
            conversation = str(entry.conversation_id) if entry.conversation_id else None
            body |= {"type": "disposition", "disposition_id": str(entry.key), "code": entry.code, "note": entry.note}
            body |= {"conversation_id": conversation}
    return {name: value for name, value in body.items() if value is not None}
