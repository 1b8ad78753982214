"""Card numbers are found wherever they hide, and what only looks like one is left alone."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import phone
from tenderline.core.pan import MASK, holds_card_number, is_written_in, luhn_ok, mask_card_numbers

# Published test numbers, kept apart so that no run of digits in this file is one.
PARTS = [
    ("4242424242", "424242"), ("5555555555", "554444"), ("378282246", "310005"), ("22230031", "22003222"),
    ("60111111", "11111117"), ("3056930", "9025904"), ("35660020", "20360505"), ("62000000", "00000005"),
]  # fmt: skip
NUMBERS = [first + last for first, last in PARTS]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("shape", ["{}", '{{"number":{}}}', '{{"a":{{"b":["note: {} thanks"]}}}}', "card={}&x=1"])
def test_a_card_number_is_found_in_any_wrapping(number, shape):
    assert holds_card_number(shape.format(number).encode())


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_number_is_found_when_grouped_or_escaped(number):
    grouped = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    escaped = "".join(f"\\u00{ord(digit):02x}" for digit in number)
    assert holds_card_number(json.dumps({"text": grouped}).encode())
    assert holds_card_number(grouped.replace(" ", "-").encode())
    assert holds_card_number(f'{{"text":"{escaped}"}}'.encode())


@pytest.mark.parametrize("number", NUMBERS)
def test_an_identifier_that_contains_such_digits_is_not_one(number):
    assert not holds_card_number(f'{{"id":"pi_{number}"}}'.encode())
    assert not holds_card_number(f'{{"id":"{number}_secret"}}'.encode())


@pytest.mark.parametrize("text", ["1763691300000", "+12024561111", "2026-11-21 03:00:00", "9" * 16, "1234567890123456"])
def test_instants_telephone_numbers_and_other_digits_pass(text):
    assert not holds_card_number(text.encode())
    assert mask_card_numbers(text) == text


def test_a_telephone_number_is_none_even_when_its_digits_would_pass_for_a_card():
    """One German mobile number in ten has a Visa's prefix and a right checksum: its owner's STOP must be heard."""
    number = next(f"4915{rest:09d}" for rest in range(100_000_000, 100_000_100) if luhn_ok(f"4915{rest:09d}"))
    assert holds_card_number(number.encode())
    for text in (f"+{number}", f'{{"phone":"+{number}"}}', f"From=+{number}&Body=STOP", "+49 151 2345 67890"):
        assert not holds_card_number(text.encode())
        assert mask_card_numbers(text) == text
    assert holds_card_number(f"+{NUMBERS[0]}".encode()), "sixteen digits are no telephone number"


@given(st.from_regex(r"(3[0-9]|[2-6][0-9])[0-9]{12,17}", fullmatch=True))
def test_no_card_of_today_is_taken_for_a_telephone_number_without_its_plus(digits):
    assert not phone.is_whole(digits)


@pytest.mark.parametrize("text", ["49151" + "01234008", "+49 1510 " + "1234008", "49151-" + "01234008", "12025550100"])
def test_a_telephone_number_is_whole_without_its_plus_too(text):
    assert phone.is_whole(text)


@pytest.mark.parametrize("text", ["", "015101234008", "4111111" + "111111", "hello", "49 \ud800"])
def test_what_does_not_begin_with_its_country_code_is_no_whole_number(text):
    assert not phone.is_whole(text)


WIDE, ARABIC = ({ord("0") + value: zero + value for value in range(10)} for zero in (0xFF10, 0x0660))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("space", ["", " ", "  ", "\u00a0", "\u2009", "\n"])
@pytest.mark.parametrize("shape", ["{}", "{}1225", "{} 12/25", "{} 123", "{} 1225 123", "25 {}", "she said {}, 25.00"])
def test_whatever_digits_and_spaces_a_card_number_is_written_in_it_is_found(number, space, shape):
    text = shape.format(space.join(number[at : at + 4] for at in range(0, len(number), 4)))
    assert is_written_in(text)
    assert is_written_in(text.translate(WIDE))
    assert is_written_in(text.translate(ARABIC))


@given(st.uuids(version=4), st.integers(10**6, 10**13 - 1), st.decimals(0, 10**6, places=2))
def test_what_people_write_of_ids_numbers_and_amounts_passes(made, number, amount):
    assert not is_written_in(f"call +{number} about {amount}")
    assert not is_written_in(f"mail anna@example.org, order {number % 10**12}, on 2026-11-21 14:00, {amount} EUR")
    assert not is_written_in(str(UUID(int=made.int & ~(0xFFFF << 64) | (0xABCD << 64))))


@given(st.text(max_size=60))
def test_no_text_raises(text):
    assert is_written_in(text) in (True, False)


@given(st.text(max_size=30), st.sampled_from(NUMBERS), st.text(max_size=30))
def test_what_was_masked_holds_no_card_number_any_more(before, number, after):
    masked = mask_card_numbers(f"{before} {number} {after}")
    assert not holds_card_number(masked.encode("utf-8", "surrogatepass"))
    assert MASK in masked or not holds_card_number(f"{before} {number} {after}".encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=400))
def test_no_bytes_raise(body):
    assert holds_card_number(body) in (True, False)


def test_luhn_catches_every_single_wrong_digit():
    number = NUMBERS[0]
    assert luhn_ok(number)
    for at, digit in enumerate(number):
        for other in "0123456789":
            if other != digit:
                assert not luhn_ok(number[:at] + other + number[at + 1 :])
