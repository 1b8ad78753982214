"""Every code that Stripe or a card network may give has one reason of ours, and advice is heeded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.core.reasons import FailureClass, FailureReason
from tenderline.gateways.stripe_declines import NETWORK_CODES, NETWORK_CODES_BY_BRAND, STRIPE_CODES, Decline


def reason(**said: str | None) -> str | None:
    return Decline(**said).reason


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("insufficient_funds", "insufficient_funds"),
        ("card_velocity_exceeded withdrawal_count_limit_exceeded", "limit_exceeded"),
        ("expired_card invalid_expiry_month invalid_expiry_year", "card_expired"),
        ("lost_card stolen_card pickup_card", "lost_or_stolen"),
        ("invalid_account", "closed_account"),
        ("incorrect_number incorrect_cvc incorrect_zip", "invalid_card_data"),
        ("do_not_honor generic_decline call_issuer no_action_taken", "do_not_honor"),
        ("authentication_required authentication_not_handled", "authentication_required"),
        (
            "transaction_not_allowed card_not_supported restricted_card not_permitted currency_not_supported",
            "not_permitted",
        ),
        ("fraudulent security_violation merchant_blacklist", "fraud_suspected"),
        ("stop_payment_order revocation_of_authorization revocation_of_all_authorizations", "revoked_by_customer"),
        ("processing_error issuer_not_available reenter_transaction try_again_later", "processing_error"),
        ("duplicate_transaction", "duplicate"),
        ("do_not_try_again", "retry_blocked"),
        ("a_code_of_next_year", "unknown"),
    ],
)
def test_each_decline_code_of_stripe_has_its_reason(codes: str, expected: str) -> None:
    for code in codes.split():
        assert reason(decline_code=code, code="card_declined") == expected, code


@pytest.mark.parametrize(
    ("brand", "codes", "expected"),
    [
        ("visa", "51", "insufficient_funds"),
        ("visa", "61 65", "limit_exceeded"),
        ("mastercard", "61", "limit_exceeded"),
        ("visa", "54 33", "card_expired"),
        ("mastercard", "04 41 43", "lost_or_stolen"),
        ("visa", "14 15 46", "closed_account"),
        ("mastercard", "15 46", "closed_account"),
        ("mastercard", "14", "invalid_card_data"),
        ("visa", "N7 82 6P", "invalid_card_data"),
        ("discover", "05 01", "do_not_honor"),
        ("visa", "1A", "authentication_required"),
        ("visa", "12 57 62 93 5C", "not_permitted"),
        ("mastercard", "59 07 63 83", "fraud_suspected"),
        ("visa", "R0 R1 R3", "revoked_by_customer"),
        ("visa", "06 19 91 96", "processing_error"),
        ("visa", "94", "duplicate"),
        # What only Visa means by a code is not believed of another scheme.
        ("mastercard", "R0 1A N7 82 ZZ", "unknown"),
        ("amex", "116 100", "unknown"),
    ],
)
def test_each_network_code_has_its_reason_by_brand(brand: str, codes: str, expected: str) -> None:
    for code in codes.split():
        assert reason(network_decline_code=code, brand=brand) == expected, code


def test_the_network_is_believed_before_stripe_and_stripe_before_the_error_code() -> None:
    assert reason(network_decline_code="51", brand="visa", decline_code="lost_card") == "insufficient_funds"
    assert reason(decline_code="insufficient_funds", code="expired_card") == "insufficient_funds"
    assert reason(code="expired_card") == "card_expired"
    assert reason(code="card_declined") == "do_not_honor"


def test_a_generic_answer_yields_to_a_specific_one_behind_it() -> None:
    assert reason(network_decline_code="05", brand="visa", decline_code="insufficient_funds") == "insufficient_funds"
    assert reason(decline_code="generic_decline", code="expired_card") == "card_expired"
    assert reason(network_decline_code="05", brand="visa", decline_code="generic_decline") == "do_not_honor"


def test_a_code_that_a_scheme_uses_for_two_things_is_settled_by_stripe() -> None:
    said = {"network_decline_code": "65", "brand": "mastercard"}
    assert reason(**said, decline_code="authentication_required") == "authentication_required"
    assert reason(**said, decline_code="card_velocity_exceeded") == "limit_exceeded"
    assert reason(**said) == "unknown"


@pytest.mark.parametrize("advice", [{"advice_code": "do_not_try_again"}, {"network_advice_code": "03"}])
def test_advice_to_stop_blocks_a_retry_that_the_code_would_allow(advice: dict[str, str]) -> None:
    brand = {"brand": "mastercard"}
    for code in ("insufficient_funds", "do_not_honor", "processing_error", "never_heard_of", None):
        assert reason(**advice, **brand, decline_code=code) == "retry_blocked"


@pytest.mark.parametrize("code", ["stolen_card", "expired_card", "invalid_account", "fraudulent", "stop_payment_order"])
def test_advice_to_stop_does_not_hide_a_reason_that_already_forbids_or_asks_the_payer(code: str) -> None:
    assert reason(advice_code="do_not_try_again", decline_code=code) == STRIPE_CODES[code]
    assert STRIPE_CODES[code].failure_class is not FailureClass.SOFT


def test_mastercards_advice_21_is_a_revoked_authorisation_whatever_the_code_says() -> None:
    assert reason(network_advice_code="21", brand="mastercard", decline_code="do_not_honor") == "revoked_by_customer"
    assert reason(network_advice_code="21") == "revoked_by_customer"


def test_mastercards_advice_means_nothing_on_a_visa_card() -> None:
    for advice in ("03", "21", "01", "02"):
        assert reason(network_advice_code=advice, brand="visa", decline_code="insufficient_funds") == (
            "insufficient_funds"
        )


def test_advice_fills_in_where_the_codes_say_nothing_useful() -> None:
    assert reason(advice_code="confirm_card_data", decline_code="generic_decline") == "invalid_card_data"
    assert reason(advice_code="confirm_card_data", decline_code="expired_card") == "card_expired"
    assert reason(advice_code="try_again_later") == "processing_error"
    assert reason(advice_code="try_again_later", decline_code="insufficient_funds") == "insufficient_funds"
    assert reason(network_advice_code="25", brand="mastercard") == "processing_error"


def test_silence_is_no_reason_and_an_unmapped_code_is_kept_for_mapping() -> None:
    assert Decline().reason is None
    unmapped = Decline(decline_code="a_code_of_next_year", code="card_declined")
    assert (unmapped.reason, unmapped.raw_code) == (FailureReason.UNKNOWN, "a_code_of_next_year")


def test_every_table_holds_codes_as_they_are_looked_up() -> None:
    assert all(code == code.lower() for code in STRIPE_CODES)
    for table in (NETWORK_CODES, *NETWORK_CODES_BY_BRAND.values()):
        assert all(len(code) == 2 and code == code.upper() for code in table)


code_words = st.none() | st.sampled_from([*STRIPE_CODES, *NETWORK_CODES, "03", "21", "x", ""])


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[code_words] * 6))
def test_whatever_is_said_there_is_a_reason_or_silence(words: tuple[str | None, ...]) -> None:
    fields = ("advice_code", "network_advice_code", "network_decline_code", "brand", "decline_code", "code")
    decline = Decline(**dict(zip(fields, words, strict=True)))
    assert decline.reason is None or isinstance(decline.reason, FailureReason)
