"""What the product asks of a payment gateway. Adding a gateway is one file beside this one that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

from tenderline.core.errors import ProviderError
from tenderline.core.facts import Payer, PaymentFact, RefundFact
from tenderline.core.money import Money
from tenderline.core.reasons import FailureReason
from tenderline.core.webhooks import Envelope


class GatewayUnavailableError(ProviderError):
    """The payment gateway did not answer; it is asked again with growing pauses."""

    code = "gateway_unavailable"


class GatewayRefusedError(ProviderError):
    """The payment gateway refused the request; the log names the object and the reason."""

    code = "gateway_refused"


class PayPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the payer can pay: a page of the gateway's own, so that no card detail comes near us."""

    url: str
    reference: str | None = None
    """By which the gateway can be asked about it. None: a page of its own that comes with the debt (an invoice)."""
    expires_at_unix_s: int | None = None
    """The gateway's clock. None: it does not end by itself, or the gateway does not say when."""


class PayPageState(StrEnum):
    """Whether somebody can still pay on a page."""

    OPEN = "open"
    USED = "used"
    """It was paid on, or the money is on its way: asking for more would charge twice."""
    OVER = "over"
    """It ended, or the payment on it failed for good: nobody can pay on it any more."""
    UNKNOWN = "unknown"
    """The gateway knows no such page (any more)."""


class PayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One debt to be paid on a gateway's page.

    `key` is our idempotency key, stored before the call together with all the rest: the same key always comes with the
    same request, and gets the same page.
    """

    key: str
    transaction_id: str
    money: Money
    description: str
    return_url: str
    known_url: str | None = None
    """The gateway's own page for this debt, when an event named one (a hosted invoice)."""


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A card that was keyed in on the telephone, to be charged once. `key` is our id of this try, stored before the
    gateway is asked, and its idempotency key."""

    key: str
    token: str
    """The gateway's own name for the card."""
    money: Money
    description: str
    reference: str
    """What the payer was told; kept with the gateway for whoever compares the books."""
    transaction_id: str | None = None
    """Of the transaction that was prepared; `charge` needs it."""


class ChargeState(StrEnum):
    """What a gateway says of a charge. None of these is the money's arrival: that is told by a webhook."""

    TAKEN = "taken"
    """It was accepted, or is being processed."""
    DECLINED = "declined"
    OPEN = "open"
    """Nothing was tried on the transaction, or nothing that the gateway knows of."""
    OVER = "over"
    """The transaction was taken back: nothing can be charged on it any more."""


class ChargeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How a charge stands."""

    state: ChargeState
    transaction_id: str
    reason: FailureReason | None = None


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Money to be given back, whole or a part. `key` is our id of this refund, stored before the gateway is asked, and
    its idempotency key: the same key always gives back once."""

    key: str
    transaction_id: str
    money: Money
    reference: str | None = None
    """The gateway's own id of it, once it is known."""


class CardTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a card that is keyed in becomes a token: what the process that holds its digits must know, and no more."""

    kind: Literal["stripe", "braintree", "adyen", "generic"]
    """The protocol, by its name in `cardholder/gateways`."""
    url: str
    api_key: str
    timeout_s: float
    ca_file: str | None = None
    account: str | None = None

    def __repr__(self) -> str:
        return f"CardTarget({self.kind})"


class Gateway(Protocol):
    """One payment gateway. Every call has a time-out; `GatewayUnavailableError` means try later."""

    name: str
    """The key in the database and in `/webhooks/{name}`: lower case, never changed."""

    def verify(self, headers: Mapping[str, bytes], body: bytes, now_unix_s: float) -> Envelope:
        """Authenticates a webhook: no I/O. `headers` have lower-case names.

        Raises `ForgedWebhookError`, `StaleWebhookError` or `MalformedWebhookError`; nothing else, whatever the input.
        """
        ...

    def normalise(self, body: bytes) -> list[PaymentFact]:
        """The payment facts in a stored webhook: none for a kind that says nothing about a payment.

        Raises `MalformedWebhookError` for what it will never be able to read: that is not tried again.
        """
        ...

    async def read_payer(self, reference: str) -> Payer:
        """Asks the gateway how its customer can be reached."""
        ...

    async def read_transaction_id(self, reference: str) -> str | None:
        """Asks which transaction an object (an invoice) belongs to; None when it has none (yet)."""
        ...

    async def read_payment(self, transaction_id: str) -> PaymentFact | None:
        """Asks how a payment stands now: settles contradictions and unknown outcomes. None when it is unknown there."""
        ...

    async def pay_page(self, request: PayRequest) -> PayPage:
        """A page on which this debt can be paid now."""
        ...

    async def read_pay_page(self, reference: str) -> PayPageState:
        """How a page made by `pay_page` stands now."""
        ...

    async def close_pay_page(self, reference: str) -> PayPageState:
        """Sees to it that nobody can pay on a page any more; how it stands then. OPEN: it could not be closed."""
        ...

    def card_target(self) -> CardTarget | None:
        """Where cards keyed in on the telephone become tokens that `charge` takes; None when they do not here."""
        ...

    async def prepare_charge(self, request: ChargeRequest) -> str:
        """Makes the transaction, which can succeed once, and tells its id. No money moves; the same `key` always gets
        the same transaction."""
        ...

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Charges the prepared transaction. `GatewayUnavailableError`: nobody knows; see `read_charge`."""
        ...

    async def read_charge(self, transaction_id: str) -> ChargeAnswer | None:
        """How the transaction stands; None when the gateway does not know it."""
        ...

    async def cancel_charge(self, transaction_id: str) -> ChargeAnswer:
        """Sees to it that nothing can be charged on the transaction any more; how it stands then. TAKEN: too late."""
        ...

    async def refund(self, request: RefundRequest) -> RefundFact:
        """Gives money back. `GatewayUnavailableError`: nobody knows; see `read_refund`."""
        ...

    async def read_refund(self, request: RefundRequest) -> RefundFact | None:
        """How a refund stands; None when the gateway knows of none under this key."""
        ...

    def refunds_in(self, body: bytes) -> list[RefundFact]:
        """The refunds that a stored webhook tells of. Raises `MalformedWebhookError`, as `normalise` does."""
        ...

    async def check(self) -> str:
        """For the doctor: one line saying what answered; raises with what to do about it."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
