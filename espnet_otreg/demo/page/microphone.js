// From the microphone, or from whatever the browser can decode, to a WAV of 16 kHz.

const RATE = 16000;

const REASONS = {
  NotAllowedError: "The microphone was refused. Allow it for this page beside the browser’s address, and try again.",
  NotFoundError: "No microphone was found. Plug one in and try again, or choose a recording.",
  NotReadableError: "The microphone cannot be opened: perhaps another program holds it.",
};

/** Starts to record; `heard` gets the loudest sample and the seconds so far, several times a second. */
export async function record(heard) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give a microphone only to pages of this machine and of https. "
      + "Open this page as localhost, for example through an ssh tunnel, or choose a recording.");
  }
  let stream;
  try {
    // as it is: what a telephone call would take away, the model should hear
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  const context = new AudioContext();
  const parts = [];
  let count = 0;
  try {
    await context.audioWorklet.addModule("recorder.js");
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      parts.push(data);
      count += data.length;
      if (parts.length % 16 === 0) heard(Math.max(...data.map(Math.abs)), count / context.sampleRate);
    };
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    throw new Error(`The microphone cannot be used: ${error.message}`);
  }
  return {
    async stop() {
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      if (!count) throw new Error("The microphone gave no sound. Is the right one chosen, and is it on?");
      const buffer = new AudioBuffer({ length: count, sampleRate: context.sampleRate });
      let at = 0;
      for (const part of parts) {
        buffer.copyToChannel(part, 0, at);
        at += part.length;
      }
      return toWav(buffer);
    },
  };
}

/** Decodes a file by the browser, which knows kinds that the server does not, such as M4A. */
export async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, RATE);
  return toWav(await context.decodeAudioData(await file.arrayBuffer()));
}

async function toWav(buffer) {
  const length = Math.max(1, Math.round(buffer.duration * RATE));
  const context = new OfflineAudioContext(1, length, RATE); // mixes down and resamples
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  const samples = (await context.startRendering()).getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, word) => [...word].forEach((sign, i) => view.setUint8(at + i, sign.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  samples.forEach((sample, i) =>
    view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), true));
  return new Blob([view], { type: "audio/wav" });
}
