// Keeps the live part of a page live. A browser has six connections for each host over HTTP/1.1, and a stream takes one
// for as long as it lasts: so one tab, the visible one, holds the stream, and every other tab asks now and then.
const POLL_MS = 2000, AGAIN_MS = 5000, ACTIVE_MS = 60000, LOCK = "tenderline-stream";
const region = document.querySelector("[data-live]");
// An agent's desk goes on while another tab is in front, and holds a stream of its own: a call does not wait for a look.
const always = region !== null && "always" in region.dataset;
const unseen = () => document.hidden && !always;
const state = document.getElementById("live-state");
const toast = document.getElementById("toast");
const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

function say(kind, words) {
  if (!state || state.dataset.state === kind) return;
  state.dataset.state = kind;
  state.textContent = words;
  if (kind !== "lost") toast.textContent = "";
}

function lost(status) {
  if (status === 401) {
    location.assign("/sign-in?ended&next=" + encodeURIComponent(location.pathname));
    return;
  }
  say("lost", "Not up to date");
  toast.textContent = status
    ? `The server answered ${status}. The page shows what was last known and keeps asking.`
    : "The server cannot be reached. The page shows what was last known and keeps asking.";
}

let holder = null;   // the element whose stream is open, while this tab holds the lock
let letGo = null;    // gives the lock back
let waiting = null;  // aborts the wait for the lock
let connection = null;

function openStream(done) {
  letGo = done;
  holder = document.createElement("div");
  holder.id = "stream";
  holder.hidden = true;
  holder.setAttribute("hx-sse:connect", region.dataset.stream);
  holder.setAttribute("hx-target", "#" + region.id);
  holder.setAttribute("hx-swap", "innerMorph");
  holder.addEventListener("signed-out", () => lost(401));
  document.body.append(holder);
  htmx.process(holder);
}

function closeStream() {
  waiting?.abort();
  waiting = null;
  const gone = holder;
  holder = null;
  gone?.remove();
  connection?.reader?.cancel();
  connection?.abortController?.abort();
  connection = null;
  letGo?.();
  letGo = null;
}

function wantStream() {
  // Without a secure context there are no locks: such a page only asks now and then.
  if (!region.dataset.stream || !navigator.locks || unseen() || holder || waiting) return;
  waiting = new AbortController();
  navigator.locks
    .request(region.dataset.lock ?? LOCK, { signal: waiting.signal }, () => new Promise((done) => {
      waiting = null;
      openStream(done);
    }))
    .catch((error) => { if (error.name !== "AbortError") throw error; });
}

function giveUp() {
  closeStream();
  setTimeout(wantStream, AGAIN_MS);
}

async function poll() {
  if (!holder && !unseen()) {
    await htmx.ajax("GET", region.dataset.poll, { target: region, swap: "innerMorph" });
  }
  setTimeout(poll, POLL_MS);
}

function isStream(event) {
  return holder !== null && event.target === holder;
}

if (region) {
  document.addEventListener("htmx:sse:after:connection", (event) => {
    if (!isStream(event)) return;
    connection = event.detail.connection;
    say("live", "Live");
  });
  document.addEventListener("htmx:sse:after:message", () => say("live", "Live"));
  document.addEventListener("htmx:sse:error", (event) => { if (isStream(event)) lost(event.detail.status); });
  document.addEventListener("htmx:sse:close", (event) => { if (isStream(event)) giveUp(); });
  document.addEventListener("htmx:after:request", (event) => {
    if (!holder && event.detail.ctx.response.status < 400) say("poll", "Asks every 2 s");
  });
  document.addEventListener("htmx:response:error", (event) => {
    const busy = isStream(event) && event.detail.ctx.response.status === 503;
    if (!busy) lost(event.detail.ctx.response.status);
    if (isStream(event)) giveUp();
  });
  document.addEventListener("htmx:error", (event) => {
    lost(0);
    if (isStream(event)) giveUp();
  });
  document.addEventListener("visibilitychange", () => { if (unseen()) closeStream(); else wantStream(); });
  addEventListener("pagehide", closeStream);
  wantStream();
  setTimeout(poll, POLL_MS);
}

document.addEventListener("htmx:config:request", (event) => { event.detail.ctx.request.headers["X-CSRF-Token"] = csrf; });

// Somebody who reads and scrolls is not idle, though no page is asked for.
let active = false;
for (const kind of ["pointerdown", "keydown", "scroll"]) {
  addEventListener(kind, () => { active = true; }, { capture: true, passive: true });
}
setInterval(async () => {
  if (!active) return;
  active = false;
  const answer = await fetch("/session/active", { method: "POST", headers: { "X-CSRF-Token": csrf } }).catch(() => null);
  if (answer?.status === 401) lost(401);
}, ACTIVE_MS);
