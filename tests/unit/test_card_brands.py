"""Brands are found as digits arrive; the table is held against one that was written out a second time, by hand."""

import pytest

from support.card_calls import CARDS, UNIONPAY, digits
from tenderline.cardholder.brands import KEYS, TABLE, brand_of, luhn_verdict
from tenderline.cardholder.digits import luhn_ok

# One row: the first digits of a number, its brand. Both ends of each range, and a step beyond them.
BY_HAND = """
4 visa | 40 visa | 49 visa
50 maestro | 51 mastercard | 53 mastercard | 55 mastercard | 56 maestro | 57 maestro | 58 maestro | 59 -
222 - | 2220 - | 2221 mastercard | 2299 mastercard | 2300 mastercard | 2699 mastercard | 2720 mastercard | 2721 -
34 amex | 37 amex | 33 - | 35 - | 36 diners | 32 - | 31 -
6011 discover | 6012 rupay | 6010 rupay | 643 maestro | 644 discover | 649 discover | 65 discover | 66 maestro
622125 unionpay | 622126 discover | 622500 discover | 622925 discover | 622926 unionpay
299 - | 300 diners | 305 diners | 306 - | 309 - | 3094 - | 3095 diners | 3096 - | 38 diners | 39 diners
3527 - | 3528 jcb | 3589 jcb | 3590 - | 1800 jcb | 1801 - | 2131 jcb | 2132 - | 3530 jcb | 3560 jcb
62 unionpay | 81 unionpay | 80 - | 82 rupay | 83 - | 353 rupay | 356 rupay | 354 - | 508 rupay
5018 maestro | 5020 maestro | 5038 maestro | 5893 maestro | 63 maestro | 67 maestro | 6304 maestro | 6759 maestro
6760 maestro | 6769 maestro | 6 maestro | 500 maestro | 600 rupay | 61 maestro | 68 maestro | 69 maestro | 64 maestro
2199 - | 2200 mir | 2204 mir | 2205 - | 60 rupay
401177 visa | 401178 elo | 401179 elo | 401180 visa | 431274 elo | 431275 visa | 438935 elo | 438934 visa
451416 elo | 451417 visa | 457393 elo | 457392 visa | 457630 visa | 457631 elo | 457632 elo | 457633 visa
504174 maestro | 504175 elo | 504176 maestro | 506698 maestro | 506699 elo | 506778 elo | 506779 maestro
508999 rupay | 509000 elo | 509999 elo | 627779 unionpay | 627780 elo | 627781 unionpay
636296 maestro | 636297 elo | 636298 maestro | 636367 maestro | 636368 elo | 636369 maestro
650030 discover | 650031 elo | 650033 elo | 650034 discover | 650035 elo | 650051 elo | 650052 discover
650404 discover | 650405 elo | 650439 elo | 650440 discover | 650484 discover | 650485 elo | 650538 elo
650539 discover | 650540 discover | 650541 elo | 650598 elo | 650599 discover | 650699 discover | 650700 elo
650718 elo | 650719 discover | 650720 elo | 650727 elo | 650728 discover | 650900 discover | 650901 elo
650978 elo | 650979 discover | 651651 discover | 651652 elo | 651679 elo | 651680 discover | 654999 discover
655000 elo | 655019 elo | 655020 discover | 655021 elo | 655058 elo | 655059 discover
637094 maestro | 637095 hiper | 637096 maestro | 637567 maestro | 637568 hiper | 637569 maestro | 637598 maestro
637599 hiper | 637600 maestro | 637608 maestro | 637609 hiper | 637610 maestro | 637611 maestro | 637612 hiper
637613 maestro | 63737422 maestro | 63737423 hiper | 63737424 maestro | 63743357 maestro | 63743358 hiper
63743359 maestro | 606281 rupay | 606282 hipercard | 606283 rupay
506098 maestro | 506099 verve | 506127 verve | 506128 maestro | 506129 verve | 506130 maestro | 506132 maestro
506133 verve | 506150 verve | 506151 maestro | 506157 maestro | 506158 verve | 506163 verve | 506164 maestro
506165 maestro | 506166 verve | 506167 maestro | 506168 verve | 506169 maestro | 506170 verve | 506171 maestro
506172 maestro | 506173 verve | 506174 maestro | 506175 maestro | 506176 verve | 506180 verve | 506181 maestro
506183 maestro | 506184 verve | 506185 maestro | 506186 maestro | 506187 verve | 506188 verve | 506189 maestro
506190 maestro | 506191 verve | 506192 maestro | 506194 maestro | 506195 verve | 506196 maestro | 506197 verve
506198 maestro | 507864 maestro | 507865 verve | 507866 verve | 507867 maestro | 507868 verve | 507877 verve
507878 maestro | 507879 maestro | 507880 verve | 507888 verve | 507889 maestro | 507899 maestro | 507900 verve
507901 maestro | 507940 maestro | 507941 verve | 507942 maestro
0 - | 1 - | 2 - | 3 - | 7 - | 8 - | 9 - | 5 -
"""
ROWS = [tuple(cell.split()) for line in BY_HAND.strip().splitlines() for cell in line.split("|")]
# First digits, lengths, usual length, code's length, needed, expiry needed, checksum.
RULES = [
    ("4", {13, 16, 19}, 16, 3, True, True, "yes"),
    ("51", {16}, 16, 3, True, True, "yes"),
    ("2221", {16}, 16, 3, True, True, "yes"),
    ("34", {15}, 15, 4, True, True, "yes"),
    ("6011", {16, 17, 18, 19}, 16, 3, True, True, "yes"),
    ("622126", {16, 17, 18, 19}, 16, 3, True, True, "warn"),
    ("36", {14, 15, 16, 17, 18, 19}, 14, 3, True, True, "yes"),
    ("300", {14, 16, 17, 18, 19}, 14, 3, True, True, "yes"),
    ("3095", {14, 16, 17, 18, 19}, 14, 3, True, True, "yes"),
    ("38", {14, 16, 17, 18, 19}, 14, 3, True, True, "yes"),
    ("3528", {16, 17, 18, 19}, 16, 3, True, True, "yes"),
    ("1800", {15}, 15, 3, True, True, "yes"),
    ("2131", {15}, 15, 3, True, True, "yes"),
    ("62", {14, 15, 16, 17, 18, 19}, 16, 3, False, True, "warn"),
    ("5018", {12, 13, 14, 15, 16, 17, 18, 19}, 16, 3, False, False, "yes"),
    ("6", {12, 13, 14, 15, 16, 17, 18, 19}, 16, 3, False, False, "yes"),
    ("2200", {16, 17, 18, 19}, 16, 3, True, True, "yes"),
    ("82", {16}, 16, 3, True, True, "yes"),
    ("401178", {16}, 16, 3, True, True, "yes"),
    ("637095", {16}, 16, 3, True, True, "yes"),
    ("606282", {16}, 16, 3, True, True, "yes"),
    ("506099", {16, 17, 18, 19}, 16, 3, True, True, "yes"),
]


