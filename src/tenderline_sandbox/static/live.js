// Keeps an open page true: when the server says that something happened, the page is fetched again and what
// differs is put in place. Unchanged elements stay, so focus, selection and screen readers are left in peace.
"use strict";
(() => {
  const address = document.body.dataset.live;
  const regions = document.querySelectorAll("[data-region]");
  const CLOCK_EVERY_MS = 20000;
  if (!address || !regions.length) return;

  function settle(region, fresh) {
    const kept = new Map(Array.from(region.children, (child) => [child.id, child]));
    let at = region.firstElementChild;
    let added = false;
    for (const child of Array.from(fresh.children)) {
      const old = kept.get(child.id);
      const node = old && old.outerHTML === child.outerHTML ? old : document.adoptNode(child);
      if (node === at) {
        at = at.nextElementSibling;
        continue;
      }
      const focused = old && old !== node && old.contains(document.activeElement) ? document.activeElement.id : "";
      if (old && old !== node) {
        if (old === at) at = at.nextElementSibling;
        old.replaceWith(node);
        if (focused) document.getElementById(focused)?.focus();
      } else {
        region.insertBefore(node, at);
      }
      added = added || !old;
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
    if (added) toNewest(region);
  }

  function toNewest(region) {
    if ("newestLast" in region.dataset) region.scrollTop = region.scrollHeight;
  }

  let busy = false;
  let again = false;
  async function refresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const region of regions) {
          const fresh = page.getElementById(region.id);
          if (fresh) settle(region, fresh);
        }
      }
    } catch {
      // The sandbox is down or restarting; the event source tells when it is back.
    } finally {
      busy = false;
    }
    if (again) {
      again = false;
      await refresh();
    }
  }

  const source = new EventSource(address);
  source.addEventListener("change", refresh);
  setInterval(refresh, CLOCK_EVERY_MS);
  regions.forEach(toNewest);
})();
