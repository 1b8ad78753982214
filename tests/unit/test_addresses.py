"""Telephone numbers and e-mail addresses: one form each, or a reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import mailbox, phone
from tenderline.core.mailbox import InvalidMailboxError
from tenderline.core.phone import InvalidPhoneError


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("(202) 456-1111", "US", "+12024561111"),
        ("+1 202 456 1111", None, "+12024561111"),
        ("020 7219 3000", "GB", "+442072193000"),
        ("+61 2 6277 7111", "US", "+61262777111"),
    ],
)
def test_every_way_of_writing_a_number_ends_in_one_form(raw, region, e164):
    assert phone.normalise(raw, region) == e164


@pytest.mark.parametrize("raw", ["", "12", "hello", "+15550100001", "0" * 100, "+999123456789", "202-456-1111"])
def test_a_number_that_nobody_can_dial_is_refused_with_a_reason(raw):
    with pytest.raises(InvalidPhoneError) as refused:
        phone.normalise(raw, None)
    assert refused.value.detail.endswith(".")


def test_a_number_tells_every_zone_it_may_lie_in():
    assert phone.zones("+12024561111") == ("America/New_York",)
    assert phone.zones("+18505550123") == ("America/Chicago", "America/New_York")
    assert len(phone.zones("+18005551212")) == 8  # toll-free: anywhere in the United States


@given(st.text(max_size=80))
def test_no_text_raises_anything_but_the_named_errors(text):
    for normalise, refusal in ((phone.normalise, InvalidPhoneError), (mailbox.normalise, InvalidMailboxError)):
        try:
            once = normalise(text)
        except refusal:
            continue
        assert normalise(once) == once


@pytest.mark.parametrize(
    ("raw", "address"),
    [(" Ann@Example.ORG ", "ann@example.org"), ("a+b@bücher.example", "a+b@xn--bcher-kva.example")],
)
def test_an_address_is_folded_so_that_an_opt_out_cannot_slip(raw, address):
    assert mailbox.normalise(raw) == address


@pytest.mark.parametrize("raw", ["", "@", "a@", "@b.org", "a b@c.org", "a@b", "a@b..org", "a@b.org\r\nBcc: x@y.org"])
def test_an_address_that_nobody_can_write_to_is_refused(raw):
    with pytest.raises(InvalidMailboxError):
        mailbox.normalise(raw)
