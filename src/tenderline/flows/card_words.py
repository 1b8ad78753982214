"""What is said while a card is keyed in: one sentence for each prompt of the capture, in each language.

The names are those of `cardholder.messages.Prompt`; a test holds that every one has its sentence. An operator's own
recording replaces a sentence like every other clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tenderline.flows.call import Value
from tenderline.flows.phrase import Text
from tenderline.flows.spoken import Spoken

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "ask_number": (
        "Please key in your card number, and then the pound key. The star key begins again.",
        "Marque el número de su tarjeta y después la tecla numeral. Con asterisco se empieza de nuevo.",
    ),
    "ask_expiry": (
        "Please key in the expiration date: two digits for the month, and two for the year.",
        "Marque la fecha de vencimiento: dos cifras para el mes y dos para el año.",
    ),
    "ask_expiry_or_none": (
        "Please key in the expiration date: two digits for the month, and two for the year. If there is none, press"
        " pound.",
        "Marque la fecha de vencimiento: dos cifras para el mes y dos para el año. Si no la tiene, marque numeral.",
    ),
    "ask_code": (
        "Please key in the security code. It has {digits:number} digits.",
        "Marque el código de seguridad. Tiene {digits:number} cifras.",
    ),
    "ask_code_or_none": (
        "Please key in the security code of {digits:number} digits. If there is none, press pound.",
        "Marque el código de seguridad de {digits:number} cifras. Si no lo tiene, marque numeral.",
    ),
    "ask_code_again": (
        "Please key in the security code once more.",
        "Marque otra vez el código de seguridad.",
    ),
    "ask_postal_code": (
        "Please key in the five digits of your postal code.",
        "Marque las cinco cifras de su código postal.",
    ),
    "confirm_number": (
        "Your card is a {brand} that ends in {last_four:digits}. Press 1 if that is right, or 2 to key it in again.",
        "Su tarjeta es una {brand} que termina en {last_four:digits}. Marque 1 si es correcto, o 2 para repetirlo.",
    ),
    "confirm_expiry": (
        "The expiration date is {expiry:digits}. Press 1 if that is right, or 2 to key it in again.",
        "La fecha de vencimiento es {expiry:digits}. Marque 1 si es correcto, o 2 para repetirla.",
    ),
    "number_wrong": (
        "That is not a card number.",
        "Ese no es un número de tarjeta.",
    ),
    "number_unusual": (
        "That number is unusual. Please listen well.",
        "Ese número es poco común. Escuche con atención.",
    ),
    "brand_not_allowed": (
        "We cannot take that kind of card.",
        "No podemos aceptar ese tipo de tarjeta.",
    ),
    "expiry_wrong": (
        "That is not a date of expiration.",
        "Esa no es una fecha de vencimiento.",
    ),
    "expired": (
        "That card has expired.",
        "Esa tarjeta ha vencido.",
    ),
    "code_wrong": (
        "That is not a security code of this card.",
        "Ese no es un código de seguridad de esta tarjeta.",
    ),
    "codes_differ": (
        "The two codes are not the same.",
        "Los dos códigos no son iguales.",
    ),
    "postal_code_wrong": (
        "That is not a postal code.",
        "Ese no es un código postal.",
    ),
    "answer_wrong": (
        "Please press 1 or 2.",
        "Marque 1 o 2.",
    ),
    "cleared": (
        "Let us begin again.",
        "Empecemos de nuevo.",
    ),
    "nothing_keyed": (
        "We did not hear any key.",
        "No hemos oído ninguna tecla.",
    ),
    "one_moment": (
        "One moment, please.",
        "Un momento, por favor.",
    ),
    "card_not_taken": (
        "That card was not taken.",
        "Esa tarjeta no fue aceptada.",
    ),
}

TEXTS: Final[Mapping[str, Text]] = {name: Text({"en": en, "es": es}) for name, (en, es) in _WORDS.items()}


def spoken(prompt: str, language: str, values: Mapping[str, Value]) -> Spoken:
    """A prompt with its values: `brand`, `last_four`, `expiry` (MMYY) and `digits`, as far as it has them."""
    return TEXTS[prompt].spoken(language, values)


def words(language: str) -> tuple[str, ...]:
    """Every sentence, for whoever makes clips beforehand."""
    return tuple(one for text in TEXTS.values() for one in text.words(text.language_for(language)))
