"""A card that is keyed in on a telephone: over the questions, each as soon as it is asked."""

from __future__ import annotations

from tenderline.flows import card_words
from tenderline.flows.spoken import Spoken, Words
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.trial_phone import TrialPhone

ASKED_S = 30.0


async def asked(phone: TrialPhone, prompts: Prompts, prompt: str) -> None:
    """Waits for a prompt of the card's room: for its first words."""
    words = card_words.TEXTS[prompt].words("en")[0]
    await phone.hear(await prompts.prepare(Spoken("en", (Words(words),))), within_s=ASKED_S)


async def key_card(
    phone: TrialPhone, prompts: Prompts, number: str, code: str = "123", *, code_twice: bool = True
) -> None:
    """From the number to the code, which is asked for once when an agent listens."""
    await asked(phone, prompts, "ask_number")
    await phone.press(f"{number}#")
    await key_rest(phone, prompts, code, code_twice=code_twice)


async def key_rest(
    phone: TrialPhone, prompts: Prompts, code: str = "123", expiry: str = "1230", *, code_twice: bool = True
) -> None:
    """Confirms the number, and keys what is asked for then."""
    for prompt, keys in (
        ("confirm_number", "1"),
        ("ask_expiry", expiry),
        ("confirm_expiry", "1"),
        ("ask_code", code),
        *([("ask_code_again", code)] if code_twice else []),
    ):
        await asked(phone, prompts, prompt)
        await phone.press(keys)
