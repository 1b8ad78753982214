"""The bank's pages: where a payer pays (`/pay/…`), and where a visitor of the sandbox sees and makes news (`/bank`)."""

from __future__ import annotations

import re
import time
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from babel.numbers import format_currency, get_currency_precision

from tenderline_sandbox.bank_api import MERCHANT
from tenderline_sandbox.bank_checkout import CARDS, Bill, Checkout
from tenderline_sandbox.bank_control import BankControl, Handler
from tenderline_sandbox.bank_debts import decline_message
from tenderline_sandbox.bank_relay import Relay
from tenderline_sandbox.bank_teller import Teller
from tenderline_sandbox.bank_wire import BankError, Json
from tenderline_sandbox.screen import render

_ROWS_SHOWN: Final = 30
_AMOUNT: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")

REASONS: Final = {
    "insufficient_funds": "Insufficient funds",
    "expired_card": "The card has expired",
    "do_not_honor": "The card's bank declined",
    "lost_card": "The card was reported lost",
    "processing_error": "A technical error",
    "authentication_required": "The bank wants to be sure it is the cardholder",
    "revocation_of_authorization": "The payer cancelled the mandate",
}
CURRENCIES: Final = ("usd", "eur", "gbp", "jpy")


def money(amount_minor: int | None, currency: str | None) -> str:
    """An amount for people, such as $25.00."""
    if amount_minor is None or not currency:
        return ""
    code = currency.upper()
    return str(format_currency(amount_minor / 10 ** get_currency_precision(code), code, locale="en_US"))


def minor_units(amount: str, currency: str) -> int:
    """What a visitor typed, in minor units. Raises `BankError` for what is no amount."""
    if not _AMOUNT.fullmatch(amount.strip()):
        raise BankError(400, "The amount takes a number such as 25 or 25.00.")
    whole, _, part = amount.strip().partition(".")
    digits: int = get_currency_precision(currency.upper())
    if len(part) > digits and part.strip("0"):
        raise BankError(400, f"{currency.upper()} has {digits} digits after the point.")
    return int(whole + (part + "000")[:digits])


class BankPages:
    """The handlers."""

    def __init__(self, relay: Relay, checkout: Checkout, teller: Teller, control: BankControl) -> None:
        self._relay = relay
        self._checkout = checkout
        self._teller = teller
        self._control = control

    def handlers(self) -> list[tuple[str, str, Handler]]:
        """Every page: method, path, handler."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/pay/{id}", self._show_bill),
            ("POST", "/pay/{id}", self._pay),
            ("GET", "/bank", self._board),
            ("POST", "/bank/failure", self._make_fail),
        ]
        return [(method, path, self._saying_sorry(page)) for method, path, page in table]

    def _saying_sorry(self, page: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await page(request)
            except BankError as error:
                return self._page("bank/sorry.html", {"message": str(error)}, status=error.status)

        return handle

    def _page(self, template: str, facts: Json, *, status: int = 200, leads_to: str | None = None) -> web.Response:
        page = render(template, status=status, merchant=MERCHANT, **facts)
        # A browser applies form-action to where a form's answer redirects to as well: the merchant's own site.
        origin = ""
        if leads_to:
            parts = urlsplit(leads_to)
            origin = f" {parts.scheme}://{parts.netloc}"
        page.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; "
            f"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'{origin}"
        )
        return page

    def _bill_page(self, bill: Bill, decline_code: str | None) -> web.Response:
        facts = {
            "bill": bill,
            "amount": money(bill.amount, bill.currency),
            "cards": CARDS.values(),
            "decline": decline_message(decline_code) if decline_code else None,
        }
        return self._page("bank/pay.html", facts, leads_to=bill.return_url)

    async def _show_bill(self, request: web.Request) -> web.StreamResponse:
        return self._bill_page(self._checkout.bill(request.match_info["id"]), None)

    async def _pay(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        outcome = await self._checkout.pay(request.match_info["id"], form.get("card"))
        if outcome.decline_code:
            return self._bill_page(outcome.bill, outcome.decline_code)
        if outcome.already or outcome.bill.return_url is None:
            raise web.HTTPSeeOther(f"/pay/{outcome.bill.identity}")
        raise web.HTTPSeeOther(outcome.bill.return_url)

    def _board_facts(self) -> Json:
        events = [delivery.summary() for delivery in self._relay.deliveries(_ROWS_SHOWN)]
        payments = self._control.payments(_ROWS_SHOWN)
        for row in (*events, *payments):
            row["at"] = time.strftime("%H:%M:%S", time.localtime(row["created"]))
        for row in payments:
            row["sum"] = money(row["amount"], row["currency"])
        return {"events": events, "payments": payments}

    async def _board(self, request: web.Request) -> web.StreamResponse:
        return self._page("bank/board.html", {**self._board_facts(), "reasons": REASONS, "currencies": CURRENCIES})

    async def _make_fail(self, request: web.Request) -> web.StreamResponse:
        form = {name: value.strip() for name, value in (await request.post()).items() if isinstance(value, str)}
        currency = form.get("currency", "usd").lower()
        if currency not in CURRENCIES or form.get("reason") not in REASONS:
            raise BankError(400, "Choose a currency and a reason from the lists.")
        given: Json = {name: form[name] for name in ("name", "phone", "email") if form.get(name)}
        given |= {
            "amount": minor_units(form.get("amount", ""), currency),
            "currency": currency,
            "decline_code": form["reason"],
        }
        await self._teller.fail(given, renewal=form.get("kind") != "single")
        raise web.HTTPSeeOther("/bank")
