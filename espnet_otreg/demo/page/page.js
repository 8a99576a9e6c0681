import { decoded, record } from "./microphone.js";
import { Picture, views } from "./picture.js";

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const percent = (share) => `${Math.round(100 * share)} %`;
const LOW = 0.5; // of confidence: below, the line under a word has another colour

let state = null; // what the server says of itself
let answer = null; // the transcript that is shown
let shown = []; // its views
let current = 0;
let buttons = [];
let recording = null;
let busy = false;
let offered = false; // the model's languages, to be chosen from

const player = new Audio();
player.preload = "auto";

function say(text, note = false) {
  $("message").hidden = !text;
  $("message").textContent = text;
  $("message").classList.toggle("note", note);
}

// The model: asked for until it is there

const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

async function ask() {
  try {
    const response = await fetch("status");
    state = await response.json();
    if (!response.ok) throw new Error(state.error);
  } catch {
    state = null;
    mark("gone", "does not answer: has the program ended? Its terminal tells more.");
    return;
  }
  $("model").textContent = state.model;
  if (state.ready) {
    mark("ready", "is ready");
    offerLanguages();
  } else {
    mark("loading", "is loading …");
  }
}

function mark(kind, text) {
  $("state").dataset.state = kind;
  $("state-text").textContent = text;
}

function offerLanguages() {
  if (offered) return;
  offered = true;
  const codes = Object.entries(state.languages).sort((a, b) => a[1].localeCompare(b[1]));
  const list = $("language"), field = $("language-code");
  const any = state.needs_language ? [] : [["", "not said"]];
  list.replaceChildren(...[...any, ...codes].map(([value, text]) => make("option", { value, textContent: text })));
  list.hidden = !codes.length;
  field.hidden = codes.length > 0;
  field.required = state.needs_language;
  (codes.length ? list : field).value = state.language ?? (codes.length ? list.options[0].value : "");
  list.disabled = false;
}

const ready = (async () => {
  for (;;) {
    await ask();
    if (state?.ready) return;
    await sleep(state ? 500 : 2000);
  }
})();

// A recording goes there, and its words come back

async function transcribe(file, name) {
  if (busy) return;
  say("");
  if (state && file.size > state.megabytes * 1e6) {
    say(`${name} has ${Math.round(file.size / 1e6)} MB, and the page takes up to ${state.megabytes}: `
      + "use espnet-otreg transcribe, or give --max_megabytes.");
    return;
  }
  busy = true;
  player.pause();
  $("result").hidden = true;
  $("empty").hidden = true;
  $("work").hidden = false;
  const begun = performance.now();
  const tick = () => {
    const waits = state?.ready ? "Transcribing" : "Waiting for the model to load";
    $("work-text").textContent = `${waits}: ${name}, ${((performance.now() - begun) / 1000).toFixed(0)} s`;
  };
  tick();
  const clock = setInterval(tick, 250);
  try {
    await ready;
    let heard = file;
    let found = await send(heard, name);
    if (found.status === 415) { // no decoder there: perhaps there is one here
      heard = await decoded(file).catch(() => null);
      if (heard) found = await send(heard, name);
    }
    if (found.error) {
      say(found.error);
    } else {
      show(found, heard);
      if (heard !== file) say(`${name} was decoded by the browser, as the server does not know its kind.`, true);
    }
  } catch (error) {
    say(`The program did not answer (${error.message}): has it ended? Its terminal tells more.`);
    ask();
  } finally {
    clearInterval(clock);
    $("work").hidden = true;
    $("empty").hidden = !$("result").hidden;
    busy = false;
  }
}

async function send(file, name) {
  const language = $("language").hidden ? $("language-code").value.trim() : $("language").value;
  const query = new URLSearchParams({ name, language });
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await fetch(`transcribe?${query}`, { method: "POST", body: file, headers });
  return { status: response.status, ...(await response.json()) };
}

// The transcript

const picture = new Picture($("picture"), {
  seek: (second) => play(second),
  hover: (place) => {
    buttons.forEach((button) => button.classList.remove("under"));
    $("readout").textContent = "";
    if (!place) return;
    const parts = [`${place.second.toFixed(2)} s`];
    if (place.word) {
      parts.push(`“${place.word.word}”${place.word.confidence === null ? "" : `, confidence ${percent(place.word.confidence)}`}`);
      buttons[place.word.index].classList.add("under");
    }
    if (place.label) parts.push(`${percent(place.share)} of the frame to ${place.label}`);
    $("readout").textContent = parts.join(" · ");
  },
});

