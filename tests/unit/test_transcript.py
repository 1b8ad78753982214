"""No part of a card number stays in what is kept of a call, however a recogniser writes it and wherever it cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.people.transcript import MASKED, without_digits

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def kept(*texts):
    return without_digits(list(texts))


@pytest.mark.parametrize(
    "said",
    [
        "4242",
        "424",
        "4 2 4 2 4 2 4",
        "forty two forty two",
        "forty-two, forty-two",
        "4 two 4 two",
        "four two uh four two",
        "double four double two",
        "sixteen eleven nineteen",
        "cuarenta y dos cuarenta y dos",
        "dieciséis veintidós doce",
        "quatre-vingt-dix quarante-deux",
        "quatre deux quatre deux",
        "42/42-42",
    ],
)
def test_three_digits_or_number_words_in_a_row_are_gone(said):
    assert kept(f"my card is {said} and thanks") == [f"my card is {MASKED} and thanks"]
    assert kept(said) == [MASKED]


@given(st.text("0123456789", min_size=13, max_size=19), st.data())
def test_no_card_survives_however_it_is_cut_and_spelled(card, data):
    pieces = []
    rest = card
    while rest:
        size = data.draw(st.integers(1, 6))
        piece, rest = rest[:size], rest[size:]
        pieces.append(data.draw(st.sampled_from([piece, " ".join(piece), " ".join(WORDS[int(one)] for one in piece)])))
    # Within one post they are read as one; posted one by one, each is nothing but numbers.
    for told in (kept(*pieces), [kept(one)[0] for one in pieces], kept("my card is " + pieces[0], *pieces[1:])):
        assert len(told) == len(pieces)
        left = " ".join(told).replace("my card is", "").replace(MASKED, "").split()
        assert sum(len(one) if one.isdigit() else one in WORDS for one in left) <= 2, told


@given(st.lists(st.sampled_from(TENS + WORDS), min_size=3, max_size=12))
def test_pairs_of_words_are_gone_too(words):
    assert kept(" ".join(words)) == [MASKED]


def test_what_is_no_number_stays_and_so_does_every_line():
    said = ["I am forty two and I want to die", "thank you", "", "no one told me"]
    assert kept(*said) == said


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_every_utterance_keeps_its_place(texts):
    assert len(kept(*texts)) == len(texts)
