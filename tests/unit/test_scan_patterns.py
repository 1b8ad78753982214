"""What is searched for is found however it is written, and what only looks like it is let pass for a reason."""

from __future__ import annotations

import base64
import random
import subprocess
import sys

import pytest

from support.planted import AMEX, VISA, tones
from tenderline.core.errors import InvalidInputError
from tenderline.core.ids import uuid7
from tenderline.core.pan import luhn_ok
from tenderline.scan import canaries, patterns
from tenderline.scan.canaries import Canaries
from tenderline.scan.key_tones import Listener
from tenderline.scan.patterns import find
from tenderline.scan.search import PIECE_BYTES, Search

GROUPED = " ".join(VISA[at : at + 4] for at in range(0, 16, 4))


def found(data: bytes, *, as_text: bool = False) -> list[str]:
    return [hit.masked for hit in find(data, as_text=as_text) if hit.excuse is None]


def excuses(data: bytes) -> list[str]:
    return [hit.excuse for hit in find(data) if hit.excuse is not None]


@pytest.mark.parametrize("number", [VISA, AMEX])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("shape", ["{}", "number{}name", "No.{}.", "card {} 123 12/27", "1234 {}"])
def test_a_number_is_found_in_every_encoding(number, encoding, shape):
    assert found(shape.format(number).encode(encoding)) == [patterns.mask(number)]


@pytest.mark.parametrize("text", [GROUPED, GROUPED.replace(" ", "-"), GROUPED.replace(" ", "."), " ".join(VISA)])
def test_a_number_in_groups_is_found(text):
    assert found(b"x" + text.encode() + b"\n") == ["424242…4242"]
    assert found(text.encode("utf-16")) == ["424242…4242"]


def test_the_grouping_of_american_express_is_found():
    assert found(f"{AMEX[:4]} {AMEX[4:10]} {AMEX[10:]}".encode()) == ["378282…0005"]


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("text", [VISA, GROUPED, GROUPED.replace(" ", "-")])
def test_base64_is_found_wherever_the_number_begins_in_it(before, text):
    plain = b"z" * before + text.encode() + b"zzz"
    for encoded in (base64.b64encode(plain), base64.urlsafe_b64encode(plain), base64.encodebytes(b"y" * 42 + plain)):
        assert found(encoded) == ["424242…4242"]


def test_json_escapes_and_hexadecimal_are_found():
    assert found("".join(f"\\u00{ord(one):02x}" for one in VISA).encode()) == ["424242…4242"]
    assert found(b"\\x" + VISA.encode().hex().encode()) == ["424242…4242"]


@pytest.mark.parametrize(
    "text",
    ["four two " * 8, "Cuatro, dos, " * 8, "my card is four two four two four two four two four two four two four two"],
)
def test_digits_spelled_in_words_are_found_in_texts(text):
    assert len(found(text.encode(), as_text=True)) == 1
    assert not found(text.encode())


def test_a_few_spelled_digits_are_none():
    assert not found(
        b"one two three four five six seven eight nine zero. someone phoned none of the phones alone", as_text=True
    )


def test_what_is_no_card_number_is_let_pass_with_its_reason():
    mobile = next(f"4915{rest:09d}" for rest in range(100_000_000, 100_000_100) if luhn_ok(f"4915{rest:09d}"))
    assert excuses(b"0." + VISA.encode()) == ["digits behind a decimal point"]
    assert excuses(b"+" + AMEX.encode()) == ["a telephone number with its plus"]
    assert excuses(mobile.encode()) == ["thirteen digits that are a telephone number of their country"]
    assert excuses(b"ab12cdef" * 3 + VISA.encode() + b"cafe") == ["part of a hexadecimal digest"]
    bytes_of_a_word = " ".join(str(one) for one in b"4 COMPLETED ZZ").encode()
    for text in (bytes_of_a_word, b"1763691300000000", b"2026-11-21 03:00:00.123456"):
        assert not found(text)


def test_random_ids_and_digests_raise_no_alarm():
    chance = random.Random(7)
    lines = [
        f'{{"id":"{uuid7()}","hash":"{chance.randbytes(64).hex()}","at":{1763691300000 + n}}}' for n in range(20_000)
    ]
    assert not found("\n".join(lines).encode(), as_text=True)
    assert not found(chance.randbytes(4_000_000))
    assert not found(base64.b64encode(chance.randbytes(4_000_000)))


def test_a_mask_shows_ten_digits_at_most():
    assert patterns.mask(VISA) == "424242…4242"
    assert patterns.mask("1" * 5) == "…"


