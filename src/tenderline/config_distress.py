"""Settings of what happens when a caller is in distress, and of who listens for it."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from tenderline.config_sections import Section

_LETTERS_MIN = 2
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class DistressSettings(Section):
    """Callers in distress: what is listened for, and what follows. A hit turns payment off and holds the person."""

    phrases: list[str] = Field(
        default=[], max_length=500, description="Phrases of your own, beside those shipped; … stands for three words."
    )
    phrases_off: list[str] = Field(
        default=[],
        max_length=500,
        description="Shipped phrases that mean nothing on your lines, such as error; each as it stands in the list.",
    )
    transcripts_kept_days: int = Field(
        default=0, ge=0, le=365, description="What recognisers wrote is kept so long, without card numbers; 0: never."
    )
    callback_campaign: str | None = Field(
        default=None, description="Calling campaign of supervisors that calls back. Unset: the callback is only listed."
    )
    callback_after_s: int = Field(
        default=3_600, ge=0, le=72_000, description="A callback is due so long after a hit; at the latest in 24 hours."
    )
    listen: Literal["off", "websocket", "pocketsphinx"] = Field(
        default="off", description="Who hears callers for words of distress. Callers must know; see the how-to."
    )
    recogniser_url: str | None = Field(
        default=None, description="Of the recogniser: wss://…; ws:// only to this very machine."
    )
    recogniser_token: SecretStr | None = Field(default=None, description="Bearer token that it asks for.")

    @field_validator("phrases", "phrases_off")
    @classmethod
    def _phrases_are_words(cls, value: list[str]) -> list[str]:
        for one in value:
            letters = sum(letter.isalnum() for letter in one)
            if letters < _LETTERS_MIN or len(one) > 80 or len(one.split()) > 10:
                raise ValueError(f"{one[:80]!r} is no phrase: 1 to 10 words, 2 letters or more, 80 characters at most")
        return value

    @field_validator("recogniser_url")
    @classmethod
    def _recogniser_is_safe(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("cannot be read; write it as wss://recogniser.example.org/path") from None
        del port
        if parts.scheme not in ("ws", "wss") or not host or parts.username is not None or parts.fragment:
            raise ValueError("write it as wss://recogniser.example.org/path, without a user")
        if parts.scheme == "ws" and host not in _LOOPBACK:
            raise ValueError("callers' voices would cross a network in the clear; use wss://")
        return value