@pytest.mark.parametrize(("first", "key"), ROWS)
def test_the_longest_known_prefix_names_the_brand(first, key):
    brand = brand_of(digits(first))
    assert (brand.key if brand else "-") == key


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0])
def test_what_cards_of_a_brand_look_like(row):
    first, lengths, usual, code_length, code_needed, expiry_needed, luhn = row
    brand = brand_of(digits(first))
    assert brand is not None
    assert set(brand.lengths) == lengths
    assert len(brand.lengths) == len(lengths)
    assert (brand.usual_length, brand.code_length) == (usual, code_length)
    assert (brand.code_needed, brand.expiry_needed, brand.luhn) == (code_needed, expiry_needed, luhn)


def test_every_row_of_the_table_is_in_these_rules():
    rows = [brand_of(digits(first)) for first, *_ in RULES]
    assert {id(row) for row in rows} == {id(row) for row in TABLE}
    assert {"visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro", "mir", "rupay",
                    "elo", "hiper", "hipercard", "verve"} == KEYS  # fmt: skip


def test_both_ends_of_every_range_are_in_the_table_written_by_hand():
    ends = {str(end) for row in TABLE for bounds in row.prefixes for end in bounds}
    assert not ends - {first for first, _ in ROWS}


def test_maestros_own_prefixes_are_those_that_no_catch_all_has_to_find():
    own = next(row for row in TABLE if row.key == "maestro" and not row.catch_all)
    assert [(first, last) for first, last in own.prefixes if first != last] == [(56, 58), (6760, 6769)]
    assert {first for first, last in own.prefixes if first == last} == {5018, 5020, 5038, 5893, 63, 67, 6304, 6759}


def test_ranges_are_pairs_of_the_same_length_in_order():
    for row in TABLE:
        for first, last in row.prefixes:
            assert first <= last
            assert len(str(first)) == len(str(last)) <= 8


@pytest.mark.parametrize(("key", "number"), CARDS)
def test_every_published_test_number_has_its_brand_length_and_checksum(key, number):
    whole = digits(number)
    brand = brand_of(whole)
    assert brand is not None
    assert brand.key == key
    assert len(number) in brand.lengths
    assert luhn_ok(whole)
    assert luhn_verdict(brand, whole) == "right"


def test_a_number_that_two_brands_claim_is_of_the_one_that_the_merchant_takes():
    for first, allowed, key in [
        ("651234", ("rupay",), "rupay"),
        ("622500", ("visa", "unionpay"), "unionpay"),
        ("401178", ("visa",), "visa"),
        ("351234", ("visa",), None),
        ("353012", ("rupay", "jcb"), "jcb"),
    ]:
        brand = brand_of(digits(first), allowed)
        assert (brand.key if brand else None) == key


def test_a_catch_all_never_takes_a_number_from_a_brand_that_the_merchant_refuses():
    brand = brand_of(digits("601111"), ("maestro",))
    assert brand is not None
    assert brand.key == "discover"


def test_a_wrong_checksum_is_doubtful_only_where_none_is_promised():
    wrong = digits(UNIONPAY[:-1] + "6")
    unionpay, visa = brand_of(wrong), brand_of(digits("4"))
    assert unionpay is not None
    assert visa is not None
    assert luhn_verdict(unionpay, wrong) == "doubtful"
    assert luhn_verdict(visa, wrong) == "wrong"