@pytest.mark.parametrize("written", [VISA.encode(), VISA.encode("utf-16-le"), base64.b64encode(GROUPED.encode())])
def test_no_number_is_missed_where_one_window_ends_and_none_is_told_twice(written):
    for shift in range(-40, 41, 3):
        data = b"." * (PIECE_BYTES + shift) + written + b"." * (PIECE_BYTES + 77)
        pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
        assert [at for at, _ in Search().stream(pieces)] == [PIECE_BYTES + shift]
    assert [at for at, _ in Search().stream([written])] == [0]
    assert [at for at, _ in Search().stream([bytes([one]) for one in written])] == [0]


@pytest.mark.parametrize("value", [VISA, "tok-Geheim-77", "9988776655"])
def test_a_canary_is_found_in_every_encoding_and_never_shown(value):
    one = Canaries(["something else", value])
    ways = [
        value.encode(),
        value.encode("utf-16"),
        base64.b64encode(b"ab" + value.encode() + b"c"),
        value.encode().hex().encode(),
    ]
    if value == VISA:
        ways += [GROUPED.encode(), b"four two " * 8]
    for way in ways:
        hits = list(one.find(b"\x00\x99" + way + b"\x00", as_text=True))
        assert hits, way
        assert all(hit.written.startswith("canary 2, ") for hit in hits)
        assert not any(value in hit.written + hit.masked for hit in hits)
    assert value not in one.hide(f"/tmp/{value}.txt")


def test_a_packed_canary_is_found_unless_its_bytes_are_all_alike():
    value = "4" + "0" * 11 + "9995"
    assert [hit.written for hit in Canaries([value]).find(bytes.fromhex(value), as_text=False)] == [
        "canary 1, packed BCD"
    ]
    assert list(Canaries([VISA]).find(b"B" * 100, as_text=False)) == [], "the letter B is no card"


def test_a_short_canary_is_a_whole_word_of_a_text():
    one = Canaries(["737"])
    assert list(one.find(b"code 737, thanks", as_text=True))
    assert not list(one.find(b"at 03:00:00.737Z in 17371", as_text=True))
    assert not list(one.find(b"code 737, thanks", as_text=False))


def test_canaries_that_cannot_be_used_are_refused_without_being_shown():
    for text in ("", "ab", "x" * 201):
        with pytest.raises(InvalidInputError) as told:
            canaries.read(f"good one\n{text}" if text else "")
        assert "x" * 20 not in str(told.value)


@pytest.mark.parametrize(("keys", "runs"), [("4242", [4]), ("424", []), ("4242424242424242", [16]), ("44444", [5])])
@pytest.mark.parametrize("piece", [160, 8_000, 100_000])
def test_a_run_of_key_tones_is_heard_and_which_keys_is_not_kept(keys, runs, piece):
    sound = b"\xff" * 4_000 + tones(keys) + b"\xff" * 4_000
    listener = Listener()
    for at in range(0, len(sound), piece):
        listener.hear(sound[at : at + piece])
    assert [run.presses for run in listener.end()] == runs


def test_quiet_tones_are_heard_and_speech_like_noise_is_not():
    listener = Listener()
    listener.hear(tones("1234567", level=0.008))
    assert [run.presses for run in listener.end()] == [7]
    chance = random.Random(3)
    noise = Listener()
    noise.hear(chance.randbytes(8_000 * 60))
    assert noise.end() == []


MEMORY = """
import resource, sys
from pathlib import Path
from tenderline.scan import files
from tenderline.scan.result import Notes
from tenderline.scan.search import Search
notes = Notes(Search())
small, large = Path(sys.argv[1]), Path(sys.argv[2])
files.search(files.Folders(small), notes)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
files.search(files.Folders(large), notes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, notes.findings_total, notes.search.bytes_searched)
"""


def test_a_large_file_costs_no_more_memory_than_a_small_one(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    line = b'{"event": "nothing", "id": "0199abcd-1234-7abc-8def-0123456789ab", "ts": 1763691300000}\n' * 12_000
    (tmp_path / "small" / "a.log").write_bytes(line)
    with (tmp_path / "large" / "b.log").open("wb") as file:
        for _ in range(200_000_000 // len(line)):
            file.write(line)
        file.write(VISA.encode())
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "large")],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    grown_kb, findings, size_bytes = map(int, out.split())
    assert grown_kb < 16 * 1024
    assert findings == 1
    assert size_bytes > 190_000_000
