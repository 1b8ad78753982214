// What the telephone page makes of sound: devices, levels, the bell and the test of the microphone. No audio is kept.
const LOOK_MS = 100, TEST_DELAY_S = 2, TEST_MS = 10000, BELL_S = 2, BELL_PAUSE_MS = 4000;
const CLEAN = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

let context = null;

function sound() {
  context ??= new AudioContext();
  context.resume();
  return context;
}

export async function microphone(deviceId) {
  if (!navigator.mediaDevices) {
    throw new Error("This browser gives no microphone to pages without https. Ask your engineer for an https address.");
  }
  const wanted = deviceId ? { ...CLEAN, deviceId: { exact: deviceId } } : CLEAN;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: wanted });
  } catch (error) {
    if (error.name === "OverconstrainedError" && deviceId) return microphone("");
    const why = {
      NotAllowedError: "The microphone is not allowed here. Allow it beside the address of this page, then turn it on again.",
      NotFoundError: "No microphone was found. Plug one in, then turn it on again.",
      NotReadableError: "Another program holds the microphone. Close that one, then turn it on again.",
    };
    throw new Error(why[error.name] ?? `The microphone cannot be used (${error.name}).`);
  }
}

export async function fillDevices(selects) {
  const found = await navigator.mediaDevices?.enumerateDevices() ?? [];
  for (const [select, kind, usual] of selects) {
    const chosen = select.value || localStorage.getItem(select.id) || "";
    const devices = found.filter((one) => one.kind === kind && one.deviceId && one.deviceId !== "default");
    select.replaceChildren(new Option(usual, ""), ...devices.map((one) => new Option(one.label || "Unnamed", one.deviceId)));
    select.value = devices.some((one) => one.deviceId === chosen) ? chosen : "";
  }
}

// Shows how loud a stream is until the returned function is called.
export function watchLevel(stream, meter) {
  if (!stream?.getAudioTracks().length) return () => {};
  const source = sound().createMediaStreamSource(stream), ear = sound().createAnalyser();
  const samples = new Float32Array(ear.fftSize);
  source.connect(ear);
  const looking = setInterval(() => {
    ear.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
    meter.value = Math.min(1, Math.sqrt(power) * 3);
  }, LOOK_MS);
  return () => {
    clearInterval(looking);
    source.disconnect();
    meter.value = 0;
  };
}

export async function useSpeaker(element, deviceId) {
  if (element.setSinkId) await element.setSinkId(deviceId).catch(() => {});
}

// Plays the microphone two seconds late; returns what ends it. `ended` is called when the time is over.
export function testMicrophone(stream, ended) {
  const source = sound().createMediaStreamSource(stream);
  const delay = sound().createDelay(TEST_DELAY_S);
  delay.delayTime.value = TEST_DELAY_S;
  source.connect(delay).connect(sound().destination);
  let over = null;
  const stop = () => {
    clearTimeout(over);
    source.disconnect();
    delay.disconnect();
    ended();
  };
  over = setTimeout(stop, TEST_MS);
  return stop;
}

// Rings until the returned function is called, on the device that was chosen for it.
export function bell(deviceId) {
  const here = new AudioContext(deviceId ? { sinkId: deviceId } : {});
  here.resume();
  const ring = () => {
    const volume = here.createGain();
    volume.gain.value = 0.08;
    volume.connect(here.destination);
    for (const frequency of [440, 480]) {
      const tone = new OscillatorNode(here, { frequency });
      tone.connect(volume);
      tone.start();
      tone.stop(here.currentTime + BELL_S);
    }
  };
  ring();
  const again = setInterval(ring, BELL_PAUSE_MS);
  return () => {
    clearInterval(again);
    here.close();
  };
}
