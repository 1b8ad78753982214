"""The fold of payment facts: one state whatever the order and number of tellings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason
from tenderline.payments import session
from tenderline.payments.session import PaymentState, PaymentStatus, TransactionStatus, fold, merge

CLASS = {
    "created": 0,
    "action_required": 1,
    "processing": 1,
    "failed": 1,
    "stopped": 2,
    "succeeded": 3,
    "refunded": 4,
    "disputed": 4,
}

word = st.none() | st.sampled_from(["a", "b"])
payers = st.builds(Payer, name=word, phone=word)
facts = st.builds(
    PaymentFact,
    kind=st.sampled_from(FactKind),
    transaction_id=st.just("pi_1"),
    # Few instants and few events, so that ties are the rule.
    occurred_at_unix_s=st.integers(0, 3),
    event_id=st.sampled_from(["evt_1", "evt_2", "evt_3"]),
    amount_minor=st.none() | st.sampled_from([-5, 0, 100, 200]),
    currency=st.none() | st.sampled_from(["usd", "eur"]),
    reason=st.none()
    | st.sampled_from([FailureReason.UNKNOWN, FailureReason.CARD_EXPIRED, FailureReason.INSUFFICIENT_FUNDS]),
    raw_code=word,
    payer=payers,
    invoice_reference=word,
    subscription_reference=word,
    pay_url=word,
    gateway_retries=st.booleans(),
)


def fact(kind: str, at: int, event: str = "evt_1", **told: object) -> PaymentFact:
    return PaymentFact(kind=FactKind(kind), transaction_id="pi_1", occurred_at_unix_s=at, event_id=event, **told)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.lists(facts, max_size=6))
def test_any_order_and_multiplicity_of_facts_ends_in_the_same_state(
    data: st.DataObject, told: list[PaymentFact]
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    shuffled = data.draw(st.permutations(told + repeated))
    assert fold(shuffled) == fold(told)


@settings(max_examples=25, deadline=None)
@given(st.lists(facts, max_size=8), facts)
def test_the_status_only_climbs_between_classes_and_a_repeat_changes_nothing(
    told: list[PaymentFact], again: PaymentFact
) -> None:
    state = PaymentState()
    for one in told:
        following = merge(state, one)
        assert CLASS[following.status] >= CLASS[state.status]
        assert merge(following, one) is following
        state = following
    once = merge(state, again)
    assert merge(once, again) is once


@settings(max_examples=25, deadline=None)
@given(st.lists(facts, max_size=6), st.lists(facts, max_size=6))
def test_money_that_arrived_stays_arrived_whatever_else_is_told(
    before: list[PaymentFact], after: list[PaymentFact]
) -> None:
    state = fold([*before, fact("succeeded", 0), *after])
    assert state.status in ("succeeded", "refunded", "disputed")
    assert state.transaction_status == "COMPLETED"
    assert not session.is_worth_a_case(state)


@settings(max_examples=25, deadline=None)
@given(st.lists(facts, max_size=6), facts)
def test_a_state_survives_storage_and_goes_on_as_if_it_had_stayed_in_memory(
    told: list[PaymentFact], following: PaymentFact
) -> None:
    state = fold(told)
    stored = session.decode(session.encode(state))
    assert stored == state
    assert merge(stored, following) == merge(state, following)


@settings(max_examples=25, deadline=None)
@given(st.lists(facts, min_size=1, max_size=6))
def test_amount_and_currency_come_from_one_telling_when_one_told_both(told: list[PaymentFact]) -> None:
    whole = {(one.amount_minor, one.currency) for one in told if one.amount_minor is not None and one.currency}
    state = fold(told)
    if whole:
        assert (state.amount_minor, state.currency) in whole


@settings(max_examples=25, deadline=None)
@given(st.lists(facts, max_size=6))
def test_the_first_news_of_the_money_says_when_it_came(told: list[PaymentFact]) -> None:
    came = [one.occurred_at_unix_s for one in told if one.kind is FactKind.SUCCEEDED]
    assert fold(told).succeeded_at_unix_s == min(came, default=None)


def test_the_first_fact_needs_no_state() -> None:
    state = merge(None, fact("failed", 1))
    assert state.status is PaymentStatus.FAILED
    assert state == fold([fact("failed", 1)])


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["processing", "failed"], "failed"),
        (["failed", "action_required"], "action_required"),
        (["failed", "processing"], "processing"),
        (["failed", "stopped"], "stopped"),
        (["stopped", "failed"], "stopped"),
        (["stopped", "succeeded"], "succeeded"),
        (["succeeded", "stopped"], "succeeded"),
        (["succeeded", "failed"], "succeeded"),
        (["refunded", "succeeded"], "refunded"),
        (["disputed", "failed", "succeeded"], "disputed"),
        (["refunded", "disputed"], "disputed"),
    ],
)
def test_of_news_in_order_of_time_the_right_one_stands(kinds: list[str], expected: str) -> None:
    told = [fact(kind, at, f"evt_{at}") for at, kind in enumerate(kinds)]
    assert fold(told).status == expected
    assert fold(reversed(told)).status == expected


def test_in_the_same_second_failed_outranks_processing_and_processing_outranks_the_wait_for_the_payer() -> None:
    told = [fact("failed", 5, "evt_1"), fact("processing", 5, "evt_2"), fact("action_required", 5, "evt_3")]
    assert fold(told).status == "failed"
    assert fold(told[1:]).status == "processing"


def test_late_news_adds_what_was_missing_and_overrules_nothing() -> None:
    newest = fact("failed", 9, "evt_9", amount_minor=500, currency="usd", payer=Payer(name="Ann"))
    late = fact("failed", 3, "evt_3", amount_minor=400, currency="usd", payer=Payer(name="Bob", phone="+12025550123"))
    state = fold([newest, late])
    assert (state.amount_minor, state.currency) == (500, "usd")
    assert state.payer == Payer(name="Ann", phone="+12025550123")


def test_a_specific_reason_outlives_a_later_shrug_and_yields_to_a_later_specific_one() -> None:
    specific = fact("failed", 1, "evt_1", reason=FailureReason.INSUFFICIENT_FUNDS, raw_code="insufficient_funds")
    shrug = fact("failed", 2, "evt_2", reason=FailureReason.UNKNOWN, raw_code="novel")
    later = fact("failed", 3, "evt_3", reason=FailureReason.CARD_EXPIRED, raw_code="expired_card")
    assert (fold([shrug, specific]).reason, fold([shrug, specific]).raw_code) == (
        "insufficient_funds",
        "insufficient_funds",
    )
    assert fold([later, shrug, specific]).reason == "card_expired"


def test_an_invoice_event_without_a_reason_leaves_the_reason_of_its_charge() -> None:
    charge = fact("failed", 1, "evt_1", reason=FailureReason.CARD_EXPIRED, raw_code="expired_card")
    invoice = fact("failed", 2, "evt_2", invoice_reference="in_1", pay_url="https://pay.example/in_1")
    state = fold([invoice, charge])
    assert (state.reason, state.pay_url, state.invoice_reference) == (
        "card_expired",
        "https://pay.example/in_1",
        "in_1",
    )


def test_only_news_of_the_invoice_says_that_the_gateway_has_stopped_trying() -> None:
    retried = fact("failed", 1, "evt_1", invoice_reference="in_1", gateway_retries=True)
    charge = fact("failed", 2, "evt_2")
    last = fact("failed", 3, "evt_3", invoice_reference="in_1")
    assert fold([retried, charge]).gateway_retries
    assert not fold([last, charge, retried]).gateway_retries


def test_two_answers_about_retries_in_one_second_keep_our_hands_off_the_card() -> None:
    told = [
        fact("failed", 1, "evt_9", invoice_reference="in_1"),
        fact("failed", 1, "evt_1", invoice_reference="in_1", gateway_retries=True),
    ]
    assert fold(told).gateway_retries
    assert fold(reversed(told)).gateway_retries


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("created", "PENDING"),
        ("action_required", "PENDING"),
        ("processing", "PENDING"),
        ("failed", "FAILED"),
        ("stopped", "FAILED"),
        ("succeeded", "COMPLETED"),
        ("refunded", "COMPLETED"),
        ("disputed", "COMPLETED"),
    ],
)
def test_every_status_is_told_outside_in_one_of_three_words(status: str, expected: str) -> None:
    state = PaymentState(status=PaymentStatus(status))
    assert state.transaction_status is TransactionStatus(expected)


def test_only_a_failure_or_a_wait_for_the_payer_is_worth_a_case() -> None:
    worth = {status for status in PaymentStatus if session.is_worth_a_case(PaymentState(status=status))}
    assert worth == {PaymentStatus.FAILED, PaymentStatus.ACTION_REQUIRED}


def test_the_end_of_a_subscription_stops_one_of_its_payments_and_says_nothing_else_about_it() -> None:
    failed = fact("failed", 1, "evt_1", amount_minor=500, currency="usd", subscription_reference="sub_1")
    ended = PaymentFact(
        kind=FactKind.STOPPED,
        transaction_id=None,
        occurred_at_unix_s=2,
        event_id="evt_2",
        subscription_reference="sub_1",
        payer=Payer(reference="cus_1"),
    )
    stop = session.stop_of(ended, "pi_1")
    assert (stop.transaction_id, stop.kind) == ("pi_1", FactKind.STOPPED)
    assert fold([failed, stop]) == fold([stop, failed])
    assert fold([failed, stop]).status == "stopped"
    assert fold([failed, stop]).amount_minor == 500
