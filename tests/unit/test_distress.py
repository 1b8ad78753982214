"""Words of distress: whatever is done to their form, they are found; and the list stands by its sources."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.compliance.distress import GAP, InvalidPhraseError, Phrases, UnknownPhraseError, check, normal, shipped

SHIPPED = Phrases()
ALL = sorted({phrase for group in shipped() for phrase in group.phrases})
any_phrase = st.sampled_from(ALL).map(lambda phrase: phrase.replace(GAP, "the old"))
marks = st.sampled_from([" ", "  ", ", ", "... ", " - ", "! ", "\n", "\u200b ", "? "])


@given(any_phrase, st.text(max_size=40), st.text(max_size=40))
def test_no_words_around_a_phrase_take_it_away(phrase, before, after):
    assert SHIPPED.find(f"{before} {phrase} {after}") is not None


@given(any_phrase, st.lists(marks, min_size=12, max_size=12))
def test_neither_case_nor_marks_between_words_hide_a_phrase(phrase, between):
    words = phrase.upper().split()
    assert SHIPPED.find("".join(word + between[place] for place, word in enumerate(words))) is not None


@given(any_phrase, st.data())
def test_accents_and_letters_that_are_drawn_out_hide_nothing(phrase, data):
    place = data.draw(st.sampled_from([at for at, letter in enumerate(phrase) if letter.isalpha()]))
    drawn_out = phrase[:place] + phrase[place] * data.draw(st.integers(2, 6)) + phrase[place + 1 :]
    accented = unicodedata.normalize("NFC", phrase[: place + 1] + "\u0301" + phrase[place + 1 :])
    assert SHIPPED.find(drawn_out) is not None
    assert SHIPPED.find(accented) is not None


@given(any_phrase, st.sampled_from(["I am not going to", "nobody", "never", "no", "I would never", "don't worry,"]))
def test_a_negation_takes_no_hit_away(phrase, negation):
    assert SHIPPED.find(f"{negation} {phrase}") is not None


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading_and_reading_is_stable(text):
    assert SHIPPED.find(text) == SHIPPED.find(text)
    assert normal(normal(text)) == normal(text)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("I'm not going to hurt myself", "life"),
        ("I just can't go on any more", "life"),
        ("he says I have no choice, and that it's f0rced", "harm"),
        ("this is a SCAAAAM", "fraud"),
        ("Ce n'est pas ma carte… On m'oblige !", "harm"),
        ("me están obligando a pagar", "harm"),
        ("quiero hacerme daño", "life"),
        ("there was an error, and I want to die", "life"),
        ("jump off the old bridge", "life"),
        ("she wants to die", "life"),
        ("caller says he will kill himself", "life"),
        ("says her nephew threatens her and makes her pay", "harm"),
        ("against her will", "harm"),
        ("dice que la están obligando a pagar", "harm"),
        ("la señora dice que quiere morirse", "life"),
        ("son fils la frappe et l'oblige à payer", "harm"),
        ("elle dit qu'elle ne veut plus vivre", "life"),
    ],
)
def test_what_people_say_is_found_and_the_gravest_counts(said, kind):
    found = SHIPPED.find(said)
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    "said",
    ["", "I would like to give twenty five dollars", "Thank you, have a nice day", "quisiera donar cincuenta dólares",
     "je voudrais donner vingt euros", "la force de notre association", "el donante pregunta por su recibo",
     "it is for the animal rescue fund", "my email is anna@example.org"],
)  # fmt: skip
def test_an_ordinary_gift_is_none(said):
    assert SHIPPED.find(said) is None


def test_operators_add_phrases_and_every_shipped_one_finds_itself():
    own = Phrases(["purple elephant"])
    found = own.find("Please: PURPLE, elephant!")
    assert found is not None
    assert (found.phrase, found.kind) == ("purple elephant", "own")
    for phrase in ALL:
        check(phrase)
        assert SHIPPED.find(phrase.replace(GAP, " ")) is not None, phrase


def test_a_shipped_phrase_is_switched_off_alone_and_in_every_language():
    quiet = Phrases(off=["Error"])
    for said in ("is there an error?", "hay un error"):
        assert SHIPPED.find(said).kind == "fraud"
        assert quiet.find(said) is None
    assert quiet.find("an error, or a scam?").phrase == "scam"
    for phrase in ALL:
        if normal(phrase) != "eror":
            assert quiet.find(phrase.replace(GAP, " ")) is not None, phrase


@pytest.mark.parametrize("phrase", ["eror message", "scams and frauds"])
def test_what_is_switched_off_and_never_was_on_is_told(phrase):
    with pytest.raises(UnknownPhraseError, match=phrase):
        Phrases(off=[phrase])


@pytest.mark.parametrize("phrase", ["", "…", "a", "!!", "x" * 81, " ".join(["ab"] * 11)])
def test_a_phrase_that_would_match_nothing_or_everything_is_refused(phrase):
    with pytest.raises(InvalidPhraseError):
        check(phrase)


def test_every_group_of_three_languages_says_why_and_where_from():
    assert {group.language for group in shipped()} == {"en", "es", "fr"}
    for group in shipped():
        assert group.reason
        assert group.source
    assert {"fraud", "scam", "forced", "error"} <= set(ALL)
