// The agent's desk. Its forms are posted without leaving the page: a telephone may be talking in it. Alt and a digit
// choose how the call ended, Alt+Enter keeps it; what the server refuses is said in its own words.
const ANSWER_MS = 30000;
const region = document.getElementById("live");
const toast = document.getElementById("toast");
const elsewhere = document.getElementById("desk-elsewhere");

// Time that passes is drawn by the page: a redraw by the server changes nothing of it, and nobody is told every second.
class PassedTime extends HTMLElement {
  static observedAttributes = ["at", "left"];
  connectedCallback() {
    if (!this.shadowRoot) this.attachShadow({ mode: "open" });
    this.timer ??= setInterval(() => this.draw(), 1000);
    this.draw();
  }
  disconnectedCallback() {
    clearInterval(this.timer);
    this.timer = null;
  }
  attributeChangedCallback() { if (this.shadowRoot) this.draw(); }
  draw() {
    const passed = (Date.now() - Date.parse(this.getAttribute("at"))) / 1000;
    const seconds = Math.max(0, Math.floor(this.hasAttribute("left") ? -passed : passed));
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
    this.shadowRoot.textContent = (hours ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(seconds % 60)}`;
  }
}
customElements.define("passed-time", PassedTime);

async function why(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector("[data-detail]")?.textContent ?? `The server answered ${answer.status}.`;
}

// What is asked and not answered yet. A redraw replaces forms, so they are known by what they ask for.
const asked = new Set();

function asks(form) {
  const fixed = [...form.querySelectorAll("input[type=hidden]")].map((one) => `${one.name}=${one.value}`);
  return [form.getAttribute("action"), ...fixed].join(" ");
}

async function post(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  toast.textContent = "";
  const what = asks(form);
  asked.add(what);
  const answer = await fetch(form.getAttribute("action"), {
    method: "POST", body, redirect: "manual", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(ANSWER_MS),
  }).catch(() => null);
  asked.delete(what);
  const done = answer?.type === "opaqueredirect" || answer?.ok;
  if (!answer) toast.textContent = "The server did not answer. It is not known whether it was done; look before you try again.";
  else if (answer.status === 401) location.reload();
  else if (!done) toast.textContent = await why(answer);
  if (done) form.querySelectorAll("input[type=text], input[type=tel], input:not([type]), input[type=datetime-local]").forEach((one) => { one.value = ""; });
  await htmx.ajax("GET", region.dataset.poll, { target: region, swap: "innerMorph" });
}

// A redraw may take away what has the focus: then one goes on where the state is told, not at the page's top.
let focusIsHere = false;
document.addEventListener("focusin", (event) => { focusIsHere = region.contains(event.target); });
region.addEventListener("focusout", (event) => setTimeout(() => {
  if (event.target.isConnected && document.activeElement === document.body) focusIsHere = false;  // left, not lost
}));
new MutationObserver(() => {
  if (focusIsHere && document.activeElement === document.body) focusOn(document.getElementById("desk-title"));
}).observe(region, { childList: true, subtree: true });

function focusOn(element) {
  element?.setAttribute("tabindex", "-1");
  element?.focus();
}

region.addEventListener("submit", (event) => {
  const form = event.target;
  event.preventDefault();
  if (asked.has(asks(form))) return;  // twice pressed is once asked
  post(form, event.submitter);
});

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "Enter") {
    const form = document.getElementById("ending");
    if (!form) return;
    event.preventDefault();
    form.requestSubmit(document.getElementById("ending-keep"));
    return;
  }
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  const choice = digit && region.querySelector(`input[data-key="${digit}"]`);
  if (!choice) return;
  event.preventDefault();
  choice.checked = true;
  choice.focus();
});

// A second desk of the same browser works, but only one is live: a stream is one of six connections.
async function lookAround() {
  const { held } = await navigator.locks.query();
  elsewhere.hidden = document.getElementById("stream") !== null || !held.some((one) => one.name === region.dataset.lock);
}
if (navigator.locks) setInterval(lookAround, 2000);
