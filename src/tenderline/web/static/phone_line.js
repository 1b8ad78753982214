// The line between this browser and the voice node: a peer connection that stays up, so that a call is taken at once.
// The node waits where its answer says, so no candidates are gathered or sent. What breaks is made anew, with pauses.
const PAUSES_MS = [300, 1000, 2000, 4000, 8000], LOST_MS = 4000, CONNECT_MS = 10000, POLL_MS = 2000, ANSWER_MS = 20000;

// What an answer that is no good says of itself.
export async function why(answer) {
  const told = await answer.text();
  const page = new DOMParser().parseFromString(told, "text/html");
  return page.querySelector("[data-detail]")?.textContent ?? `The server answered ${answer.status}.`;
}

export class Line extends EventTarget {
  #csrf; #ice; #beatMs; #stream = null; #peer = null; #events = null; #timers = new Set(); #tries = 0; #open = false;
  #turn = 0;
  session = null;

  constructor({ csrf, ice, beatMs }) {
    super();
    this.#csrf = csrf;
    this.#ice = ice;
    this.#beatMs = beatMs;
    addEventListener("online", () => { if (this.#open) this.#again(0); });
    addEventListener("pagehide", () => { if (this.#open) this.#leave(); });
  }

  open(stream) {
    this.#open = true;
    this.#stream = stream;
    this.#tries = 0;
    return this.#connect();
  }

  // Another microphone on the same line.
  async useStream(stream) {
    this.#stream = stream;
    const sender = this.#peer?.getSenders().find((one) => one.track);
    await sender?.replaceTrack(stream.getAudioTracks()[0]);
  }

  close() {
    if (this.#open) this.#leave();
    this.#open = false;
    this.#drop();
  }

  async ask(call, what) {
    const answer = await this.#post(`/phone/sessions/${this.session}/calls/${call}/${what}`);
    if (answer.status === 401) this.#over("signed-out");
    return answer;
  }

  #say(kind, detail) { this.dispatchEvent(new CustomEvent(kind, { detail })); }

  #post(url, body) {
    // Without a bound, one that hangs would end the beats, and with them the calls.
    const signal = AbortSignal.timeout(ANSWER_MS);
    return fetch(url, { method: "POST", body, signal, headers: { "X-CSRF-Token": this.#csrf } });
  }

  #leave() {
    if (!this.session) return;
    const body = new URLSearchParams({ csrf_token: this.#csrf });
    navigator.sendBeacon(`/phone/sessions/${this.session}/leave`, body);
  }

  #later(ms, what) {
    const timer = setTimeout(() => { this.#timers.delete(timer); what(); }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #drop() {
    this.#turn += 1;
    for (const one of this.#timers) clearTimeout(one);
    this.#timers.clear();
    this.#events?.close();
    this.#peer?.close();
    this.#events = this.#peer = this.session = null;
  }

  #again(ms = PAUSES_MS[Math.min(this.#tries++, PAUSES_MS.length - 1)]) {
    this.#drop();
    if (!this.#open) return;
    this.#say("state", { state: "reconnecting" });
    this.#later(ms, () => this.#connect());
  }

  async #connect() {
    this.#drop();
    const turn = this.#turn;
    const peer = this.#peer = new RTCPeerConnection({ iceServers: this.#ice, bundlePolicy: "max-bundle" });
    const way = peer.addTransceiver(this.#stream.getAudioTracks()[0], { direction: "sendrecv", streams: [this.#stream] });
    const plain = RTCRtpReceiver.getCapabilities("audio").codecs.filter((one) => one.mimeType === "audio/PCMU");
    way.setCodecPreferences?.(plain);
    peer.addEventListener("track", (event) => this.#say("sound", new MediaStream([event.track])));
    peer.addEventListener("connectionstatechange", () => this.#became(peer));
    try {
      await peer.setLocalDescription();
      const answer = await this.#post("/phone/sessions", peer.localDescription.sdp);
      if (turn !== this.#turn) return;
      if (answer.status === 401) return this.#over("signed-out");
      if (!answer.ok) throw new Error(await why(answer));
      const { session, answer: description } = await answer.json();
      if (turn !== this.#turn) return;
      this.session = session;
      await peer.setRemoteDescription({ type: "answer", sdp: description });
      this.#follow();
      this.#later(CONNECT_MS, () => { if (peer.connectionState !== "connected") this.#again(); });
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#say("problem", error instanceof TypeError || error.name === "TimeoutError" ? "The server cannot be reached." : error.message);
      this.#again();
    }
  }

  #became(peer) {
    if (peer !== this.#peer) return;
    if (peer.connectionState === "connected") {
      this.#tries = 0;
      this.#say("problem", "");
    } else if (peer.connectionState === "failed" || peer.connectionState === "closed") this.#again();
    else if (peer.connectionState === "disconnected") {
      this.#later(LOST_MS, () => { if (peer === this.#peer && peer.connectionState !== "connected") this.#again(); });
    }
  }

  // What the node says of this session: by a stream, and by asking while there is none.
  #follow() {
    const url = `/phone/sessions/${this.session}`, turn = this.#turn;
    const events = this.#events = new EventSource(`${url}/stream`);
    events.addEventListener("message", (event) => this.#told(JSON.parse(event.data)));
    events.addEventListener("signed-out", () => this.#over("signed-out"));
    const poll = async () => {
      const answer = events.readyState === EventSource.OPEN ? null : await fetch(url).catch(() => null);
      if (turn !== this.#turn) return;
      if (answer?.status === 401) return this.#over("signed-out");
      if (answer?.status === 404) return this.#again();
      if (answer?.ok) this.#told(await answer.json());
      this.#later(POLL_MS, poll);
    };
    const beat = async () => {
      const answer = await this.#post(`${url}/beat`).catch(() => null);
      if (turn !== this.#turn) return;
      if (answer?.status === 401) return this.#over("signed-out");
      if (answer?.status === 404) return this.#again();
      this.#later(this.#beatMs, beat);
    };
    this.#later(POLL_MS, poll);
    this.#later(this.#beatMs, beat);
  }

  #told(shown) {
    if (shown.state === "replaced") return this.#over("replaced");
    if (shown.state === "ended") return this.#again();
    this.#say("state", shown);
  }

  #over(state) {
    this.#open = false;
    this.#drop();
    this.#say("state", { state });
  }
}
