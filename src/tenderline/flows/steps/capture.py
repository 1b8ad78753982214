"""Takes a card and charges it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.money import Money
from tenderline.flows import card_words
from tenderline.flows.call import Backstage, Call, CallEndedError, CardKeyed, LeftBecause, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import RECORDING_OFF, Facts, Step, StepError, Touch, confirmed, spoken
from tenderline.flows.variables import Reads, Sets

AMOUNT = "amount"
DECLINES_MAX = 10


class Capture(Step, frozen=True):
    """Takes a card by its keys, where nobody else hears it, and charges `amount` to it once. After `charged` the money
    is on its way: only `await_settlement` knows that it arrived. `abandoned` is silence; a hang-up ends the call."""

    declined: Text
    wait: Text | None = None
    variable: Sets = Sets("payment")
    reference: Sets = Sets("reference")
    last_four: Sets = Sets("last_four")
    brand: Sets = Sets("brand")
    text_announced: Annotated[
        bool, Meta(description="The caller was told that her number gets a text about the payment, and went on.")
    ] = False
    declines_max: (
        Annotated[
            int, Meta(ge=1, le=DECLINES_MAX, description="Cards that may be declined; else capture.declines_max.")
        ]
        | None
    ) = None
    declines_max_from: Annotated[Reads | None, Meta(description="Variable with their number, instead.")] = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "database", "network"})
    needs: ClassVar[Facts] = frozenset({RECORDING_OFF, confirmed(AMOUNT)})
    fixed_exits: ClassVar[tuple[str, ...]] = ("charged", "declined", "abandoned", "system_problem")

    def sets_on(self, exit: str) -> frozenset[str]:
        """What is known of the payment, when there is one."""
        names = {str(self.variable), str(self.reference), str(self.last_four), str(self.brand)}
        return frozenset(names) if exit == "charged" else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """What is said of a payment."""
        known: tuple[tuple[str, Value], ...] = (
            (self.variable, "0"),
            (self.reference, "12345678"),
            (self.last_four, "1111"),
            (self.brand, "visa"),
        )
        return dict(known)

    def waits_on(self, exit: str) -> bool:
        """It waits for keys."""
        return True

    def more_words(self, language: str) -> tuple[str, ...]:
        """What is said while a card is keyed."""
        return card_words.words(language)

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Card after card, until one is taken or too many were not."""
        amount = call.variables.get(AMOUNT)
        if not isinstance(amount, Money):
            raise StepError("There is no amount to be paid.")
        payment = await backstage.begin_payment(call, amount, text_announced=self.text_announced)
        if payment is None:
            return "system_problem"
        why: LeftBecause | None = "abandoned"
        try:
            for _ in range(self._declines_max(call, backstage)):
                card = await call.card(lambda prompt, values: card_words.spoken(prompt, call.language, values))
                if not isinstance(card, CardKeyed):
                    why = card
                    return "abandoned" if card in ("abandoned", "tries_exhausted", "cancelled") else "system_problem"
                if self.wait is not None:
                    await call.say(spoken(self.wait, call), cut_by_key=False)
                why = "system_problem"
                known = {
                    str(self.variable): payment.id,
                    str(self.reference): payment.reference,
                    str(self.last_four): card.last_four,
                    str(self.brand): card.brand,
                }
                before = {name: call.variables[name] for name in known if name in call.variables}
                call.variables.update(known)  # from here on the money may go, also when no answer comes back
                charged = await backstage.charge(payment.id, card)
                if charged in ("taken", "unknown"):
                    why = None
                    return "charged"
                for name in known:
                    del call.variables[name]
                call.variables.update(before)
                if charged == "failed":
                    return "system_problem"
                why = "declined"
                await call.say(spoken(self.declined, call), cut_by_key=True)
            return "declined"
        except CallEndedError:
            why = why and "hung_up"
            raise
        finally:
            if why is not None:
                await backstage.leave_payment(payment.id, why)

    def _declines_max(self, call: Call, backstage: Backstage) -> int:
        """What was set for this call, when it is a number that makes sense."""
        found = call.variables.get(self.declines_max_from) if self.declines_max_from else None
        if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= DECLINES_MAX:
            return found
        return self.declines_max or backstage.payment_terms().declines_max
