"""Answers by e-mail: the person's own words, whatever her mail program puts around them."""

from __future__ import annotations

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.compliance.keywords import ReplyKind, read_reply
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError
from tenderline.messengers.mail_replies import MailReplies, envelope_of, own_words

SOURCE = MailReplies()
QUOTED = "Your $25.00 payment didn't go through. To stop all messages: unsubscribe https://x.example/stop/abc"


def mail(text, *, subject="Re: Your payment", sender="Ann <Ann@Example.org>", html=None, **headers):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "give@charity.example", subject
    message["Message-ID"] = headers.pop("message_id", "<1@example.org>")
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


def words(raw):
    found = SOURCE.read(envelope_of(raw).body)
    return found.text if found else None


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Please stop.", "Please stop."),
        (f"Thanks!\n\nOn Mon, 5 Oct 2026 at 10:00, Hope House <give@charity.example> wrote:\n> {QUOTED}", "Thanks!"),
        (f"Merci\n\nLe lun. 5 oct. 2026 à 10:00, Hope House <g@c.example> a écrit :\n> {QUOTED}", "Merci"),
        (f"Gracias\n\nEl lun, 5 oct 2026 a las 10:00, Hope House (<g@c.example>) escribió:\n> {QUOTED}", "Gracias"),
        (f"ok\n\n-----Original Message-----\nFrom: Hope House\n{QUOTED}", "ok"),
        (f"ok\n\n________________________________\nFrom: Hope House <g@c.example>\n{QUOTED}", "ok"),
        (f"ok\nFrom: Hope House <g@c.example>\n{QUOTED}", "ok"),
        (f"> {QUOTED}\nI paid yesterday.", "I paid yesterday."),
        ("I paid.\n-- \nAnn\nDirector, Unsubscribe Ltd.", "I paid."),
        ("I paid on Monday, as I wrote.", "I paid on Monday, as I wrote."),
    ],
)
def test_what_was_quoted_and_the_signature_are_not_her_words(text, own):
    assert words(mail(text)) == own
    assert own_words(text) == own


def test_a_mail_of_html_only_is_read_as_text():
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = "ann@example.org", "Re: x", "<2@x>"
    message.set_content(
        "<style>p{color:red}</style><p>Please <b>stop</b></p><blockquote>unsubscribe</blockquote>", subtype="html"
    )
    assert words(message.as_bytes()).split() == ["Please", "stop"]


def test_a_keyword_in_a_subject_of_her_own_counts_and_in_that_of_an_answer_it_does_not():
    assert read_reply(words(mail("", subject="unsubscribe"))).kind is ReplyKind.OPT_OUT
    assert words(mail("", subject="Re: to stop messages, reply STOP")) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Precedence": "bulk"},
        {"List_Id": "<news.example.org>"},
        {"Return_Path": "<>"},
    ],
    ids=str,
)
def test_what_a_machine_wrote_is_not_a_word(headers):
    assert words(mail("STOP", **headers)) is None


def test_the_sender_holds_contacts_while_it_is_unread_and_a_message_is_one_event():
    envelope = envelope_of(mail("STOP"))
    assert envelope.subject == "ann@example.org"
    assert envelope.event_id == envelope_of(mail("STOP")).event_id
    assert envelope.event_id != envelope_of(mail("STOP", message_id="<3@x>")).event_id
    assert envelope.event_id != envelope_of(mail("STOP", sender="bob@example.org")).event_id


def test_a_card_number_in_a_mail_is_never_kept():
    kept = envelope_of(mail("my card is 4242 4242 4242 4242", subject="4242424242424242"))
    assert b"4242" not in kept.body.replace(b" ", b"")


def test_what_is_attached_is_not_kept():
    message = EmailMessage()
    message["From"] = "ann@example.org"
    message.set_content("see attached")
    message.add_attachment(b"x" * 5_000_000, maintype="application", subtype="pdf", filename="a.pdf")
    assert len(envelope_of(message.as_bytes()).body) < 1_000


def test_mail_is_not_taken_from_the_network():
    with pytest.raises(ForgedWebhookError):
        SOURCE.verify("https://x.example/webhooks/mail", {}, b"{}")


@pytest.mark.parametrize("raw", [b"", b"\x00\xff", b"From: \n\nSTOP", b"From: nobody\n\nSTOP", b"Subject: x\n\n"])
def test_a_message_without_a_sender_is_refused(raw):
    with pytest.raises(MalformedWebhookError, match="sender"):
        envelope_of(raw)


@given(st.binary(max_size=2_000), st.sampled_from([b"", b"From: a@b.example\n", b"From: a@b.example\nContent-Type: "]))
def test_no_bytes_break_it(raw, head):
    try:
        envelope = envelope_of(head + raw)
    except MalformedWebhookError:
        return
    SOURCE.read(envelope.body)


def test_a_hostile_megabyte_is_cut():
    for text in (">" * 1_000_000, "On " * 300_000, "<" * 1_000_000, "<style" * 150_000, "a\n" * 500_000):
        assert len(own_words(text)) <= 201_000
        envelope_of(b"From: a@b.example\nContent-Type: text/html\n\n" + text.encode())
