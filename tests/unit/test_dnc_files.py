"""Lists of every shape that people export: what is taken of them, and what is said about each line that is not."""

from __future__ import annotations

import codecs
import io
import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.compliance import dnc_lists
from tenderline.compliance.dnc_lists import InvalidListSettingError, ListKeptError, UnknownListError
from tenderline.core import phone
from tenderline.core.errors import InvalidInputError
from tenderline.people import dnc_reader, dnc_text
from tenderline.people.dnc_reader import Reader
from tenderline.people.dnc_text import UnreadableListError

ONE, TWO = "+12025550123", "+12125550199"


def read(
    body: bytes | str, *, region: str = "US", column: str | None = None
) -> tuple[list[str], list[tuple[int, str]]]:
    """(what was taken, (line, text) of what was not)."""
    reader = Reader(io.BytesIO(body.encode() if isinstance(body, str) else body), region=region, column=column)
    taken: list[str] = []
    rejected: list[tuple[int, str]] = []
    for batch in reader.batches():
        taken += batch.values
        rejected += [(one.line, one.text) for one in batch.rejects]
    assert (reader.accepted, reader.rejected) == (len(taken), len(rejected))
    return taken, rejected


SHAPES = {
    "one column": "2025550123\n2125550199\n",
    "no line end at the end": "2025550123\n2125550199",
    "Windows": "2025550123\r\n2125550199\r\n",
    "old Macintosh": "2025550123\r2125550199\r",
    "blank lines between": "\n\n2025550123\n \n\t\n2125550199\n\n",
    "in every usual spelling": '(202) 555-0123\n"1-212-555-0199"\n',
    "E.164": "+12025550123\n+12125550199\n",
    "as the US registry gives it": "202,5550123\n212,5550199\n",
    "the same with a heading": "AreaCode,PhoneNumber\n202,555-0123\n212,5550199\n",
    "in three columns": "NPA;NXX;XXXX\n202;555;0123\n212;555;0199\n",
    "area code beside a whole number": "area_code,phone\n202,2025550123\n212,+12125550199\n",
    "a heading among others": "id,Phone Number,name\n7,2025550123,Ann\n8,2125550199,Bob\n",
    "quotes and commas in them": 'name,phone\n"Lee, Ann","(202) 555-0123"\n"O""Neil, Bob",212-555-0199\n',
    "semicolons": "name;telephone\nAnn;2025550123\nBob;2125550199\n",
    "tabs": "name\tcell\nAnn\t2025550123\nBob\t2125550199\n",
    "no heading, found by looking": "Ann,2025550123,2026-11-01\nBob,2125550199,2026-11-02\n",
    "value": "value\n2025550123\n2125550199\n",
    "a spreadsheet's decimals": "phone\n2025550123.0\n2125550199.00\n",
    "a spreadsheet's text marks": 'phone\n\'2025550123\n"=""2125550199"""\n',
    "invisible marks": "\u202a+12025550123\u202c\n\u200b2125550199\xa0\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_list_of_any_usual_shape_is_read_whole(shape: str) -> None:
    assert read(SHAPES[shape]) == ([ONE, TWO], [])


ENCODINGS = {
    "UTF-8 with a mark": codecs.BOM_UTF8 + b"phone\n2025550123\n2125550199\n",
    "UTF-16 with a mark": "phone\r\n2025550123\r\n2125550199\r\n".encode("utf-16"),
    "UTF-16 the other way round": codecs.BOM_UTF16_BE + "phone\n2025550123\n2125550199\n".encode("utf-16-be"),
    "UTF-16 without a mark": "name,phone\nAnn,2025550123\nBob,2125550199\n".encode("utf-16-le"),
    "UTF-16 the other way round without a mark": "2025550123\n2125550199\n".encode("utf-16-be"),
    "Latin 1": "name,phone\nRené,2025550123\nZoë,2125550199\n".encode("latin-1"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_list_in_any_usual_encoding_is_read_whole(encoding: str) -> None:
    assert read(ENCODINGS[encoding]) == ([ONE, TWO], [])


def test_numbers_and_addresses_of_one_line_are_both_taken() -> None:
    body = "name,phone,email\nAnn,2025550123,Ann@Example.ORG\nBob,,bob@example.org\nEve,2125550199,\nNo,,\n"
    assert read(body) == ([ONE, "ann@example.org", "bob@example.org", TWO], [(5, "No,,")])


def test_every_bad_line_is_told_with_its_number() -> None:
    body = "phone\nn/a\n2025550123\n12345\n\n0000000000\n2.03E+09\n+999123456789\nann@\n=HYPERLINK()\n2125550199\n"
    taken, rejected = read(body)
    assert taken == [ONE, TWO]
    assert [line for line, _ in rejected] == [2, 4, 6, 7, 8, 9, 10]


def test_a_quote_that_is_never_closed_harms_its_own_line_only() -> None:
    taken, rejected = read('name,phone\n"Ann,2025550123\nBob,2125550199\n')
    assert taken == [TWO]
    assert [line for line, _ in rejected] == [2]


@pytest.mark.parametrize("end", ["\n2125550199\n", ""])
def test_a_line_without_an_end_costs_no_memory_and_one_rejection(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnc_text, "CHUNK_BYTES", 4096)
    reader = Reader(io.BytesIO(b"2025550123\n" + b"9" * 10**6 + end.encode()), region="US")
    batches = list(reader.batches())
    assert [value for batch in batches for value in batch.values] == [ONE, *([TWO] if end else [])]
    assert [(one.line, one.text) for batch in batches for one in batch.rejects] == [(2, "")]
    assert sum(reader.reasons.values()) == 1


@given(st.integers(1, 40), st.integers(0, 60))
def test_it_does_not_matter_where_a_file_is_cut_into_parts(size: int, count: int) -> None:
    body = ("phone\r\n" + "".join(f"2025550{number:03d}\r\nbad {number}\r\n" for number in range(count))).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dnc_text, "CHUNK_BYTES", size)
        taken, rejected = read(body) if count else ([], [])
    assert taken == [f"+12025550{number:03d}" for number in range(count)]
    assert [line for line, _ in rejected] == [3 + 2 * number for number in range(count)]


@given(st.binary(max_size=3_000))
def test_junk_is_reported_and_never_raises_anything_else(body: bytes) -> None:
    try:
        taken, _ = read(body)
    except UnreadableListError:
        return
    for value in taken:
        assert re.fullmatch(r"\+[1-9][0-9]{4,16}|[^\s\\]+@[^\s\\]+", value), "COPY takes it as it is"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\n\n \n", "empty"),
        (b"PK\x03\x04rest", "save it as CSV"),
        (b"\x1f\x8brest", "gzip"),
        (b"%PDF-1.7", "PDF"),
        (codecs.BOM_UTF32_LE + "1".encode("utf-32-le"), "UTF-32"),
        (b"name,town\nAnn,Rome\nBob,Oslo\n", "--column"),
    ],
)
def test_what_is_no_list_is_refused_with_what_to_do(body: bytes, said: str) -> None:
    with pytest.raises(UnreadableListError, match=re.escape(said)):
        read(body)


