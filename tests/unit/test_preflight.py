"""A rehearsal: who is read from the file, and that what is played is lawful and the same however it is computed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tenderline.cli import app
from tenderline.compliance import ruleset
from tenderline.compliance.facts import Purpose
from tenderline.core.places import Address
from tenderline.recovery import policy
from tenderline.recovery.preflight import audience, drawing, run
from tenderline.recovery.preflight.audience import Contact, UnknownColumnsError, UnreadableLineError

START = datetime(2026, 10, 20, 15, tzinfo=UTC)
REHEARSAL = run.Rehearsal(
    policy=policy.default(), rules=ruleset.shipped(), purpose=Purpose.FIRST_PARTY_RECOVERY, start=START, days=30,
    default_zone=None, default_region="US",
)  # fmt: skip


def read(text):
    rows = audience.rows_of(text.splitlines(keepends=True))
    columns = audience.columns_of(next(rows))
    return list(audience.read(rows, columns, first_line=2, default_region="US"))


def person(**told):
    known = {"line": 2, "phone": None, "email": None, "address": None, "zone": None, "consents": (), "opted_out": False}
    return Contact(**{**known, "last_contact_at": None, "failed_at": None, **told})


def test_columns_are_found_by_what_people_call_them_whatever_parts_them():
    (one,) = read("\ufeffMobile;E-Mail;State;ZIP;Country;Consent;Opted out;Failed at\n"
                  "(202) 456-1111;Ann@Example.org;FL;33101;us;PEC PEWC;no;2026-11-01T10:00-05:00\n")  # fmt: skip
    assert (one.phone, one.email) == ("+12024561111", "ann@example.org")
    assert one.address == Address("US", "FL", "33101")
    assert one.consents == ("PEC", "PEWC")
    assert one.failed_at == datetime(2026, 11, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("phone,colour", "'colour'"),
        ("zone,country", "phone or email"),
        ("phone,mobile", "Two columns"),
        ("", "phone or email"),
    ],
)
def test_a_first_line_that_names_no_columns_is_refused_with_what_is_wrong(head, said):
    with pytest.raises(UnknownColumnsError, match=said):
        read(head + "\n1,2\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("123,,,,", "line 2: The telephone number"),
        (",nobody,,,", "line 2: The e-mail address"),
        (",,,,", None),
        (",,America/Nowhere,,", "line 2: 'America/Nowhere' is no time zone"),
        (",a@b.example,,verbal,", "line 2: 'verbal' is no consent"),
        (",a@b.example,,,perhaps", "line 2: opted_out is 'perhaps'"),
        (",,,PEC,", "line 2: it has neither"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_reason(line, said):
    found = read("phone,email,zone,consent,opted_out\n" + line + "\n")
    if said is None:
        assert found == []
    else:
        (wrong,) = found
        assert isinstance(wrong, UnreadableLineError)
        assert said in wrong.detail


def test_somebody_who_opted_out_or_agreed_to_no_text_is_refused_by_name():
    outcome = run.play(REHEARSAL, [person(phone="+12024561111", consents=("PEC",), opted_out=True)])
    assert (outcome.sent, set(outcome.refused_by)) == (0, {"OWN-OPT-OUT"})
    outcome = run.play(REHEARSAL, [person(phone="+12024561111")])
    assert outcome.refused_by["US-SMS-PEC"] == 4


def test_what_would_leave_after_the_last_day_is_counted_apart():
    late = person(phone="+12024561111", consents=("PEC",), failed_at=START + timedelta(days=29))
    outcome = run.play(REHEARSAL, [late])
    assert (outcome.sent, outcome.later) == (1, 3)


people = st.builds(
    lambda phone, email, consent, opted_out, ago_h, failed_h, zip_code: person(
        phone=phone, email=email, consents=consent, opted_out=opted_out,
        last_contact_at=None if ago_h is None else START - timedelta(hours=ago_h),
        failed_at=START + timedelta(hours=failed_h), address=Address("US", None, zip_code) if zip_code else None,
    ),
    st.sampled_from(["+12125550123", "+16175550123", "+18085550123", "+18505550123", "+442079460991", "+18005550123"]),
    st.none() | st.just("a@b.example"), st.sampled_from([(), ("PEC",), ("PEWC",)]), st.booleans(),
    st.none() | st.integers(0, 200), st.integers(0, 400), st.none() | st.sampled_from(["33101", "97201", "79901"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(people, min_size=1, max_size=6))
def test_what_is_remembered_changes_nothing_and_what_is_played_is_lawful(audience_of):
    together = run.play(REHEARSAL, audience_of)
    apart = run.Outcome()
    for one in audience_of:
        apart.add(run.play(REHEARSAL, [one]))
        place, played = run.steps_of(REHEARSAL, one)
        sent = [step for step in played if step.at is not None]
        assert not (one.opted_out and sent)
        for step in sent:
            assert all(8 <= step.at.astimezone(ZoneInfo(zone)).hour < 21 for zone in place.zones)
        times = sorted([step.at for step in sent] + ([one.last_contact_at] if one.last_contact_at else []))
        assert all(later - earlier >= timedelta(hours=24) for earlier, later in pairwise(times))
    assert together == apart


def test_the_picture_is_one_that_can_be_read_without_eyes():
    outcome = run.play(REHEARSAL, [person(phone="+12024561111", consents=("PEC",))])
    picture = ElementTree.fromstring(drawing.svg(outcome, "A <title>"))
    texts = [element.text for element in picture.iter() if element.tag.endswith(("title", "desc"))]
    assert "A <title>" in texts
    assert "4 contacts to 1 people." in texts


def test_the_command_plays_a_file_in_processes_and_tells_its_bad_lines(tmp_path: Path):
    file = tmp_path / "people.csv"
    lines = [f"+1202456{number:04},PEC" for number in range(1000, 6000)]
    file.write_text("\n".join(["phone,consent", *lines, "nonsense,PEC"]) + "\n")
    words = ["simulate", "--contacts", str(file), "--json", "--workers", "2", "--start", "2026-10-20T15:00:00Z"]
    rejects = tmp_path / "rejects.csv"
    done = CliRunner().invoke(app, [*words, "--rejects", str(rejects), "--svg", str(tmp_path / "a.svg")])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["people"], told["contacts"], told["unreadable_lines"]) == (5000, 20_000, 1)
    assert rejects.read_text().startswith("line 5002: ")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name either"),
        (["--contacts", "/nowhere.csv"], "cannot be read"),
        (["--sample", "1", "--purpose", "fun"], "no purpose"),
        (["--sample", "1", "--start", "tomorrow"], "no instant"),
        (["--sample", "1", "--policy", "/nowhere.toml"], "policy cannot be read"),
    ],
)
def test_a_mistyped_command_says_what_to_write(words, said):
    done = CliRunner().invoke(app, ["simulate", *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
