"""A real browser for tests of pages: what it complains about, whom it asks, and whether everybody can read a page.

A missing browser is a failure, never a skip: on Debian and Ubuntu `apt-get install chromium` brings it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright, expect

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=20_000)  # of what must be seen; a machine may have much else to do
PICTURES = os.environ.get("TENDERLINE_TEST_PICTURES")
AXE = Path(__file__).parents[1] / "browser/vendor/axe.min.js"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NOTE_VIOLATIONS = """window.violations = [];
const note = (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`);
document.addEventListener("securitypolicyviolation", note);"""
# What can be clicked, but for links inside a sentence; a tick box is as large as the label around it.
SMALL = """() => [...document.querySelectorAll(
    "a, button, select, input:not([type=hidden]), summary, label.tick, label.tick-line")]
  .filter((e) => e.checkVisibility() && !e.matches(".skip, p.mute a, p.empty a, .tick *, .tick-line *"))
  .map((e) => [e.getBoundingClientRect().height, e.outerHTML.slice(0, 120)])
  .filter(([height]) => height < 43.5)"""


@dataclass
class Watched:
    """A page, and everything it should not do."""

    page: Page
    base: str
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Starts to note complaints and requests."""
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    async def require_clean(self) -> None:
        """No complaint, no request to anybody else."""
        host = urlsplit(self.base).netloc
        self.wrong += [url for url in self.asked if urlsplit(url).netloc != host]
        self.wrong += await self.page.evaluate("window.violations")
        assert not self.wrong, self.wrong

    async def go(self, path: str) -> None:
        """Opens a page of the desk."""
        await self.page.goto(self.base + path)


@asynccontextmanager
async def launched(*more: str) -> AsyncIterator[Browser]:
    """Chromium, with `more` arguments."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "The screens cannot be tested without a browser: apt-get install chromium"
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, *more])
        yield made
        await made.close()


async def picture(page: Page, name: str) -> None:
    """Kept in the folder that TENDERLINE_TEST_PICTURES names, for whoever wants to look."""
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


# 512 is what 1024 become at a zoom of 200 %.
WIDTHS = (1024, 512)


async def require_readable(watched: Watched, where: str, *, widths: Sequence[int] = WIDTHS) -> None:
    """Nobody is shut out: axe finds nothing, nothing runs off the side, and no number could be a card's."""
    page = watched.page
    found = await page.evaluate(
        AXE.read_text("utf-8") + f"\n;axe.run(document, {{runOnly: {json.dumps(AXE_TAGS)}}}).then((r) => r.violations)"
    )
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found], where
    assert not re.search(r"[0-9]{12}", await page.inner_text("body")), where
    before = page.viewport_size
    for width in widths:
        await page.set_viewport_size({"width": width, "height": 768})
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{where} at {width}"
    if before:
        await page.set_viewport_size(before)
