"""What is said: values in words, clips for all of them, an operator's recordings, and a voice for the rest."""

from __future__ import annotations

import io
import wave
from datetime import date, time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.money import Money
from tenderline.flows.spoken import Digits, Number, Pause, Sound, Spoken, Words
from tenderline.voice import codec
from tenderline.voice.prompts import pack, synthesis, wording_en, wording_es
from tenderline.voice.prompts.pack import Prompts, clip_name

WORDINGS = {"en": wording_en, "es": wording_es}

NUMBERS = {
    0: ("zero", "cero"),
    21: ("twenty-one", "veintiuno"),
    100: ("one hundred", "cien"),
    101: ("one hundred one", "ciento uno"),
    145: ("one hundred forty-five", "ciento cuarenta y cinco"),
    500: ("five hundred", "quinientos"),
    1000: ("one thousand", "mil"),
    1001: ("one thousand one", "mil uno"),
    21_000: ("twenty-one thousand", "veintiún mil"),
    1_000_000: ("one million", "un millón"),
    2_300_050: ("two million three hundred thousand fifty", "dos millones trescientos mil cincuenta"),
    1_000_000_000: ("one billion", "mil millones"),
}


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_in_words(value):
    english, spanish = NUMBERS[value]
    assert " ".join(wording_en.number(value)) == english
    assert " ".join(wording_es.number(value)) == spanish


AMOUNTS = {
    Money(2510, "USD"): ("twenty-five dollars and ten cents", "veinticinco dólares con diez centavos"),
    Money(100, "USD"): ("one dollar", "un dólar"),
    Money(2100, "USD"): ("twenty-one dollars", "veintiún dólares"),
    Money(1, "USD"): ("one cent", "un centavo"),
    Money(20_000, "GBP"): ("two hundred pounds", "doscientas libras"),
    Money(2_101, "GBP"): ("twenty-one pounds and one penny", "veintiuna libras con un penique"),
    Money(5000, "JPY"): ("five thousand yen", "cinco mil yenes"),
    Money(100_000_000, "USD"): ("one million dollars", "un millón de dólares"),
    Money(1050, "CHF"): ("ten point five zero C H F", "diez punto cinco cero C H F"),
}


@pytest.mark.parametrize("amount", AMOUNTS)
def test_amounts_in_words(amount):
    english, spanish = AMOUNTS[amount]
    assert " ".join(wording_en.money(amount)) == english
    assert " ".join(wording_es.money(amount)) == spanish


def test_days_and_hours_in_words():
    assert " ".join(wording_en.day(date(2026, 5, 3))) == "May third twenty twenty-six"
    assert " ".join(wording_en.year(2006)) == "two thousand six"
    assert " ".join(wording_en.year(1905)) == "nineteen oh five"
    assert " ".join(wording_en.year(1900)) == "nineteen hundred"
    assert " ".join(wording_es.day(date(2026, 5, 1))) == "el primero de mayo de dos mil veintiséis"
    assert " ".join(wording_en.clock(time(9, 5))) == "nine oh five A M"
    assert " ".join(wording_en.clock(time(12, 0))) == "twelve o'clock P M"
    assert " ".join(wording_es.clock(time(13, 30))) == "la una y treinta de la tarde"


@pytest.mark.parametrize("language", WORDINGS)
def test_the_pack_has_a_clip_for_every_text_and_no_other(language):
    clips = pack.shipped(language)
    assert set(clips) == set(WORDINGS[language].clips())
    for text, sound in clips.items():
        assert 400 < len(sound) < 16_000, text
        level = np.sqrt(np.mean(codec.to_samples(sound, 0).astype(float) ** 2))
        assert 1_000 < level < 8_000, text


@given(st.sampled_from(sorted(WORDINGS)), st.data())
def test_every_value_is_said_with_clips_that_exist(language, data):
    wording, clips = WORDINGS[language], pack.shipped(language)
    currency = data.draw(st.sampled_from(sorted(wording.CURRENCIES)))
    said = [
        *wording.number(data.draw(st.integers(0, wording.VALUE_MAX))),
        *wording.money(Money(data.draw(st.integers(1, 10**12)), currency)),
        *wording.day(data.draw(st.dates(date(1900, 1, 1), date(2100, 1, 1)))),
        *wording.clock(data.draw(st.times())),
        *wording.digits(data.draw(st.text("0123456789ABCXYZ-", max_size=20))),
    ]
    assert set(said) <= set(clips)


async def test_an_utterance_is_frames_of_twenty_milliseconds(tmp_path):
    prompts = Prompts(tmp_path)
    frames = await prompts.prepare(
        Spoken("en", (Money(2510, "USD"), Pause(200), Digits("42A"), Number(7), date(2026, 5, 3), Sound("beep")))
    )
    assert {len(frame) for frame in frames} == {160}
    assert 150 < len(frames) < 900
    assert prompts.missing(Spoken("en", (Money(2510, "USD"), Words("Hello there")))) == ["Hello there"]


async def test_what_nobody_recorded_is_spoken_once_and_kept(tmp_path, monkeypatch):
    spoken = Spoken("es", (Words("Gracias por llamar; `rm -rf` <x> --help"),))
    first = await Prompts(tmp_path).prepare(spoken)
    assert len(first) > 25

    async def never(text, language):
        raise AssertionError("it was kept")

    monkeypatch.setattr(synthesis, "speak", never)
    assert await Prompts(tmp_path).prepare(spoken) == first


def recording(rate, channels=1, seconds=0.5):
    at = np.arange(int(rate * seconds)) / rate
    wave_form = (np.sin(2 * np.pi * 440 * at) * 12_000).astype("<i2")
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(wave_form, channels).tobytes())
    return made.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
async def test_an_operators_recording_of_any_rate_takes_the_place_of_the_clip(tmp_path, rate, channels):
    folder = tmp_path / "prompts" / "en"
    folder.mkdir(parents=True)
    (folder / f"{clip_name('seven')}.wav").write_bytes(recording(rate, channels))
    sound = await Prompts(tmp_path).clip("seven", "en")
    assert abs(len(sound) - 4_000) < 500
    samples = codec.to_samples(sound, 0).astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 8_000 / len(samples) - 440) < 10


async def test_a_broken_recording_is_named_and_the_shipped_clip_heard(tmp_path):
    folder = tmp_path / "prompts" / "en"
    folder.mkdir(parents=True)
    (folder / f"{clip_name('seven')}.wav").write_bytes(b"no sound at all")
    assert await Prompts(tmp_path).clip("seven", "en") == pack.shipped("en")["seven"]


async def test_without_a_voice_the_rest_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "PROGRAM", "no-such-voice")
    frames = await Prompts(tmp_path).prepare(Spoken("en", (Words("Unheard of"), Number(7))))
    assert len(frames) > 10
    with pytest.raises(synthesis.NoVoiceError, match="espeak-ng"):
        await Prompts(tmp_path).clip("Unheard of", "en")


def test_names_of_recordings_can_be_typed_and_differ():
    assert clip_name("Thank you for calling!").startswith("thank-you-for-calling-")
    assert clip_name("¿Qué?") != clip_name("¡Qué!")
    assert len(clip_name("x" * 500)) < 64
