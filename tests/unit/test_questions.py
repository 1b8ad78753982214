"""Questions to the gate in people's words: what is asked, and why something cannot be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenderline.core.errors import InvalidInputError
from tenderline.desk import questions

NUMBER = "+12125550123"


def of(**words):
    """A question with the usual words where none are given."""
    return questions.of(**{"channel": None, "purpose": "servicing", "at": None, **words})


def test_an_address_is_brought_into_one_form_and_tells_the_channel():
    assert (of(address="(212) 555-0123", region="US").address, of(address=NUMBER).channel) == (NUMBER, "sms")
    asked = of(address=" Ann@Example.org ")
    assert (asked.address, asked.channel) == ("ann@example.org", "email")


def test_an_instant_with_its_offset_is_kept_in_utc():
    assert of(address=NUMBER, at="2026-11-21T20:55-05:00").at == datetime(2026, 11, 22, 1, 55, tzinfo=UTC)
    assert of(address=NUMBER, at="2026-11-22T01:55Z").at == datetime(2026, 11, 22, 1, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"address": "12"}, "telephone number"),
        ({"address": "5550123"}, "country code"),
        ({"address": "a@b"}, "e-mail address"),
        ({"address": "ann@example.org", "channel": "sms"}, "does not reach"),
        ({"address": NUMBER, "channel": "email"}, "does not reach"),
        ({"address": NUMBER, "channel": "fax"}, "no channel 'fax'"),
        ({"address": NUMBER, "purpose": "fun"}, "no purpose 'fun'"),
        ({"address": NUMBER, "at": "yesterday"}, "'yesterday' is no instant"),
        ({"address": NUMBER, "at": ""}, "no instant"),
        ({"address": NUMBER, "at": "2026-11-21T20:55"}, "by which clock"),
        ({"address": NUMBER, "at": "2026-11-21"}, "by which clock"),
        ({"address": NUMBER, "at": "9998-11-21T20:55Z"}, "from 2000 to 2100"),
        ({"address": NUMBER, "at": "0001-01-01T00:00+14:00"}, "from 2000 to 2100"),
        ({"address": "x" * 5000}, "too long"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(words, said):
    with pytest.raises(InvalidInputError, match=said):
        of(**words)
