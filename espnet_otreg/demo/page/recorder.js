"use strict";
// Runs beside the page, in the thread of the sound card: hands over what the microphone hears.
class Recorder extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
}
registerProcessor("recorder", Recorder);
