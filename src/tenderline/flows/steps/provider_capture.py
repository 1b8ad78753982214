"""Lets a payment provider take the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.money import Money
from tenderline.flows.call import Backstage, Call, CallEndedError, Value
from tenderline.flows.step import Facts, Step, StepError, Touch, confirmed
from tenderline.flows.variables import Sets

AMOUNT = "amount"


class ProviderCapture(Step, frozen=True):
    """Hands the caller over to the menu of the payment provider that is set (`capture.provider`), which takes the card
    itself: no key and no word of it passes here. Once it is done the call is over for us; the gateway's webhook tells
    whether the money arrived."""

    reference: Sets = Sets("reference")
    text_announced: Annotated[
        bool, Meta(description="The caller was told that her number gets a text about the payment, and went on.")
    ] = False

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "database", "network"})
    needs: ClassVar[Facts] = frozenset({confirmed(AMOUNT)})
    fixed_exits: ClassVar[tuple[str, ...]] = ("busy", "system_problem")
    ends: ClassVar[tuple[str, ...]] = ("transferred",)

    def samples(self) -> Mapping[str, Value]:
        """What is said of a payment."""
        return {str(self.reference): "12345678"}

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Begins the payment, and hands over."""
        amount = call.variables.get(AMOUNT)
        if not isinstance(amount, Money):
            raise StepError("There is no amount to be paid.")
        payment = await backstage.hand_over_payment(call, amount, text_announced=self.text_announced)
        if payment is None:
            return "system_problem"
        call.variables[str(self.reference)] = payment.reference
        try:
            went = await call.to_provider(payment.to, payment.told)
        except CallEndedError:
            await backstage.leave_payment(payment.id, "hung_up")
            raise
        if went == "transferred":
            return went
        await backstage.leave_payment(payment.id, "system_problem")
        return "busy" if went == "busy" else "system_problem"
