"""Salesforce with the Nonprofit Success Pack: donors are contacts, gifts are opportunities, sums are NPSP's rollups.

The number is looked for with a parameterized search (SOSL) in telephone fields, which finds it however it is written.
Writing is an upsert by an external id field that holds our key, so a repetition changes nothing. NPSP's own "last gift"
is wrong for two gifts on one day until its rollups run (NPSP issue 454); we take what it says.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from tenderline.config_crm import SalesforceSettings
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
from tenderline.crm.tokens import Tokens
from tenderline.crm.web import Answer, Web, as_write_error
from tenderline.crm.whom import meant

WHO: Final = "Salesforce"
CONTACTS_MAX: Final = 10
_PHONES: Final = ("Phone", "MobilePhone", "HomePhone", "OtherPhone")
FIELDS: Final = (
    *("Id", "Name", "Email", *_PHONES),
    *("npo02__TotalOppAmount__c", "npo02__LastOppAmount__c", "npo02__LastCloseDate__c", "npo02__LargestAmount__c"),
    *("npo02__NumberOfClosedOpps__c", "npo02__OppsClosedLastNDays__c"),
)


class _Contact(msgspec.Struct):
    id: str = msgspec.field(name="Id")
    name: str | None = msgspec.field(default=None, name="Name")
    email: str | None = msgspec.field(default=None, name="Email")
    phone: str | None = msgspec.field(default=None, name="Phone")
    mobile: str | None = msgspec.field(default=None, name="MobilePhone")
    home: str | None = msgspec.field(default=None, name="HomePhone")
    other: str | None = msgspec.field(default=None, name="OtherPhone")
    total: Amount = msgspec.field(default=None, name="npo02__TotalOppAmount__c")
    last: Amount = msgspec.field(default=None, name="npo02__LastOppAmount__c")
    last_on: str | None = msgspec.field(default=None, name="npo02__LastCloseDate__c")
    largest: Amount = msgspec.field(default=None, name="npo02__LargestAmount__c")
    gifts: Amount = msgspec.field(default=None, name="npo02__NumberOfClosedOpps__c")
    recent: Amount = msgspec.field(default=None, name="npo02__OppsClosedLastNDays__c")


class _Found(msgspec.Struct):
    records: list[_Contact] = msgspec.field(name="searchRecords")


class _Saved(msgspec.Struct):
    id: str


class Salesforce:
    """One org."""

    name = "salesforce"
    looks_up_by: frozenset[LookUpBy] = frozenset({"ANI"})
    writes = True

    def __init__(self, settings: SalesforceSettings, *, currency: str, region: str | None) -> None:
        if settings.url is None or not settings.client_id or settings.client_secret is None:
            raise ConfigurationError(
                "crm.kind is salesforce: set salesforce.url, salesforce.client_id and salesforce.client_secret."
            )
        self._settings, self._currency, self._region = settings, currency, region
        self._root = f"{settings.url}/services/data/{settings.api_version}"
        self._web = Web(WHO)
        self._tokens = Tokens(
            self._web,
            f"{settings.url}/services/oauth2/token",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            sent="form",
        )

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """See `Crm.find`."""
        del by
        return record.choose(await self._of_number(number))

    async def _of_number(self, number: str) -> list[Donor]:
        found: list[Donor] = []
        others: LookupFailed | None = None
        for one in await self._search(record.spellings(number)[-1], "PHONE"):
            try:
                phones = [one.phone, one.mobile, one.home, one.other]
                record.require_number(phones, number, self._region, WHO)
            except LookupFailed as failed:
                others = failed
                continue
            found.append(self._donor(one, number))
        return record.require_one(found, others)

    async def _of_email(self, email: str) -> list[Donor]:
        return record.of_email([self._donor(one, None) for one in await self._search(email, "EMAIL")], email)

    async def _search(self, text: str, within: str) -> list[_Contact]:
        question = {
            "q": text,
            "in": within,
            "sobjects": [{"name": "Contact", "fields": list(FIELDS), "limit": CONTACTS_MAX}],
        }
        answer = await self._tokens.ask("POST", f"{self._root}/parameterizedSearch", json=question)
        if answer.status == 404:
            raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} has no such resource; check salesforce.api_version.")
        return answer.read(_Found, WHO).records[:CONTACTS_MAX]

    def _donor(self, one: _Contact, number: str | None) -> Donor:
        told = Record(
            donor_id=one.id,
            name=one.name,
            phone=number,
            email=one.email,
            lifetime_value=one.total,
            last_donation_date=one.last_on,
            last_donation_amount=one.last,
            largest_donation=one.largest,
            donation_count=_count(one.gifts),
            donations_last_12_months=_count(one.recent),
        )
        return record.donor(told, WHO, self._currency)

    async def write(self, entry: Written) -> bool:
        """See `Crm.write`."""
        try:
            if entry.is_there:
                await self._write(entry, None)
                return True
            ids = await meant(entry, self._of_number, self._of_email)
            if not ids and isinstance(entry, Gift):
                ids = (await self._new_contact(entry.whom),)
            for contact_id in ids:
                await self._write(entry, contact_id)
        except LookupFailed as failed:
            raise as_write_error(failed) from None
        return bool(ids)

    async def _write(self, entry: Written, contact_id: str | None) -> None:
        """`contact_id` is None for what is there already: it stays whose it is."""
        match entry:
            case Gift():
                try:
                    await self._upsert("Opportunity", str(entry.key), self._opportunity(entry, contact_id))
                except LookupFailed as failed:
                    currency = entry.amount.currency
                    if failed.reason is not Failure.WRONG_SHAPE or currency == self._currency:
                        raise
                    raise CrmRefusedError(f"{failed.detail} Does the org take gifts in {currency}?") from None
            case OptOut():
                silent = {"DoNotCall": True, "HasOptedOutOfEmail": True, "npsp__Do_Not_Contact__c": True}
                await self._send(f"{self._root}/sobjects/Contact/{quote(contact_id or '', safe='')}", silent)
            case Disposition():
                task = {
                    "WhoId": contact_id,
                    "Subject": f"Call: {entry.code}",
                    "Description": entry.note,
                    "Status": "Completed",
                    "TaskSubtype": "Call",
                    "ActivityDate": f"{entry.at:%Y-%m-%d}",
                }
                await self._upsert("Task", str(entry.key), record.without_none(task))

    def _opportunity(self, entry: Gift, contact_id: str | None) -> dict[str, object]:
        gift = {
            "Name": record.about(entry, length_max=120),
            "Amount": float(record.written(entry.left)),
            "CloseDate": f"{entry.at:%Y-%m-%d}",
            "StageName": "Closed Won" if entry.standing == "completed" else self._settings.refunded_stage,
            "npsp__Primary_Contact__c": contact_id,
            # An org with one currency has no such field: it takes its own without it, and refuses another.
            "CurrencyIsoCode": None if entry.amount.currency == self._currency else entry.amount.currency,
        }
        return record.without_none(gift)

    async def _new_contact(self, whom: Whom) -> str:
        known = {"LastName": whom.label, "Phone": whom.phone, "Email": whom.email}
        return (await self._upsert("Contact", str(whom.person_id), record.without_none(known))).read(_Saved, WHO).id

    async def _upsert(self, kind: str, key: str, fields: dict[str, Any]) -> Answer:
        return await self._send(f"{self._root}/sobjects/{kind}/{self._settings.key_field}/{key}", fields)

    async def _send(self, url: str, fields: dict[str, Any]) -> Answer:
        answer = await self._tokens.ask("PATCH", url, json=fields)
        if answer.status == 404:
            raise CrmRefusedError(f"{WHO} has no such record or field; see that {self._settings.key_field} exists.")
        return answer

    async def check(self) -> str:
        """See `Crm.check`."""
        await self.find("+12025550100")
        return f"{self._settings.url} answers searches"

    async def close(self) -> None:
        """See `Crm.close`."""
        await self._tokens.close()
        await self._web.close()


def _count(told: Amount) -> int | None:
    """NPSP keeps counts as numbers with decimals."""
    try:
        return None if told is None else max(0, int(float(told)))
    except (ValueError, OverflowError):
        raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} told a number of gifts that is none.") from None