def test_columns_may_be_named_by_heading_or_by_number() -> None:
    body = "work,home,note\n2025550123,2125550199,x\n"
    assert read(body, column="home") == ([TWO], [])
    assert read(body, column="Work, HOME") == ([ONE, TWO], [])
    assert read(body, column="2") == ([TWO], [(1, "home")]), "a number says nothing of a heading"
    with pytest.raises(UnreadableListError, match="work, home, note"):
        read(body, column="phone")


def test_a_card_number_in_a_list_is_not_repeated() -> None:
    card = "42424242" + "42424242"
    _, rejected = read(f"2025550123\n{card}\n")
    assert rejected[0][0] == 2
    assert card not in rejected[0][1]


def test_numbers_without_a_country_code_are_read_by_the_region() -> None:
    assert read("07911 123456\n+44 7911 123456\n020 7183 8750\n", region="GB")[0] == [
        "+447911123456",
        "+447911123456",
        "+442071838750",
    ]


def slowly(raw: str, region: str) -> str | None:
    """As the library reads it, with the one rule of ours about North America."""
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    is_shaped = number.country_code != 1 or re.fullmatch(r"\+1[2-9]\d\d[2-9]\d{6}", e164)
    return e164 if phonenumbers.is_possible_number(number) and is_shaped else None


def quickly(raw: str, region: str) -> str | None:
    try:
        return phone.listed(raw, region)
    except InvalidInputError:
        return None


@given(
    st.sampled_from(["US", "CA", "GB", "DE", "DO"]),
    st.sampled_from(["{}", "1{}", "+1{}", "0{}", "+44{}", "+44 (0) {}", "+{}", "180020{}", "0180020{}"]),
    st.from_regex(r"\A[0-9]{3}[ .-]?[0-9]{3,4}[ .-]?[0-9]{1,5}\Z"),
)
def test_the_quick_way_reads_a_number_as_the_library_does(region: str, around: str, digits: str) -> None:
    raw = around.format(digits)
    assert quickly(raw, region) == slowly(raw, region)


@given(st.from_regex(r"\A\+1[2-9][0-9]{2}[2-9][0-9]{6}\Z"))
def test_a_number_that_may_be_dialled_is_found_on_the_list_it_stands_on(number: str) -> None:
    try:
        dialled = phone.normalise(number)
    except InvalidInputError:
        return
    assert dnc_reader.normalise(number.removeprefix("+1"), "US") == dialled


def test_a_range_that_is_not_in_use_today_stays_on_a_list() -> None:
    with pytest.raises(InvalidInputError, match="not in use"):
        phone.normalise("+19992345678")
    assert dnc_reader.normalise("999-234-5678", "US") == "+19992345678"


def test_a_list_that_no_rule_asks_for_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownListError, match="'national'"):
        dnc_lists.require_known("natoinal", [])
    assert dnc_lists.require_known("parish", ["parish"]).age_max_days is None


def test_our_own_list_is_neither_replaced_nor_does_it_end() -> None:
    internal = dnc_lists.KINDS["internal"]
    dnc_lists.require_allowed(internal, replace=False, expires_days=None)
    for wanted in ({"replace": True, "expires_days": None}, {"replace": False, "expires_days": 31}):
        with pytest.raises(ListKeptError):
            dnc_lists.require_allowed(internal, **wanted)  # type: ignore[arg-type]


def test_voice_is_both_ways_of_calling_and_an_unknown_channel_is_an_error() -> None:
    assert dnc_lists.channels_of(["voice", "sms"]) == ("sms", "voice_artificial", "voice_live")
    assert dnc_lists.channels_of([]) == ()
    with pytest.raises(InvalidListSettingError, match="known are voice"):
        dnc_lists.channels_of(["fax"])
