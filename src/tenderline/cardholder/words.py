"""What is said when a step is asked for."""

from __future__ import annotations

from tenderline.cardholder import entry
from tenderline.cardholder.brands import luhn_verdict
from tenderline.cardholder.card import Card
from tenderline.cardholder.entry import Step
from tenderline.cardholder.expiry import EXPIRY_DIGITS
from tenderline.cardholder.messages import Action, Policy, Prompt, Say, SpeakDigits


def words(step: Step, card: Card, policy: Policy) -> list[Action]:
    """The question of a step; at a read-back with what was understood. Of a code only its length is ever said."""
    code_length = entry.longest("code", card.brand)
    match step:
        case Step.CONFIRM_NUMBER:
            return _read_back(card, policy)
        case Step.EXPIRY:
            none = entry.optional("expiry", card.brand)
            return [Say(prompt=Prompt.ASK_EXPIRY_OR_NONE if none else Prompt.ASK_EXPIRY, digits=EXPIRY_DIGITS)]
        case Step.CONFIRM_EXPIRY if card.good_until is not None:
            return [Say(prompt=Prompt.CONFIRM_EXPIRY, month=card.good_until.month, year=card.good_until.year)]
        case Step.CODE:
            none = entry.optional("code", card.brand)
            return [Say(prompt=Prompt.ASK_CODE_OR_NONE if none else Prompt.ASK_CODE, digits=code_length)]
        case Step.CODE_AGAIN:
            return [Say(prompt=Prompt.ASK_CODE_AGAIN, digits=code_length)]
        case Step.POSTAL_CODE:
            return [Say(prompt=Prompt.ASK_POSTAL_CODE, digits=entry.POSTAL_DIGITS)]
        case _:
            return [Say(prompt=Prompt.ASK_NUMBER)]


def _read_back(card: Card, policy: Policy) -> list[Action]:
    """The checksum misses a tenth of all doubled or dropped digits: the payer's ear is the second check."""
    said: list[Action] = []
    if card.brand is not None and luhn_verdict(card.brand, card.number) == "doubtful":
        said.append(Say(prompt=Prompt.NUMBER_UNUSUAL))
    if policy.read_back == "full":
        said.append(SpeakDigits("number"))
    brand = card.brand.key if card.brand else None
    return [*said, Say(prompt=Prompt.CONFIRM_NUMBER, brand=brand, last_four=card.last_four)]
