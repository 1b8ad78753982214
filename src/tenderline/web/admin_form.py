"""Forms of the administration: read field by field, and shown again with what was typed and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Request, Response

from tenderline.core.errors import TenderlineError
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import session_of, shell

AnyRequest = Request[Any, Any, Any]
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
TYPED_LENGTH_MAX: Final = 4000


class Form:
    """What somebody typed. Reading a field notes what is wrong with it: the field, the reason, the next step."""

    def __init__(self, values: Mapping[str, Sequence[str]] | None = None) -> None:
        self._values = dict(values or {})
        self.problems: dict[str, str] = {}
        self.general: str | None = None

    @classmethod
    async def posted(cls, request: AnyRequest) -> Form:
        """The form of a request, bounded."""
        data = await request.form()
        values: dict[str, list[str]] = {}
        for name, value in data.multi_items():
            if isinstance(value, str):
                values.setdefault(name, []).append(value[:TYPED_LENGTH_MAX])
        return cls(values)

    def value(self, name: str, default: str = "") -> str:
        """As typed."""
        found = self._values.get(name)
        return found[0] if found else default

    def many(self, name: str) -> list[str]:
        """Every box that is ticked."""
        return list(self._values.get(name, ()))

    def is_ticked(self, name: str, value: str = "yes") -> bool:
        """Whether a box is ticked."""
        return value in self._values.get(name, ())

    def wrong(self, name: str, text: str) -> None:
        """The first thing that is wrong with a field is the one to say."""
        self.problems.setdefault(name, text)

    def failed(self, error: TenderlineError) -> None:
        """What the database knew better."""
        self.general = error.detail

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and self.general is None

    def text(self, name: str, label: str, *, length_max: int, optional: bool = False) -> str:
        """A line of text."""
        found = " ".join(self.value(name).split())
        if (not found and not optional) or len(found) > length_max or not (found.isprintable()):
            self.wrong(name, f"{label}: write {0 if optional else 1} to {length_max} printable characters.")
        return found

    def name(self, name: str, label: str) -> str:
        """A name that flows and other settings use."""
        found = self.value(name).strip()
        if not NAME.fullmatch(found):
            self.wrong(
                name,
                f"{label}: begin with a letter; then letters, digits, “_”, “-” and “.” only, 40 characters at most.",
            )
        return found

    def whole(self, name: str, label: str, low: int, high: int) -> int:
        """A whole number."""
        found = self.maybe_whole(name, label, low, high)
        if found is None:
            self.wrong(name, f"{label}: write a whole number from {low} to {high}.")
            return low
        return found

    def maybe_whole(self, name: str, label: str, low: int, high: int) -> int | None:
        """A whole number, or nothing."""
        typed = self.value(name).strip()
        if not typed:
            return None
        if not typed.isascii() or not typed.isdecimal() or len(typed) > 9 or not low <= int(typed) <= high:
            self.wrong(name, f"{label}: write a whole number from {low} to {high}, not “{typed[:20]}”.")
            return low
        return int(typed)

    def choice(self, name: str, label: str, known: Sequence[str]) -> str:
        """One of those there are."""
        found = self.value(name)
        if found not in known:
            self.wrong(name, f"{label}: choose one of {', '.join(known)}.")
        return found

    def ticked(self, name: str, label: str, known: Sequence[str]) -> list[str]:
        """All that are ticked, of those there are."""
        found = sorted(set(self.many(name)))
        if missing := [one for one in found if one not in known]:
            self.wrong(name, f"{label}: there is no “{missing[0][:40]}” any more; untick it, or make it first.")
        return found


def show(request: AnyRequest, template: str, form: Form | None = None, **values: Any) -> Response[str]:
    """A page of the administration; 422 or 409 when its form could not be taken."""
    status = 200
    if form is not None and not form.is_right:
        status = 422
    return page(template, status=status, form=form or Form(), **values, **shell(request))


def by(request: AnyRequest) -> str:
    """Who changes something, as the audit log names her."""
    return session_of(request).user.email


__all__ = ["AnyRequest", "Form", "by", "services_of", "show"]
