// My telephone: the page around the line. One tab of a browser holds the telephone; the others say so.
const LOCK = "tenderline-phone", ACTIVE_MS = 60000;
const root = document.getElementById("phone");
const { Line, why } = await import(root.dataset.line);
const sound = await import(root.dataset.sound);
const part = (name) => document.getElementById(`phone-${name}`);
const csrf = document.querySelector('meta[name="csrf-token"]').content;
const title = document.title;
const WORDS = {
  off: "The telephone is off.",
  starting: "Asking for the microphone…",
  elsewhere: "The telephone is on in another tab of this browser.",
  replaced: "The telephone was turned on in another browser; it is off here.",
  "signed-out": "Your sign-in ended, and the telephone with it.",
  offered: "Connecting…",
  connecting: "Connecting…",
  reconnecting: "The connection is lost. Connecting again…",
  away: "The caller waits while this browser connects again…",
  ready: "Ready for calls.",
  ringing: "A call from ",
  talking: "On a call with ",
};
const SHOWN = {
  on: ["off", "replaced"], steal: ["elsewhere"], accept: ["ringing"], decline: ["ringing"], mute: ["talking", "away"],
  "hang-up": ["talking", "away"], off: ["ready", "offered", "connecting", "reconnecting"],
};

// A network that blinks, or a page that is loaded anew, opens nobody's microphone: only the end of the call does.
const UNMUTING = new Set(["ready", "ringing", "off", "replaced", "elsewhere", "signed-out"]), MUTED = "phone-muted";

let state = "off", call = null, since = null, stream = null, muted = localStorage.getItem("phone") === "on" && sessionStorage.getItem(MUTED) !== null;
let stopMine = () => {}, stopTheirs = () => {}, stopBell = null, stopTest = null, letGo = null, keepingAlive = 0;
const line = new Line({ csrf, ice: JSON.parse(root.dataset.ice), beatMs: Number(root.dataset.beatS) * 1000 });

function show(next, detail = {}) {
  const before = state;
  state = root.dataset.state = next;
  call = detail.call ?? null;
  since = next === "talking" || next === "away" ? new Date(detail.since) : null;
  const who = detail.caller ?? "a withheld number";
  const words = WORDS[next] + (next === "ringing" || next === "talking" ? `${who}.` : "");
  if (part("words").textContent !== words) part("words").textContent = words;
  document.title = next === "ringing" ? `Call from ${who}` : title;
  const focused = document.activeElement;
  for (const [name, states] of Object.entries(SHOWN)) part(name).hidden = !states.includes(next);
  if (focused?.hidden || before !== next && next === "ringing" && focused === document.body) {
    [...root.querySelectorAll(".act button")].find((one) => !one.hidden)?.focus();
  }
  if (next === "ringing") stopBell ??= sound.bell(part("ringer").value || part("speaker").value);
  else { stopBell?.(); stopBell = null; }
  if (UNMUTING.has(next) && muted) mute(false);
  tick();
}

function tick() {
  const seconds = since ? Math.max(0, Math.floor((Date.now() - since) / 1000)) : 0;
  part("timer").textContent = since ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
  // Whoever talks is at work, though she moves no mouse.
  if (state === "talking" && Date.now() - keepingAlive > ACTIVE_MS) {
    keepingAlive = Date.now();
    fetch("/session/active", { method: "POST", headers: { "X-CSRF-Token": csrf } }).catch(() => {});
  }
}

function problem(words) {
  part("problem").hidden = !words;
  part("problem").textContent = words;
}

function mute(on) {
  muted = on;
  if (on) sessionStorage.setItem(MUTED, "yes");
  else sessionStorage.removeItem(MUTED);
  for (const track of stream?.getAudioTracks() ?? []) track.enabled = !on;
  part("mute").setAttribute("aria-pressed", String(on));
  part("mute").firstChild.textContent = on ? "Muted: speak again " : "Mute ";
}

async function takeMicrophone() {
  const taken = await sound.microphone(part("microphone").value || localStorage.getItem("phone-microphone"));
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = taken;
  stream.getAudioTracks()[0].addEventListener("ended", () => problem("The microphone was unplugged. Choose another one."));
  mute(muted);
  stopMine();
  stopMine = sound.watchLevel(stream, part("mine"));
  await sound.fillDevices([
    [part("microphone"), "audioinput", "The system's choice"],
    [part("speaker"), "audiooutput", "The system's choice"],
    [part("ringer"), "audiooutput", "The same loudspeaker"],
  ]);
  await sound.useSpeaker(part("audio"), part("speaker").value);
}

