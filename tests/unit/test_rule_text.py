"""Rules written back as TOML are the same rules, and the whole book is looked over with file and line."""

from __future__ import annotations

import pytest

from tenderline.compliance import rule_check, rule_file, rule_text, ruleset

ROW = """
[[rule]]
id = "X-HOURS"
kind = "hours"
why = "closed \\"here\\""
source = "a test, line\\nbroken"
confidence = "low"
effective_from = 2025-01-01
hours = [{ days = "mon-fri", opens = 08:00:00, closes = 20:00:00 }]
"""


def test_every_shipped_row_survives_being_written_as_toml_and_read_again():
    rules = ruleset.shipped("safe_everywhere").rules
    again = rule_file.read("again.toml", rule_text.as_toml(rule.row for rule in rules))
    assert [rule.row for rule in again] == [rule.row for rule in rules]


def test_text_with_quotes_and_line_breaks_survives_too():
    (rule,) = rule_file.read("x.toml", ROW)
    (again,) = rule_file.read("again.toml", rule_text.as_toml([rule.row]))
    assert again.row == rule.row


def test_the_shipped_rows_and_every_preset_are_right():
    assert list(rule_check.check_shipped()) == []
    assert rule_check.count(rule_check.shipped_texts()) > 100
    assert rule_check.count(rule_check.preset_texts()) > 5


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (ROW.replace("X-HOURS", "x"), "f.toml:2", "id"),
        (ROW.replace("low", "no idea"), "f.toml:2", "confidence"),
        (ROW + ROW.replace("confidence", "confidense").replace("X-", "Y-"), "f.toml:11", "confidense"),
        (ROW + ROW, "f.toml:11", "in force together"),
        (ROW.replace("20:00:00", "08:00:00"), "f.toml:2", "can never open"),
        (ROW.replace("kind", "kind kind"), "f.toml:4", "not valid TOML"),
        ("rules = 1", "f.toml", "unknown table"),
    ],
)
def test_each_mistake_in_a_file_is_named_with_its_line(text, place, said):
    (found,) = rule_check.check_file("f.toml", text)
    assert found.place == place
    assert said in found.said
