// The floor beside what live.js does: times that run on, what is set for an agent shown over the page, a count of alerts.
const TICK_MS = 1000;
const told = document.querySelector('meta[name="server-now"]')?.content;
// Whose clock is wrong does not matter: time passes on the server's.
const ahead = told ? Date.parse(told) - Date.now() : 0;
const region = document.querySelector("[data-live]");
const panel = document.getElementById("panel");
const title = document.title;

function lasting(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function tick() {
  const now = Date.now() + ahead;
  for (const one of document.querySelectorAll("time[data-run]")) {
    const at = Date.parse(one.dateTime);
    const words = lasting((one.dataset.run === "down" ? at - now : now - at) / 1000);
    if (one.textContent !== words) one.textContent = words;
  }
  const alerts = Number(document.getElementById("floor-alerts")?.dataset.open ?? 0);
  const wanted = alerts ? `(${alerts}) ${title}` : title;
  if (document.title !== wanted) document.title = wanted;
}

async function show(link) {
  const answer = await fetch(link.dataset.panel).catch(() => null);
  if (!answer?.ok) {
    location.assign(link.href);
    return;
  }
  panel.innerHTML = await answer.text();
  panel.showModal();
  tick();
}

if (panel) {
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    const link = event.target.closest("a[data-panel]");
    if (link) {
      event.preventDefault();
      show(link);
    } else if (event.target.closest("[data-close]")) {
      event.preventDefault();
      panel.close();
    }
  });
}

// A new drawing brings the instants; they are times again before anybody sees it.
if (region) new MutationObserver(tick).observe(region, { childList: true, subtree: true, characterData: true });
setInterval(tick, TICK_MS);
tick();