function show(found, file) {
  answer = found;
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  $("name").textContent = found.name;
  $("now").textContent = "0.0";
  $("whole").textContent = found.duration.toFixed(1);
  const spaced = found.words.map((word) => word.word).join(" ") === found.text;
  $("words").classList.toggle("tight", !spaced);
  if (found.language) $("words").lang = found.language;
  else $("words").removeAttribute("lang");
  $("words").dir = "auto";
  buttons = found.words.map(button);
  $("words").replaceChildren(...(buttons.length ? buttons : [make("span", { className: "soft", textContent: "The model heard no words." })]));
  const sure = found.words.some((word) => word.confidence !== null);
  $("key").textContent = `Click a word to hear it.${sure ? " The line under it is the model’s confidence." : ""}`;
  $("key").hidden = !buttons.length;
  $("guessed").hidden = !found.guessed;
  $("guessed").textContent = `Some times are spread evenly over the words, since ${found.guessed.replace(/\.$/, "")}.`;
  $("table").replaceChildren(...found.words.map((word) => make("tr", {},
    make("td", { textContent: word.word }),
    ...[word.start.toFixed(2), word.end.toFixed(2), word.confidence === null ? "–" : percent(word.confidence)]
      .map((text) => make("td", { className: "number", textContent: text })))));
  $("result").hidden = false;
  shown = views(found);
  picture.playhead(-1);
  turn(0);
  $("result").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function button(word) {
  const node = make("button", { type: "button", className: "word" }, word.word);
  if (word.confidence !== null) {
    const sureness = make("span", { className: word.confidence < LOW ? "sure low" : "sure" });
    sureness.style.setProperty("--sure", word.confidence);
    node.append(sureness);
  }
  const sure = word.confidence === null ? "" : `, confidence ${percent(word.confidence)}`;
  node.title = `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s${sure}`;
  node.addEventListener("click", () => play(word.start));
  return node;
}

function turn(to) {
  current = Math.min(Math.max(to, 0), shown.length - 1);
  const view = shown[current];
  $("stretches").hidden = shown.length < 2;
  $("stretch").textContent = `stretch ${current + 1} of ${shown.length}: ${view.start.toFixed(1)} to ${view.end.toFixed(1)} s`;
  $("before").disabled = current === 0;
  $("after").disabled = current === shown.length - 1;
  picture.show(view);
  const { plan } = view;
  $("picture").setAttribute("aria-label", plan
    ? "Waveform, words and transport plan over time" : "Waveform and words over time");
  $("caption").textContent = plan
    ? `Transport plan: which share of a frame goes to which token, up to ${percent(picture.highest)}; outlined are the words. ${state?.plans ?? ""}`
    : answer.plans.length ? "No words here, and so no plan." : state?.plans ?? "";
}

// Hearing it

async function play(second) {
  player.currentTime = second;
  try {
    await player.play();
  } catch (error) {
    if (error.name === "NotSupportedError") say("The browser cannot play this kind of file; the transcript is not touched by that.", true);
  }
}

function follow() {
  const now = player.currentTime;
  $("now").textContent = now.toFixed(1);
  buttons.forEach((node, i) => node.classList.toggle("now",
    now > 0 && !player.ended && answer.words[i].start <= now && now < answer.words[i].end));
  const place = shown.findIndex((view) => view.start <= now && now < view.end);
  if (place >= 0 && place !== current && !player.paused) turn(place);
  picture.playhead(player.ended ? -1 : now);
  if (player.paused) return;
  keepInView(now);
  requestAnimationFrame(follow);
}

/** Scrolls the words and the picture, not the page, to what is heard. */
function keepInView(now) {
  const box = $("words"), word = box.querySelector(".now"), scroll = $("scroll");
  if (word && box.scrollHeight > box.clientHeight) {
    const top = word.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top + word.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top;
  }
  if (scroll.scrollWidth > scroll.clientWidth) scroll.scrollLeft = picture.x(now) - scroll.clientWidth / 2;
}

for (const name of ["play", "pause", "seeked", "ended"]) {
  player.addEventListener(name, () => {
    $("play").classList.toggle("playing", !player.paused);
    $("play").ariaLabel = player.paused ? "Play" : "Pause";
    if (answer) follow();
  });
}
$("play").addEventListener("click", () => (player.paused ? play(player.ended ? 0 : player.currentTime) : player.pause()));
$("before").addEventListener("click", () => turn(current - 1));
$("after").addEventListener("click", () => turn(current + 1));
$("copy").addEventListener("click", async () => {
  await navigator.clipboard?.writeText(answer.text);
  $("copy").textContent = navigator.clipboard ? "Copied" : "Not possible here";
  setTimeout(() => { $("copy").textContent = "Copy text"; }, 1500);
});
$("save").addEventListener("click", () => {
  const { name, duration, language, text, words, guessed } = answer;
  const row = { audio_filepath: name, pred_text: text, duration, language, words, guessed };
  const href = URL.createObjectURL(new Blob([`${JSON.stringify(row)}\n`], { type: "application/json" }));
  make("a", { href, download: `${name.replace(/\.\w+$/, "")}.jsonl` }).click();
});

// Giving it: by choosing, dropping, or the microphone

$("give").addEventListener("submit", (event) => event.preventDefault());
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) transcribe(file, file.name);
  $("file").value = ""; // so that the same one can be chosen again
});
for (const name of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    const [file] = event.dataTransfer?.files ?? [];
    if (name === "drop" && file) transcribe(file, file.name);
  });
}

$("record").addEventListener("click", async () => {
  if (busy) return;
  const idle = () => {
    recording = null;
    $("record").setAttribute("aria-pressed", "false");
    $("record-text").textContent = "Record";
    $("record-time").textContent = " with the microphone";
    $("level").style.transform = "";
  };
  const stop = async () => {
    const heard = await recording;
    idle();
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
    const wav = await heard.stop();
    await transcribe(wav, `recorded ${time}.wav`);
  };
  say("");
  try {
    if (recording) return await stop();
    player.pause();
    $("record").setAttribute("aria-pressed", "true");
    $("record-text").textContent = "Stop and transcribe";
    $("record-time").textContent = " 0.0 s";
    const most = 60 * (state?.minutes ?? 60);
    recording = record((loudest, seconds) => {
      if (!recording) return;
      $("record-time").textContent = ` ${seconds.toFixed(1)} s`;
      $("level").style.transform = `scaleX(${Math.min(1, Math.sqrt(loudest))})`;
      if (seconds > most) stop().catch((error) => say(error.message));
    });
    await recording;
  } catch (error) {
    idle();
    say(error.message);
  }
});
