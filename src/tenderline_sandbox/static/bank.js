// Keeps the bank's tables fresh. Rows come from the server, escaped; nothing is built from data here, and a table that
// has not changed is left alone, so that focus, selection and scrolling survive.
"use strict";
(() => {
  const EVERY_MS = 1500;
  const TIMEOUT_MS = 10000;
  const bodies = document.querySelectorAll("tbody[data-fresh]");

  async function refresh() {
    try {
      if (!document.hidden) {
        const answer = await fetch("/bank", { signal: AbortSignal.timeout(TIMEOUT_MS) });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const body of bodies) {
            const fresh = page.getElementById(body.id);
            if (fresh && fresh.innerHTML !== body.innerHTML) body.replaceChildren(...fresh.children);
          }
        }
      }
    } catch {
      // The sandbox is down or restarting; the next round tells.
    }
    setTimeout(refresh, EVERY_MS);
  }

  if (bodies.length) setTimeout(refresh, EVERY_MS);
})();