async function turnOn() {
  problem("");
  show("starting");
  try {
    await takeMicrophone();
  } catch (error) {
    show("off");
    problem(error.message);
    letGo?.();
    return;
  }
  localStorage.setItem("phone", "on");
  show("connecting");
  await line.open(stream);
}

function turnOff(next = "off") {
  line.close();
  stopTest?.();
  stopMine();
  stopTheirs();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  if (next === "off") localStorage.removeItem("phone");
  show(next);
  letGo?.();
}

// One desk for each browser: the tab with the lock has the telephone.
async function want(options = {}) {
  if (!navigator.locks) return turnOn();
  await navigator.locks.request(LOCK, { ifAvailable: !options.steal, ...options }, (lock) => {
    if (!lock) {
      show("elsewhere");
      return null;
    }
    return new Promise((done) => {
      letGo = () => { letGo = null; done(); };
      turnOn();
    });
  }).catch((error) => {
    if (error.name !== "AbortError") throw error;
    letGo = null;
    turnOff("elsewhere");
  });
}

function act(name, what) {
  part(name).addEventListener("click", what);
}

async function ask(what) {
  if (!call) return;
  problem("");
  const answer = await line.ask(call, what).catch(() => null);
  if (!answer) problem("The server did not answer. It is not known whether it was done; look before you try again.");
  else if (!answer.ok && answer.status !== 401) problem(await why(answer));
}

line.addEventListener("state", ({ detail }) => {
  if (detail.state === "replaced" || detail.state === "signed-out") {
    turnOff(detail.state);
    if (detail.state === "signed-out") location.assign("/sign-in?ended&next=/phone");
  } else show(detail.state, detail);
});
line.addEventListener("problem", ({ detail }) => problem(detail));
line.addEventListener("sound", ({ detail }) => {
  part("audio").srcObject = detail;
  part("audio").play().catch(() => problem("The browser holds the sound back: press any button of this page."));
  stopTheirs();
  stopTheirs = sound.watchLevel(detail, part("theirs"));
});

act("on", () => want());
act("steal", () => want({ steal: true }));
act("off", () => turnOff());
act("accept", () => ask("accept"));
act("decline", () => ask("decline"));
act("hang-up", () => ask("hang-up"));
act("mute", () => mute(!muted));
addEventListener("keydown", (event) => {
  const name = event.altKey && { a: "accept", d: "decline", u: "mute", h: "hang-up" }[event.key.toLowerCase()];
  if (!name || part(name).hidden) return;
  event.preventDefault();
  part(name).click();
});

part("test").addEventListener("click", async () => {
  if (stopTest) return stopTest();
  try {
    if (!stream) await takeMicrophone();
  } catch (error) {
    return problem(error.message);
  }
  part("test").setAttribute("aria-pressed", "true");
  part("test-words").textContent = "Speak: after two seconds you hear yourself.";
  stopTest = sound.testMicrophone(stream, () => {
    stopTest = null;
    part("test").setAttribute("aria-pressed", "false");
    part("test-words").textContent = "The test is over. Did you hear yourself? If not, choose another device.";
  });
});

for (const name of ["microphone", "speaker", "ringer"]) {
  part(name).addEventListener("change", async (event) => {
    localStorage.setItem(event.target.id, event.target.value);
    if (name === "speaker") return sound.useSpeaker(part("audio"), event.target.value);
    if (name === "microphone" && stream) {
      try {
        await takeMicrophone();
        await line.useStream(stream);
      } catch (error) {
        problem(error.message);
      }
    }
  });
}
navigator.mediaDevices?.addEventListener("devicechange", () => sound.fillDevices([
  [part("microphone"), "audioinput", "The system's choice"],
  [part("speaker"), "audiooutput", "The system's choice"],
  [part("ringer"), "audiooutput", "The same loudspeaker"],
]));
setInterval(tick, 500);
// Whoever leaves the page by mistake is asked; the caller would wait.
addEventListener("beforeunload", (event) => { if (state === "talking" || state === "ringing") event.preventDefault(); });
// What was pressed before this script listened would be lost: so nothing could be pressed until now.
for (const name of ["on", "test"]) part(name).disabled = false;
// After a reload the telephone comes back by itself; a call that lasted goes on.
if (localStorage.getItem("phone") === "on") want();
