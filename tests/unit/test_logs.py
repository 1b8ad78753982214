"""Every line of the log is one JSON object, whoever wrote it, and holds no card number and no secret."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from tenderline import logs

CARD = "42424242" + "42424242"
SECRET = "hunter2-and-longer"


def line_of(message: Any, *args: Any, exc_info: Any = None) -> dict[str, Any]:
    """The line of a library's logger, read back."""
    record = logging.LogRecord("a_vendor.module", logging.ERROR, __file__, 1, message, args, exc_info)
    text = logs.JsonFormatter().format(record)
    assert "\n" not in text
    assert CARD not in text
    assert SECRET not in text
    read: dict[str, Any] = json.loads(text)
    return read


def test_a_librarys_line_is_json_whatever_it_says() -> None:
    said = 'he said "no"\nand {left} \\ \x00 \u2028 \udcff'
    line = line_of(said)
    assert (line["event"], line["logger"], line["level"]) == (said, "a_vendor.module", "error")


def test_a_traceback_is_one_line_and_holds_neither_card_number_nor_secret() -> None:
    try:
        raise ValueError(f"card {CARD}, https://pay.example.org/pay/abc.def, postgresql://ann:{SECRET}@db/x")
    except ValueError:
        line = line_of("it broke for %s", CARD, exc_info=sys.exc_info())
    assert "Traceback" in line["exception"]
    assert "card [card number removed]" in line["exception"]
    assert "/pay/[removed]" in line["exception"]
    assert "ann:[removed]@db/x" in line["exception"]


@pytest.mark.parametrize(
    "said",
    [
        f"Authorization: Bearer {SECRET}",
        f"'authorization': 'Basic {SECRET}'",
        f"password={SECRET}",
        f'{{"client_secret": "{SECRET}"}}',
        f"POST /oauth/token?token={SECRET}&x=1",
        f"X-Api-Key: {SECRET}",
        f"key sk_live_{SECRET} and whsec_{SECRET}",
        f"connect to postgresql://ann:{SECRET}@db/x",
        repr(f"two\n{CARD}"),
    ],
)
def test_a_secret_in_running_text_is_removed(said: str) -> None:
    assert "removed]" in line_of(said)["event"]


def test_values_under_secret_names_are_removed_at_any_depth() -> None:
    told = {
        "event": "asked",
        "headers": {"Authorization": SECRET, "X-API-Key": SECRET, "inner": [{"client_secret": SECRET, "n": 1}]},
        "password": ["x", SECRET],
        "amounts": [int(CARD), f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}", float(CARD), CARD.encode()],
        CARD: "as a name",
    }
    line = line_of(told)
    assert line["headers"]["inner"] == [{"client_secret": "[removed]", "n": 1}]
    assert line["password"] == "[removed]"
    assert line["event"] == "asked"


def test_what_cannot_be_shown_breaks_no_line() -> None:
    class Unshowable:
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    endless: dict[str, Any] = {"event": "round and round"}
    endless["self"] = endless
    assert line_of(endless)["event"] == "round and round"
    assert "Unshowable" in line_of({"event": "x", "thing": Unshowable()})["thing"]
    assert line_of("%s %s", "only one")["event"] == "%s %s ('only one',)"
    numbers = line_of({"event": "x", "none": float("nan"), "rate": 1.5, "huge": 10**5000, "some": 10**18})
    assert [numbers[name] for name in ("none", "rate", "some")] == ["nan", 1.5, 10**18]
    assert isinstance(numbers["huge"], str)


def test_own_and_library_lines_come_out_alike() -> None:
    program = f"""
import logging, warnings, structlog
from tenderline import logs
log = structlog.get_logger("tenderline.somewhere")
logs.configure("info")
log.debug("not told")
log.info("told", number=1, card={CARD!r})
try:
    raise KeyError({CARD!r})
except KeyError as error:
    log.error("own", exc_info=error)
    log.exception("own again")
    logging.getLogger("library").exception('a "library" broke')
logging.getLogger("library").info("not told")
logging.getLogger("library").warning("told")
logging.getLogger("library").warning("told %s %s", "badly")
warnings.warn("an old way")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stdout
    assert CARD not in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"], line["event"]) for line in lines[:-2]] == [
        ("tenderline.somewhere", "info", "told"),
        ("tenderline.somewhere", "error", "own"),
        ("tenderline.somewhere", "error", "own again"),
        ("library", "error", 'a "library" broke'),
        ("library", "warning", "told"),
    ]
    assert all("Traceback" in line["exception"] for line in lines[1:4])
    assert "an old way" in lines[-1]["event"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
