"""What people write back: no STOP is missed, and words that only look like one hold us instead of silencing us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.compliance.keywords import TEXT_LENGTH_MAX, Reply, ReplyKind, read_reply

KEYWORDS = [
    *("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"),
    *("stopall", "stop all", "optout", "opt-out", "remove", "arret", "arrêt", "td", "alto", "baja", "no mas", "no más"),
]
DECORATION = " \t\n\r.,;:!?¡¿'\"“”‘’«»()[]{}<>*_~#/\\|-–—…•🛑👍🏽❤️\u200b\u200d\u00a0\ufeff"

decoration = st.text(st.sampled_from(DECORATION), max_size=6)


@st.composite
def decorated_keywords(draw: st.DrawFn) -> str:
    keyword = draw(st.sampled_from(KEYWORDS))
    cased = "".join(draw(st.sampled_from([c.lower(), c.upper()])) for c in keyword)
    inside = draw(st.sampled_from(["", ".", " ", "-", "\u200b", "*"]))
    return draw(decoration) + inside.join(cased) + draw(decoration)


@given(text=decorated_keywords())
def test_a_keyword_in_any_casing_and_dress_opts_out_without_review(text: str) -> None:
    reply = read_reply(text)
    assert reply.kind is ReplyKind.OPT_OUT
    assert not reply.needs_review


@given(keyword=st.sampled_from(["stop", "unsubscribe", "stopall", "revoke", "arrêt"]), rest=st.text(max_size=40))
def test_a_clear_keyword_with_anything_behind_it_never_passes_unseen(keyword: str, rest: str) -> None:
    assert read_reply(f"{keyword} {rest}").kind in (ReplyKind.OPT_OUT, ReplyKind.UNCLEAR)


@given(text=st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(read_reply(text), Reply)


@pytest.mark.parametrize(
    "text",
    [
        *("STOP please", "Please stop", "pls STOP now", "Hi, stop", "Stop. Thank you", "stop it", "remove me"),
        *("ＳＴＯＰ", "Ⓢⓣⓞⓟ", "s.t.o.p", "S T O P", "«ARRÊT»", "UNSUBSCRİBE", "QUıT", "ST\u00adOP"),
        *("Alto, por favor", "arrêt svp", "STOP s'il vous plaît", "no más gracias"),
    ],
)
def test_polite_words_around_a_keyword_change_nothing(text: str) -> None:
    assert (read_reply(text).kind, read_reply(text).needs_review) == (ReplyKind.OPT_OUT, False)


@pytest.mark.parametrize(
    "text",
    [
        *("stop texting me", "would you stop calling my wife", "you need to stop with all these messages"),
        *("STOP sending this stuff to me", "stop START", "I want you to stop", "for the last time: STOP!!!"),
        *("How do I unsubscribe?", "please remove me from your list", "take me off this list", "delete my number stop"),
        *("Do not contact me again", "DON'T TEXT ME", "don’t ever call", "never call me again", "dont message us"),
        *("cancel my donation", "wrong number", "Sorry, you have the wrong person", "opt me out", "I want to opt-out"),
        *("stop at once!", "leave me alone", "lose my number", "no more texts", "no more of this stop"),
        *("why won't you stop texting me", "why don't you stop calling", "you never stop texting me"),
        *("please don't stop... actually STOP", "I said: unsubscribe", "revoke my consent", "quit bothering us"),
        *("no me llamen más", "número equivocado", "dejen de escribirme", "faux numéro", "arrêtez !", "désabonnez-moi"),
    ],
)
def test_wording_that_a_reasonable_person_reads_as_no_opts_out_and_is_reviewed(text: str) -> None:
    assert (read_reply(text).kind, read_reply(text).needs_review) == (ReplyKind.OPT_OUT, True)


@pytest.mark.parametrize(
    "text",
    [
        *("stop by tomorrow?", "Can I stop by tomorrow and pay?", "End of the month works", "TD Bank sent a new card"),
        *("when will this stop happening", "I had to cancel the old card", "quit my job, can I pay later", "🛑"),
        *("where is the bus stop", "remove the fee and I pay", "did you revoke it"),
    ],
)
def test_wording_that_may_mean_either_holds_us_until_somebody_read_it(text: str) -> None:
    assert (read_reply(text).kind, read_reply(text).needs_review) == (ReplyKind.UNCLEAR, True)


@pytest.mark.parametrize(
    "text", ["please don't stop", "Don’t stop texting me, I like it", "I did not mean to unsubscribe"]
)
def test_asking_us_to_go_on_does_not_revoke(text: str) -> None:
    assert (read_reply(text).kind, read_reply(text).needs_review) == (ReplyKind.OTHER, True)


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "👍", "ok", "Thanks, paid just now", "No problem, call me tomorrow", "I will pay at the weekend"),
        *("yes please", "who is this?", "helpful, thanks", "My card expired", "nonstop", "I am on the mend", "?"),
    ],
)
def test_everything_else_is_only_shown(text: str) -> None:
    assert read_reply(text) == Reply(ReplyKind.OTHER)


@pytest.mark.parametrize("text", ["START", "yes", "Yes!", "“UnStop”"])
def test_only_the_bare_word_lifts_a_stop(text: str) -> None:
    assert read_reply(text).kind is ReplyKind.OPT_IN


@pytest.mark.parametrize("text", ["HELP", "info", "Help?"])
def test_help_is_told_apart(text: str) -> None:
    assert read_reply(text).kind is ReplyKind.HELP


def test_a_text_too_long_to_read_holds_us() -> None:
    assert read_reply("la " * TEXT_LENGTH_MAX).kind is ReplyKind.UNCLEAR
    assert read_reply("STOP " + "la " * TEXT_LENGTH_MAX).kind is ReplyKind.OPT_OUT


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("STPO", "stop"), ("sotp", "stop"), ("tsop", "stop"), ("STP", "stop"), ("stopp", "stop"), ("sstop", "stop"),
        ("ST0P", "stop"), ("5TOP", "stop"), ("Stpo please", "stop"), ("stpo!!", "stop"),
        ("unsuscribe", "unsubscribe"), ("UNSUBSCIRBE", "unsubscribe"), ("unsubcribe me", "unsubscribe"),
        ("unsubsribe", "unsubscribe"), ("unsubscrib", "unsubscribe"), ("cancle", "cancel"), ("cancell", "cancel"),
        ("canxel", "cancel"), ("revok", "revoke"), ("remvoe", "remove"), ("otpout", "optout"), ("arrt", "arret"),
        ("stpoall", "stopall"),
    ],
)  # fmt: skip
def test_a_slip_of_the_finger_is_read_as_what_was_meant_and_looked_at(text, meant):
    reply = read_reply(text)
    assert (reply.kind, reply.matched, reply.needs_review) == (ReplyKind.OPT_OUT, meant, True)


@pytest.mark.parametrize(
    "text",
    [
        "shop", "step", "store", "stoop", "stops", "spot on", "atop", "top", "sop", "soup", "quiet please", "quick",
        "suit", "unit", "cancer", "canal", "evoke", "moved", "remote", "arrest", "start", "star", "stay", "subscribe",
        "unsubscribed already?", "it was stpo that I meant to say", "ends", "bend", "tad", "also", "1 2 3 4", "1100",
    ],
)  # fmt: skip
def test_words_of_their_own_are_no_slips(text):
    reply = read_reply(text)
    assert reply.kind is not ReplyKind.OPT_OUT or not reply.needs_review or "unsubscribe" in text


@pytest.mark.parametrize(
    "text",
    [
        "Quítenme de la lista", "bórrenme de su base", "no me molesten", "ya no quiero mensajes", "no más llamadas",
        "quiero darme de baja", "dejen de escribirme", "número equivocado", "no deseo más mensajes",
        "ne m'appelez plus", "ne me contactez plus", "retirez-moi de la liste", "supprimez mon numéro",
        "plus de SMS svp", "laissez-moi tranquille", "cessez de m'écrire", "arrêtez !", "mauvais numéro",
        "je veux me désabonner", "désinscrivez-moi",
    ],
)  # fmt: skip
def test_spanish_and_french_phrases_silence(text):
    assert read_reply(text).kind is ReplyKind.OPT_OUT


@pytest.mark.parametrize("text", ["ayuda", "AIDE", "Help?", "info"])
def test_help_is_asked_for_in_three_languages(text):
    assert read_reply(text).kind is ReplyKind.HELP
