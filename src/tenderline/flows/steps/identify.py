"""Asks whose account it is, and for what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from tenderline.core.money import Money
from tenderline.flows.asking import NO_INPUT, digits, one_key
from tenderline.flows.call import Backstage, Call, Identified, Proof, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import Key, KeyWait, Step, Touch, Tries, keep, spoken
from tenderline.flows.variables import Sets, of

IDENTIFIED, FAILED = "identified", "failed"
MATCH_NAME, MATCH_END = "match_name", "match_end"
END_DIGITS = 3

Length = Annotated[int, Meta(ge=3, le=12, description="In digits.")]


class Identify(Step, frozen=True):
    """Asks for the number of an account and for a proof, a PIN or a postal code, until they go together. With `offer`
    the only account of the number that calls is offered first; a displayed number is no proof, so the proof is asked
    for all the same unless `offer_is_proof`. Tries are limited by account and by number over days
    (`identification.*`), and nothing tells why one failed. While the proof is keyed, recordings hold silence; it is
    kept nowhere.

    On every exit `how_far` is set: `nothing`, `account` (one was keyed, in `claimed`), `system_problem`, or the proof
    that was right: `pin`, `postal_code`, `caller`."""

    text: Annotated[Text, Meta(description="Asks for the account.")]
    proof_text: Annotated[Text, Meta(description="Asks for the proof.")]
    proof: Literal["pin", "postal_code"] = "pin"
    wrong: Annotated[Text | None, Meta(description="Said when the two do not go together, and one may try again.")] = (
        None
    )
    offer: Annotated[
        Text | None, Meta(description="Offers the caller's account; may name {match_name}, {match_end:digits}.")
    ] = None
    offer_is_proof: Annotated[
        bool, Meta(description="Who calls from the person's number and presses the key is believed.")
    ] = False
    yes: Key = "1"
    no: Key = "2"
    account_min: Length = 3
    account_max: Length = 12
    proof_min: Length = 4
    proof_max: Length = 12
    tries_max: Tries = 3
    timeout_s: KeyWait = 10
    between_s: Annotated[float, Meta(ge=1, le=20, description="The pause after a digit that ends it.")] = 4
    answer_s: Annotated[float, Meta(ge=1, le=20, description="How long an answer is waited for.")] = 8
    account: Sets = Sets("account")
    person_id: Sets = Sets("person_id")
    name: Sets = Sets("name")
    balance: Sets = Sets("balance")
    how_far: Sets = Sets("how_far")
    claimed: Sets = Sets("claimed")

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "database"})
    brings: ClassVar[Mapping[str, Value]] = {MATCH_NAME: "Ann", MATCH_END: "123"}
    fixed_exits: ClassVar[tuple[str, ...]] = (IDENTIFIED, FAILED, NO_INPUT)

    def __post_init__(self) -> None:
        for what, least, most in (
            ("account", self.account_min, self.account_max),
            ("proof", self.proof_min, self.proof_max),
        ):
            if least > most:
                raise ValueError(f"{what}_min: {least} is more than {what}_max, {most}")
        if self.yes == self.no:
            raise ValueError("yes: must be another key than no")
        if self.offer_is_proof and self.offer is None:
            raise ValueError("offer_is_proof: needs offer, which the caller says yes to")

    def sets_on(self, exit: str) -> frozenset[str]:
        """Whose account it is, once that is known; and how far it came, always."""
        always = {str(self.how_far), str(self.claimed)}
        known = {str(self.account), str(self.person_id), str(self.name), str(self.balance)}
        return frozenset(always | known if exit == IDENTIFIED else always)

    def samples(self) -> Mapping[str, Value]:
        """An account, and what is owed on it."""
        known: tuple[tuple[str, Value], ...] = (
            (self.account, "12345"),
            (self.person_id, "0"),
            (self.name, "Ann"),
            (self.balance, Money(2500, "USD")),
            (self.how_far, "account"),
            (self.claimed, "12345"),
        )
        return dict(known)

    def waits_on(self, exit: str) -> bool:
        """It always waits for keys."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Offers, asks, and asks again."""
        self._came(call, "nothing", "")
        try:
            return await self._run(call, backstage)
        except TimeoutError:
            self._came(call, "system_problem", call.variables[str(self.claimed)])
            return FAILED

    async def _run(self, call: Call, backstage: Backstage) -> str:
        offered = await self._offered(call, backstage) if self.offer else None
        if offered and self.offer_is_proof and await self._known(call, backstage, offered, "caller", ""):
            return IDENTIFIED
        failure = NO_INPUT
        for tried in range(self.tries_max):
            account = offered or await self._keyed(call, self.text, self.account_max)
            offered = None
            if account:
                self._came(call, "account", account)
            proof = await self._proof(call) if account else None
            is_whole = len(account or "") >= self.account_min and len(proof or "") >= self.proof_min
            if account and proof and is_whole and await self._known(call, backstage, account, self.proof, proof):
                return IDENTIFIED
            failure = FAILED if account and proof else NO_INPUT
            call.forget_keys()
            if failure == FAILED and self.wrong and tried + 1 < self.tries_max:
                await call.say(spoken(self.wrong, call), cut_by_key=True)
        return failure

    async def _offered(self, call: Call, backstage: Backstage) -> str | None:
        """The account that the caller says yes to; None when there is nothing to offer, or it is not hers."""
        assert self.offer is not None
        found = await backstage.account_of(call.caller, timeout_s=self.answer_s)
        if found is None:
            return None
        number, name = found
        known = {**of(call), MATCH_NAME: name, MATCH_END: number[-END_DIGITS:]}
        offer = self.offer.spoken(call.language, known)
        key = await one_key(call, [offer], (self.yes, self.no), timeout_s=self.timeout_s, tries_max=self.tries_max)
        return number if key == self.yes else None

    async def _keyed(self, call: Call, text: Text, length_max: int) -> str | None:
        return await digits(
            call,
            spoken(text, call),
            length_max=length_max,
            timeout_s=self.timeout_s,
            between_s=self.between_s,
        )

    async def _proof(self, call: Call) -> str | None:
        with call.unheard():
            return await self._keyed(call, self.proof_text, self.proof_max)

    async def _known(self, call: Call, backstage: Backstage, account: str, by: Proof, proof: str) -> bool:
        found = await backstage.identify(call, account=account, by=by, proof=proof, timeout_s=self.answer_s)
        if found is not None:
            self._keep(call, found, by)
        return found is not None

    def _keep(self, call: Call, found: Identified, by: Proof) -> None:
        keep(call, str(self.account), found.account)
        keep(call, str(self.person_id), found.person_id)
        keep(call, str(self.name), found.name)
        keep(call, str(self.balance), found.balance)
        self._came(call, by, found.account)

    def _came(self, call: Call, how_far: str, claimed: Value) -> None:
        keep(call, str(self.how_far), how_far)
        keep(call, str(self.claimed), claimed)
