"""CiviCRM by its API version 4 over HTTP (AuthX). Source: docs.civicrm.org, APIv4 REST and chaining.

One request brings the numbers, the contact and the sums of her contributions; amounts of several currencies are not
added up: the currency of the last gift counts. Writing uses `save` with `match`, which writes a thing once however
often it is told: a contribution by its `trxn_id`, an activity by its subject, a contact by its `external_identifier`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from tenderline.config_crm import CiviCrmSettings
from tenderline.core.clock import utc_now
from tenderline.core.donor import Donor
from tenderline.core.errors import ConfigurationError
from tenderline.crm import record
from tenderline.crm.base import (
    CrmRefusedError,
    Disposition,
    Failure,
    Gift,
    LookUpBy,
    LookupFailed,
    OptOut,
    Whom,
    Written,
)
from tenderline.crm.record import Amount, Record
from tenderline.crm.web import Web, as_write_error, read_json
from tenderline.crm.whom import meant

WHO: Final = "CiviCRM"
NUMBERS_MAX: Final = 10
YEAR: Final = timedelta(days=365)
STATUSES: Final = {"completed": "Completed", "refunded": "Refunded", "disputed": "Chargeback"}
_DONE: Final = [
    ["contact_id", "=", "$contact_id"],
    ["contribution_status_id:name", "=", "Completed"],
    ["is_test", "=", False],
]


class _Sum(msgspec.Struct):
    currency: str | None = None
    total: Amount = None
    gifts: int | None = None
    largest: Amount = None


class _Last(msgspec.Struct):
    currency: str | None = None
    total_amount: Amount = None
    receive_date: str | None = None


class _Phone(msgspec.Struct):
    contact_id: int
    phone: str | None = None
    name: str | None = msgspec.field(default=None, name="contact_id.display_name")
    language: str | None = msgspec.field(default=None, name="contact_id.preferred_language")
    email: str | None = msgspec.field(default=None, name="contact_id.email_primary.email")
    sums: list[_Sum] = []
    recent: list[_Sum] = []
    last: list[_Last] = []


class _Phones(msgspec.Struct):
    values: list[_Phone]


class _Email(msgspec.Struct):
    contact_id: int
    email: str | None = None


class _Emails(msgspec.Struct):
    values: list[_Email]


class _Saved(msgspec.Struct):
    values: list[dict[str, Any]]


class CiviCrm:
    """One site."""

    name = "civicrm"
    looks_up_by: frozenset[LookUpBy] = frozenset({"ANI"})
    writes = True

    def __init__(self, settings: CiviCrmSettings, *, currency: str, region: str | None) -> None:
        if settings.url is None or settings.api_key is None:
            raise ConfigurationError("crm.kind is civicrm: set civicrm.url and civicrm.api_key.")
        self._settings, self._currency, self._region = settings, currency, region
        self._headers = {
            "X-Civi-Auth": f"Bearer {settings.api_key.get_secret_value()}",
            "X-Requested-With": "XMLHttpRequest",
        }
        self._web = Web(WHO)

    async def _call(self, entity: str, action: str, params: dict[str, object]) -> bytes:
        answer = await self._web.ask(
            "POST",
            f"{self._settings.url}/civicrm/ajax/api4/{entity}/{action}",
            headers=self._headers,
            form={"params": msgspec.json.encode(params).decode()},
        )
        if answer.status in (401, 404):
            what = "refuses civicrm.api_key" if answer.status == 401 else "has no API v4 at civicrm.url"
            reason = Failure.ACCESS_REFUSED if answer.status == 401 else Failure.WRONG_SHAPE
            raise LookupFailed(reason, f"{WHO} {what} (HTTP {answer.status}).")
        return answer.body

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """See `Crm.find`."""
        del by
        return record.choose(await self._of_number(number))

    async def _of_number(self, number: str) -> list[Donor]:
        body = await self._call("Phone", "get", _question(number))
        found: list[Donor] = []
        others: LookupFailed | None = None
        for one in read_json(body, _Phones, WHO).values[:NUMBERS_MAX]:
            try:
                record.require_number([one.phone], number, self._region, WHO)
            except LookupFailed as failed:
                others = failed
                continue
            found.append(self._donor(one, number))
        return record.require_one(found, others)

    async def _of_email(self, email: str) -> list[Donor]:
        question = {
            "select": ["contact_id", "email"],
            "where": [["email", "=", email], ["contact_id.is_deleted", "=", False]],
            "limit": NUMBERS_MAX,
        }
        found = read_json(await self._call("Email", "get", question), _Emails, WHO).values[:NUMBERS_MAX]
        known = [Record(donor_id=one.contact_id, email=one.email) for one in found]
        return record.of_email([record.donor(one, WHO, self._currency) for one in known], email)

    def _donor(self, one: _Phone, number: str) -> Donor:
        last = one.last[0] if one.last else _Last()
        currency = last.currency or self._currency
        sums = next((sum_ for sum_ in one.sums if (sum_.currency or currency) == currency), None)
        told = Record(
            donor_id=one.contact_id,
            name=one.name,
            phone=number,
            email=one.email,
            language=one.language,
            currency=currency,
            lifetime_value=sums.total if sums else None,
            largest_donation=sums.largest if sums else None,
            donation_count=sum(sum_.gifts or 0 for sum_ in one.sums),
            donations_last_12_months=sum(sum_.gifts or 0 for sum_ in one.recent),
            last_donation_date=(last.receive_date or "")[:10] or None,
            last_donation_amount=last.total_amount,
        )
        return record.donor(told, WHO, self._currency)

    async def write(self, entry: Written) -> bool:
        """See `Crm.write`."""
        try:
            if entry.is_there:
                await self._write(entry, None)
                return True
            ids = [_id(one) for one in await meant(entry, self._of_number, self._of_email)]
            if not ids and isinstance(entry, Gift):
                ids = [await self._new_contact(entry.whom)]
            for contact_id in ids:
                await self._write(entry, contact_id)
        except LookupFailed as failed:
            raise as_write_error(failed) from None
        return bool(ids)

    async def _write(self, entry: Written, contact_id: int | None) -> None:
        """`contact_id` is None for what is there already: it stays whose it is."""
        match entry:
            case Gift():
                gift = {
                    "contact_id": contact_id,
                    "financial_type_id:name": self._settings.financial_type,
                    "total_amount": record.written(entry.left),
                    "currency": entry.amount.currency,
                    "receive_date": f"{entry.at:%Y-%m-%d %H:%M:%S}",
                    "trxn_id": f"tenderline-{entry.key}",
                    "source": record.about(entry, length_max=255),
                    "contribution_status_id:name": STATUSES[entry.standing],
                }
                await self._call("Contribution", "save", {"records": [record.without_none(gift)], "match": ["trxn_id"]})
            case OptOut():
                silent = {name: True for name in ("do_not_phone", "do_not_sms", "do_not_email", "is_opt_out")}
                await self._call("Contact", "update", {"where": [["id", "=", contact_id]], "values": silent})
            case Disposition():
                activity = {
                    "activity_type_id:name": "Phone Call",
                    "status_id:name": "Completed",
                    "source_contact_id": "user_contact_id",
                    "target_contact_id": None if contact_id is None else [contact_id],
                    "activity_date_time": f"{entry.at:%Y-%m-%d %H:%M:%S}",
                    "subject": f"Tenderline call {entry.key}",
                    "details": ": ".join(filter(None, (entry.code, entry.note))),
                }
                records = [record.without_none(activity)]
                await self._call("Activity", "save", {"records": records, "match": ["subject"]})

    async def _new_contact(self, whom: Whom) -> int:
        person = {
            "contact_type": "Individual",
            "last_name": whom.label,
            "external_identifier": f"tenderline-{whom.person_id}",
        }
        chain: dict[str, object] = {}
        for name, value in (("phone", whom.phone), ("email", whom.email)):
            if value is not None:
                one = {"contact_id": "$id", name: value, "location_type_id:name": "Home"}
                chain[name] = [name.title(), "save", {"records": [one], "match": ["contact_id", name]}]
        wanted = {"records": [person], "match": ["external_identifier"], "chain": chain}
        body = await self._call("Contact", "save", wanted)
        values = read_json(body, _Saved, WHO).values
        made = values[0].get("id") if values else None
        if not isinstance(made, int):
            raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} did not say whom it made.")
        return made

    async def check(self) -> str:
        """See `Crm.check`."""
        await self.find("+12025550100")
        return f"{self._settings.url} answers API v4"

    async def close(self) -> None:
        """See `Crm.close`."""
        await self._web.close()


def _id(crm_id: str) -> int:
    if not crm_id.isascii() or not crm_id.isdecimal():
        raise CrmRefusedError(f"{WHO} has numbers for ids, and {crm_id[:20]!r} is none.")
    return int(crm_id)


def _question(number: str) -> dict[str, object]:
    """All in one: the numbers that are spelled with these digits, whose they are, and what she gave."""
    digits = sorted({"".join(filter(str.isdigit, one)) for one in record.spellings(number)})
    a_year_ago = f"{utc_now() - YEAR:%Y-%m-%d}"
    sums = ["currency", "SUM(total_amount) AS total", "COUNT(id) AS gifts", "MAX(total_amount) AS largest"]
    return {
        "select": [
            *("contact_id", "phone", "contact_id.display_name", "contact_id.preferred_language"),
            "contact_id.email_primary.email",
        ],
        "where": [["phone_numeric", "IN", digits], ["contact_id.is_deleted", "=", False]],
        "limit": NUMBERS_MAX,
        "chain": {
            "sums": ["Contribution", "get", {"select": sums, "where": _DONE, "groupBy": ["currency"]}],
            "recent": [
                "Contribution",
                "get",
                {
                    "select": ["currency", "COUNT(id) AS gifts"],
                    "where": [*_DONE, ["receive_date", ">", a_year_ago]],
                    "groupBy": ["currency"],
                },
            ],
            "last": [
                "Contribution",
                "get",
                {
                    "select": ["currency", "total_amount", "receive_date"],
                    "where": _DONE,
                    # Two on one day: the larger is the last gift, whatever its hour.
                    "orderBy": {"DATE(receive_date)": "DESC", "total_amount": "DESC"},
                    "limit": 1,
                },
            ],
        },
    }
