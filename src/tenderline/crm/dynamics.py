"""Microsoft Dynamics 365 by the Dataverse Web API (v9.2), with the columns of Fundraising and Engagement on contacts.

Numbers are compared as texts there, so the usual spellings are asked for together. Writing is an upsert: a PATCH to a
row of our own id makes the row, or changes it. Sources: Microsoft's pages on the Web API (query data, upsert, client
credentials) and the public source of Fundraising and Engagement for the names of its columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from yarl import URL

from tenderline.config_crm import DynamicsSettings
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
from tenderline.crm.web import Web, as_write_error
from tenderline.crm.whom import meant

WHO: Final = "Dynamics"
CONTACTS_MAX: Final = 10
COMPLETED: Final = 844060000
REFUNDED: Final = 844060004
"""Values of `statuscode` on a gift there."""
_PHONES: Final = ("telephone1", "telephone2", "mobilephone")
_COLUMNS: Final = (
    *("contactid", "fullname", "emailaddress1", *_PHONES),
    *("msnfp_sum_lifetimetransactions", "msnfp_count_lifetimetransactions", "msnfp_lasttransactiondate"),
)
_SPACE: Final = UUID("5d2ff5a4-5f0e-4b8b-9f51-0a8d3c7c8f10")


class _Contact(msgspec.Struct):
    contactid: str
    fullname: str | None = None
    emailaddress1: str | None = None
    telephone1: str | None = None
    telephone2: str | None = None
    mobilephone: str | None = None
    msnfp_sum_lifetimetransactions: Amount = None
    msnfp_count_lifetimetransactions: int | None = None
    msnfp_lasttransactiondate: str | None = None


class _Found(msgspec.Struct):
    value: list[_Contact]


class _Currency(msgspec.Struct):
    transactioncurrencyid: str


class _Currencies(msgspec.Struct):
    value: list[_Currency]


class Dynamics:
    """One environment."""

    name = "dynamics"
    looks_up_by: frozenset[LookUpBy] = frozenset({"ANI"})
    writes = True

    def __init__(self, settings: DynamicsSettings, *, currency: str, region: str | None) -> None:
        known = settings.url and settings.tenant_id and settings.client_id
        if not known or settings.client_secret is None:
            raise ConfigurationError(
                "crm.kind is dynamics: set url, tenant_id, client_id and client_secret under [dynamics]."
            )
        self._settings, self._currency, self._region = settings, currency, region
        self._root = f"{settings.url}/api/data/v9.2"
        self._web = Web(WHO)
        self._tokens = Tokens(
            self._web,
            f"{settings.login_url}/{settings.tenant_id}/oauth2/v2.0/token",
            client_id=settings.client_id or "",
            client_secret=settings.client_secret,
            sent="form",
            extra={"scope": f"{settings.url}/.default"},
        )
        self._headers = {"OData-MaxVersion": "4.0", "OData-Version": "4.0"}

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """See `Crm.find`."""
        del by
        return record.choose(await self._of_number(number))

    async def _of_number(self, number: str) -> list[Donor]:
        found: list[Donor] = []
        others: LookupFailed | None = None
        for one in await self._contacts(_PHONES, record.spellings(number)):
            try:
                record.require_number([one.telephone1, one.telephone2, one.mobilephone], number, self._region, WHO)
            except LookupFailed as failed:
                others = failed
                continue
            found.append(self._donor(one, number))
        return record.require_one(found, others)

    async def _of_email(self, email: str) -> list[Donor]:
        found = await self._contacts(("emailaddress1",), (email,))
        return record.of_email([self._donor(one, None) for one in found], email)

    async def _contacts(self, columns: Sequence[str], values: Sequence[str]) -> list[_Contact]:
        quoted = [one.replace("'", "''") for one in values]
        query = {
            "$select": ",".join(_COLUMNS),
            "$filter": " or ".join(f"{column} eq '{one}'" for column in columns for one in quoted),
            "$top": str(CONTACTS_MAX),
        }
        url = str(URL(f"{self._root}/contacts").with_query(query))
        answer = await self._tokens.ask("GET", url, headers=self._headers)
        if answer.status == 404:
            raise LookupFailed(Failure.WRONG_SHAPE, f"{WHO} has no contacts at dynamics.url.")
        return answer.read(_Found, WHO).value[:CONTACTS_MAX]

    def _donor(self, one: _Contact, number: str | None) -> Donor:
        told = Record(
            donor_id=one.contactid,
            name=one.fullname,
            phone=number,
            email=one.emailaddress1,
            lifetime_value=one.msnfp_sum_lifetimetransactions,
            donation_count=one.msnfp_count_lifetimetransactions,
            last_donation_date=one.msnfp_lasttransactiondate,
        )
        return record.donor(told, WHO, self._currency)

    async def write(self, entry: Written) -> bool:
        """See `Crm.write`."""
        try:
            if entry.is_there:
                await self._write(entry, None)
                return True
            ids = [_guid(one) for one in await meant(entry, self._of_number, self._of_email)]
            if not ids and isinstance(entry, Gift):
                ids = [await self._new_contact(entry.whom)]
            for contact_id in ids:
                await self._write(entry, contact_id)
        except LookupFailed as failed:
            raise as_write_error(failed) from None
        return bool(ids)

    async def _write(self, entry: Written, contact_id: UUID | None) -> None:
        """`contact_id` is None for what is there already: it stays whose it is."""
        whose = None if contact_id is None else f"/contacts({contact_id})"
        match entry:
            case Gift():
                gift = _gift(entry, whose, await self._currency_id(entry.amount.currency))
                await self._upsert("msnfp_transactions", entry.key, gift)
            case OptOut():
                assert contact_id is not None, "silence is somebody's"
                silent = {"donotphone": True, "donotemail": True, "donotbulkemail": True}
                await self._upsert("contacts", contact_id, silent)
            case Disposition():
                call = {
                    "subject": f"Call: {entry.code}",
                    "description": entry.note,
                    "directioncode": False,
                    "actualend": entry.at.isoformat(),
                    "regardingobjectid_contact@odata.bind": whose,
                }
                await self._upsert("phonecalls", entry.key, record.without_none(call))

    async def _currency_id(self, code: str) -> str | None:
        """None for the environment's own. Raises `CrmRefusedError` for one that it does not have: an amount alone would
        be booked in its own."""
        if code == self._currency:
            return None
        query = {"$select": "transactioncurrencyid", "$filter": f"isocurrencycode eq '{code}'", "$top": "1"}
        url = str(URL(f"{self._root}/transactioncurrencies").with_query(query))
        answer = await self._tokens.ask("GET", url, headers=self._headers)
        found = answer.read(_Currencies, WHO).value if answer.status != 404 else []
        if not found:
            raise CrmRefusedError(f"{WHO} has no currency {code}; add it there, then replay this gift.")
        return found[0].transactioncurrencyid

    async def _new_contact(self, whom: Whom) -> UUID:
        made = uuid5(_SPACE, str(whom.person_id))
        known = {"lastname": whom.label, "telephone1": whom.phone, "emailaddress1": whom.email}
        await self._upsert("contacts", made, record.without_none(known))
        return made

    async def _upsert(self, table: str, id: UUID, columns: dict[str, Any]) -> None:
        answer = await self._tokens.ask("PATCH", f"{self._root}/{table}({id})", json=columns, headers=self._headers)
        if answer.status == 404:
            raise CrmRefusedError(f"{WHO} has no table {table}, or no such row.")

    async def check(self) -> str:
        """See `Crm.check`."""
        await self.find("+12025550100")
        return f"{self._settings.url} answers queries"

    async def close(self) -> None:
        """See `Crm.close`."""
        await self._tokens.close()
        await self._web.close()


def _guid(crm_id: str) -> UUID:
    try:
        return UUID(crm_id)
    except ValueError:
        raise CrmRefusedError(f"{WHO} has GUIDs for ids, and {crm_id[:40]!r} is none.") from None


def _gift(entry: Gift, whose: str | None, currency_id: str | None) -> dict[str, Any]:
    gift = {
        "msnfp_name": record.about(entry, length_max=100),
        "msnfp_amount": float(record.written(entry.left)),
        "msnfp_bookdate": f"{entry.at:%Y-%m-%d}",
        "msnfp_transactionidentifier": entry.reference,
        "statuscode": COMPLETED if entry.standing == "completed" else REFUNDED,
        "msnfp_customerid_contact@odata.bind": whose,
        "transactioncurrencyid@odata.bind": None if currency_id is None else f"/transactioncurrencies({currency_id})",
    }
    return record.without_none(gift)
