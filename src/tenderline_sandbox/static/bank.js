// Keeps the bank's tables fresh. The rows come from the server, escaped; nothing is built from data here.
"use strict";
(() => {
  const EVERY_MS = 1500;
  const rows = document.getElementById("bank-rows");
  if (!rows) return;
  let before = rows.innerHTML;
  const refresh = async () => {
    try {
      if (!document.hidden) {
        const answer = await fetch(rows.dataset.source, { signal: AbortSignal.timeout(10000) });
        const html = answer.ok ? await answer.text() : before;
        // Untouched while nothing changed, so that a selection or a scroll position survives.
        if (html !== before && !rows.contains(document.activeElement)) {
          before = html;
          rows.innerHTML = html;
        }
      }
    } catch {
      // The sandbox is being restarted; the next round will tell.
    }
    setTimeout(refresh, EVERY_MS);
  };
  setTimeout(refresh, EVERY_MS);
})();
