"""How long a page may take: as long as a busy machine needs. (Playwright's own 5 s are too short for one.)"""

from __future__ import annotations

from playwright.async_api import expect

expect.set_options(timeout=20_000)
