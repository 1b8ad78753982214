"""Rules in words: weeks, what is counted, and what a rule binds."""

from __future__ import annotations

import pytest

from tenderline.compliance import ruleset
from tenderline.compliance.rule import RuleKind
from tenderline.core.errors import InvalidInputError
from tenderline.desk import rule_book, rule_words

RULES = ruleset.shipped()
H = 3600


def test_every_kind_of_rule_has_a_name_and_every_row_its_words():
    assert set(rule_words.KINDS) == set(RuleKind)
    for rule in RULES.rules:
        assert rule_words.binds(rule)
        if rule.kind in (RuleKind.HOURS, RuleKind.CAP, RuleKind.CONSENT, RuleKind.DNC, RuleKind.QUIET_AFTER):
            assert rule_words.detail(rule), rule.id


def test_a_week_is_told_in_runs_of_days():
    island = RULES.find("US-RI-HOURS")
    assert island is not None
    assert rule_words.week_in_words(rule_words.week_of(island)) == (
        "Mon-Fri 09:00 to 18:00, Sat 10:00 to 17:00, Sun closed"
    )
    assert rule_words.week_in_words(rule_words.ALWAYS) == "Mon-Sun all day"


def test_weeks_meet_in_the_hours_they_share():
    one = (((9 * H, 13 * H), (14 * H, 20 * H)),) * 7
    other = (((8 * H, 15 * H),),) * 5 + ((), ())
    met = rule_words.shared([one, other])
    assert met[0] == ((9 * H, 13 * H), (14 * H, 15 * H))
    assert met[6] == ()
    assert rule_words.shared([]) == rule_words.ALWAYS


def test_the_book_of_a_place_holds_its_own_rules_those_above_it_and_those_of_everywhere():
    book = rule_book.read_shipped(RULES, rule_book.filter_of(region="us-fl", purpose="telemarketing", channel="sms"))
    places = {rule.jurisdiction for rule in book.rules}
    assert places == {None, "US", "US-FL"}
    assert rule_words.week_in_words(book.week) == "Mon-Sun 08:00 to 20:00"


def test_a_rule_by_the_clock_of_a_place_is_named_beside_the_week():
    book = rule_book.read_shipped(RULES, rule_book.filter_of(region="US-TX", purpose="telemarketing", channel="sms"))
    assert any("America/Chicago" in one for one in book.elsewhere)


@pytest.mark.parametrize("wrong", [{"region": "US-XX"}, {"channel": "fax"}, {"purpose": "fun"}, {"kind": "hour"}])
def test_a_word_that_is_not_known_is_named(wrong):
    (word,) = wrong.values()
    with pytest.raises(InvalidInputError, match=word):
        rule_book.filter_of(**wrong)


def test_a_change_is_shown_line_by_line():
    assert rule_book.differences("a\nb\n", "a\nc\n") == ((" ", "a"), ("-", "b"), ("+", "c"))
