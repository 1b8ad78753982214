"""The built-in messages say who writes, how to pay and how to make us stop, and never why a card failed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.money import Money
from tenderline.core.reasons import FailureReason
from tenderline.notify.templates import (
    GSM_7,
    UCS_2,
    Email,
    UnsafeMessageError,
    recovery_email,
    recovery_sms,
    segments,
)

LINK = "https://pay.example.org/pay/" + "A" * 48
STOP = "https://pay.example.org/stop/" + "B" * 48
OWN_PAGE = "https://pay.example.org/me/" + "C" * 70
CARD = "4242 4242 4242 4242"


def email(name: str | None = "Ann Lee", hint: FailureReason | None = None, organisation: str = "Hope House") -> Email:
    return recovery_email(organisation, name, "$25.00", LINK, STOP, OWN_PAGE, hint)


@pytest.mark.parametrize(
    ("text", "count", "encoding"),
    [
        ("", 1, GSM_7),
        ("a" * 160, 1, GSM_7),
        ("a" * 161, 2, GSM_7),
        ("a" * 306, 2, GSM_7),
        ("a" * 307, 3, GSM_7),
        ("€" * 80, 1, GSM_7),
        ("€" * 81, 2, GSM_7),
        ("a" * 152 + "€" + "a" * 153, 3, GSM_7),
        ("a" * 153 + "€" + "a" * 151, 2, GSM_7),
        ("^{}\\[~]|\f", 1, GSM_7),
        ("Ça va", 1, GSM_7),
        ("ça va", 1, UCS_2),
        ("don’t", 1, UCS_2),
        ("я" * 70, 1, UCS_2),
        ("я" * 71, 2, UCS_2),
        ("😀" * 35, 1, UCS_2),
        ("😀" * 36, 2, UCS_2),
        ("a" * 66 + "😀" + "a" * 66, 3, UCS_2),
    ],
)
def test_parts_are_counted_as_carriers_bill_them(text: str, count: int, encoding: str) -> None:
    assert segments(text) == (count, encoding)


@given(text=st.text(max_size=700))
def test_parts_lie_between_the_even_split_and_one_unit_lost_in_each(text: str) -> None:
    count, encoding = segments(text)
    if encoding == UCS_2:
        units, single, part = len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    else:
        units, single, part = sum(2 if c in "\f^{}\\[~]|€" else 1 for c in text), 160, 153
    if units <= single:
        assert count == 1
    else:
        assert -(-units // part) <= count <= -(-units // (part - 1))


def test_the_text_message_names_us_the_amount_the_link_and_the_way_out_in_one_part() -> None:
    text = recovery_sms("Hope House", "$25.00", LINK)
    assert text.startswith("Hope House: ")
    assert "$25.00" in text
    assert f" {LINK} " in text
    assert text.endswith("Reply STOP to opt out.")
    assert segments(text) == (1, GSM_7)


@pytest.mark.parametrize("locale", ["en_US", "fr_FR", "de_DE", "pl_PL", "sv_SE"])
def test_an_amount_never_makes_a_text_message_dearer(locale: str) -> None:
    amount = Money(123_456, "EUR").format(locale)
    assert segments(recovery_sms("Hope House", amount, LINK)) == (1, GSM_7)


def test_a_long_name_takes_two_parts_and_a_name_beyond_gsm_is_kept_and_counted() -> None:
    assert segments(recovery_sms("H" * 60, "$1,234,567.00", LINK)) == (2, GSM_7)
    text = recovery_sms("Przyjaciele Łodzi", "$25.00", LINK)
    assert text.startswith("Przyjaciele Łodzi: ")
    assert segments(text) == (3, UCS_2)


def test_a_text_message_of_too_many_parts_is_not_written() -> None:
    with pytest.raises(UnsafeMessageError, match="public_url"):
        recovery_sms("Hope House", "$25.00", "https://" + "a" * 300 + ".example.org/")


def test_the_email_says_the_same_in_both_forms() -> None:
    written = email()
    assert written.subject == "Your payment to Hope House"
    for form in (written.text, written.html):
        for part in ("Dear Ann Lee,", "$25.00", "Hope House", "did not go through", "no more messages"):
            assert part in form
        assert all(url in form for url in (LINK, STOP, OWN_PAGE))
    assert f'<a href="{LINK}"' in written.html
    assert '<html lang="en">' in written.html
    assert "\n\n\n\n" not in written.text


@pytest.mark.parametrize("reason", list(FailureReason))
def test_no_message_says_why_a_payment_failed(reason: FailureReason) -> None:
    written = email(hint=reason)
    sms = recovery_sms("Hope House", "$25.00", LINK)
    telling = re.compile(r"stolen|lost|fraud|insufficient|funds|declin|reject|refus|expired|debt|overdue|collect", re.I)
    for form in (written.subject, written.text, written.html, sms):
        assert not telling.search(form.replace(LINK, "").replace(STOP, ""))
    assert (written == email()) is (
        reason
        not in {
            FailureReason.CARD_EXPIRED,
            FailureReason.INVALID_CARD_DATA,
            FailureReason.AUTHENTICATION_REQUIRED,
        }
    )


def test_values_cannot_become_markup() -> None:
    written = email(organisation="Tom & <b>Co</b>", name='"Ann" O\'Neil')
    assert "Tom &amp; &lt;b&gt;Co&lt;/b&gt;" in written.html
    assert "<b>Co" not in written.html
    assert "Dear &#34;Ann&#34; O&#39;Neil," in written.html
    assert "Tom & <b>Co</b>" in written.text


@given(name=st.text(max_size=120))
def test_no_name_breaks_the_email(name: str) -> None:
    written = email(name)
    assert LINK in written.html
    assert "\r" not in written.text


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "  ",
        "www.win.example",
        "see http://x",
        "x@y.org",
        "win.example",
        "n" * 81,
        "A\x00",
        "\u202eA",
        "\ud800",
    ],
)
def test_a_name_that_is_none_is_left_out(name: str | None) -> None:
    assert "Hello," in email(name).text


def test_line_breaks_in_values_become_spaces_so_no_header_can_be_added() -> None:
    assert email(organisation="Hope\r\nBcc: all@example.org").subject == "Your payment to Hope Bcc: all@example.org"


@pytest.mark.parametrize(
    ("organisation", "amount", "link"),
    [
        ("", "$25.00", LINK),
        (" \n", "$25.00", LINK),
        ("Hope", "", LINK),
        ("Hope", "$25.00", ""),
        ("Hope " + CARD, "$25.00", LINK),
        ("Hope", CARD, LINK),
        ("Hope\x00House", "$25.00", LINK),
        ("H" * 201, "$25.00", LINK),
        ("Hope", "$25.00", "http://pay.example.org/x"),
        ("Hope", "$25.00", "javascript:alert(1)"),
        ("Hope", "$25.00", "https://user:secret@pay.example.org/x"),
        ("Hope", "$25.00", "https://"),
        ("Hope", "$25.00", "https://pay.example.org/a b"),
        ("Hope", "$25.00", 'https://pay.example.org/"onclick='),
        ("Hope", "$25.00", "https://pay.example.org:port/"),
        ("Hope", "$25.00", "https://[pay"),
        ("Hope", "$25.00", "http://127.0.0.1.example.org/"),
        ("Hope", "$25.00", "http://localhost.example.org/"),
        ("Hope", "$25.00", "https://pay.example.org/\r\nx"),
    ],
)
def test_missing_values_card_numbers_and_unsafe_links_are_refused(organisation: str, amount: str, link: str) -> None:
    with pytest.raises(UnsafeMessageError):
        recovery_sms(organisation, amount, link)
    with pytest.raises(UnsafeMessageError):
        recovery_email(organisation, None, amount, link, STOP, OWN_PAGE)
    with pytest.raises(UnsafeMessageError):
        recovery_email("Hope", None, "$25.00", LINK, "http://evil.example.org/", OWN_PAGE)
    with pytest.raises(UnsafeMessageError):
        recovery_email("Hope", f"Ann {CARD}", "$25.00", LINK, STOP, OWN_PAGE)


@pytest.mark.parametrize("link", ["http://127.0.0.1:4000/pay/x", "http://localhost:4000/pay/x", "http://[::1]:4000/x"])
def test_a_demo_on_this_machine_may_use_http(link: str) -> None:
    assert link in recovery_sms("Hope House", "$25.00", link)
