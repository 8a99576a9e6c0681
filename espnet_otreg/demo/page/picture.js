// One stretch of a recording over time: its wave, its words, and where the model has one its
// transport plan, a row for each token. A click plays from there.

const WAVE = 64, TIER = 30, AXIS = 26, ROW = 16, NARROW_ROW = 12, MASS = 54, GAP = 6;
const PER_SECOND = 48; // pixels, at least: longer stretches scroll

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

const hex = (text) => [1, 3, 5].map((at) => parseInt(text.trim().slice(at, at + 2), 16));

/** Returns 256 colours between the given ones. */
function scale(stops) {
  const parts = stops.map(hex);
  return Array.from({ length: 256 }, (_, value) => {
    const place = (value / 255) * (parts.length - 1);
    const low = Math.min(Math.floor(place), parts.length - 2);
    return parts[low].map((from, i) => from + (parts[low + 1][i] - from) * (place - low));
  });
}

/** Cuts an answer into views, one for each plan, and windows of 20 s where there is none. */
export function views(answer) {
  const found = [];
  const wave = bytes(answer.wave.bytes);
  const window = (start, end, plan = null) => {
    const words = answer.words.map((word, index) => ({ ...word, index }))
      .filter((word) => word.end > start && word.start < end);
    found.push({ start, end, plan, words, wave, rate: answer.wave.rate });
  };
  const plain = (start, end) => {
    const count = Math.max(1, Math.ceil((end - start) / 20));
    for (let i = 0; i < count; i += 1) {
      window(start + ((end - start) * i) / count, start + ((end - start) * (i + 1)) / count);
    }
  };
  let at = 0;
  answer.plans.forEach((plan, i) => {
    if (plan.start - at > 1) plain(at, plan.start);
    const own = plan.start + plan.frames * plan.hop;
    const next = answer.plans[i + 1]?.start ?? answer.duration;
    const end = next - own < 1 ? next : own;
    window(plan.start - at > 1 ? plan.start : at, end, { ...plan, bytes: bytes(plan.bytes) });
    at = end;
  });
  if (!found.length || answer.duration - at > 0.01) plain(at, answer.duration);
  return found;
}

export class Picture {
  constructor(canvas, { seek, hover }) {
    this.canvas = canvas;
    this.hover = hover;
    this.still = document.createElement("canvas");
    const redraw = () => this.view && this.show(this.view);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 1) return;
      width = entry.contentRect.width;
      redraw();
    }).observe(canvas.parentElement);
    canvas.addEventListener("click", (event) => seek(this.second(event)));
    canvas.addEventListener("mousemove", (event) => hover(this.at(event)));
    canvas.addEventListener("mouseleave", () => hover(null));
  }

  /** Draws a view anew. */
  show(view) {
    this.view = view;
    const style = getComputedStyle(this.canvas);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.font = style.fontFamily;
    const { plan } = view;
    const brush = this.still.getContext("2d");
    this.row = plan && plan.labels.length > 48 ? NARROW_ROW : ROW;
    brush.font = `12px ${this.font}`;
    const widths = plan ? plan.labels.map((label) => brush.measureText(label).width) : [];
    this.left = plan ? Math.min(110, Math.max(24, ...widths)) + 10 : 1;
    this.right = plan ? MASS : 1;
    this.top = WAVE + TIER + GAP;
    const seconds = view.end - view.start;
    this.width = Math.max(this.canvas.parentElement.clientWidth, this.left + this.right + seconds * PER_SECOND);
    this.bottom = this.top + (plan ? plan.labels.length * this.row : 0);
    this.height = this.bottom + AXIS;
    this.scale = (this.width - this.left - this.right) / seconds;
    this.ratio = Math.min(window.devicePixelRatio || 1, 16000 / this.width);
    for (const canvas of [this.canvas, this.still]) {
      canvas.width = Math.round(this.width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
    }
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    brush.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.drawWave(brush);
    if (plan) this.drawPlan(brush);
    this.drawWords(brush);
    this.drawAxis(brush);
    this.playhead(this.second_played ?? -1);
  }

  x(second) { return this.left + (second - this.view.start) * this.scale; }

  drawWave(brush) {
    const { start, end, wave, rate } = this.view;
    brush.fillStyle = this.colour("wave");
    const first = Math.floor(start * rate), last = Math.min(Math.ceil(end * rate), wave.length / 2);
    let most = 8; // of 128, so that noise does not look like speech
    for (let i = first; i < last; i += 1) {
      most = Math.max(most, 128 - wave[2 * i], wave[2 * i + 1] - 128);
    }
    const middle = WAVE / 2, high = (WAVE / 2 - 2) / most;
    for (let i = first; i < last; i += 1) {
      const top = middle - (wave[2 * i + 1] - 128) * high, low = middle - (wave[2 * i] - 128) * high;
      brush.fillRect(this.x(i / rate), top, Math.max(this.scale / rate - 0.3, 0.6), Math.max(low - top, 1));
    }
  }

  drawWords(brush) {
    brush.font = `13px ${this.font}`;
    brush.textBaseline = "middle";
    brush.textAlign = "center";
    for (const word of this.view.words) {
      const left = Math.max(this.x(word.start), this.left);
      const right = Math.min(this.x(word.end), this.width - this.right);
      if (right <= left) continue;
      brush.globalAlpha = 0.1 + 0.25 * (word.confidence ?? 0.2);
      brush.fillStyle = this.colour("accent");
      brush.fillRect(left + 0.5, WAVE + 3, right - left - 1, TIER - 6);
      brush.globalAlpha = 1;
      const room = right - left - 4;
      let text = word.word;
      while (text.length > 1 && brush.measureText(text).width > room) text = `${text.replace(/…$/, "").slice(0, -1)}…`;
      brush.fillStyle = this.colour("ink");
      if (text !== "…" && brush.measureText(text).width <= room + 3) brush.fillText(text, (left + right) / 2, WAVE + TIER / 2 + 0.5);
    }
  }

  drawPlan(brush) {
    const { plan } = this.view;
    const rows = plan.labels.length, heaviest = Math.max(...plan.mass, 1e-9);
    const most = Math.max(1, plan.bytes.reduce((high, share) => Math.max(high, share), 0));
    this.highest = most / 255;
    const colours = scale([0, 1, 2, 3].map((number) => this.colour(`plan-${number}`)));
    const small = new OffscreenCanvas(Math.max(plan.frames, 1), rows);
    const pixels = new ImageData(Math.max(plan.frames, 1), rows);
    plan.bytes.forEach((share, i) => {
      const place = 4 * ((i % rows) * plan.frames + Math.floor(i / rows));
      pixels.data.set([...colours[Math.round((255 * share) / most)], 255], place);
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    brush.imageSmoothingEnabled = false;
    const from = this.x(plan.start), wide = plan.frames * plan.hop * this.scale;
    brush.fillStyle = this.colour("plan-0");
    brush.fillRect(this.left, this.top, this.width - this.left - this.right, rows * this.row);
    brush.save();
    brush.beginPath();
    brush.rect(this.left, this.top, this.width - this.left - this.right, rows * this.row);
    brush.clip();
    brush.drawImage(small, from, this.top, wide, rows * this.row);
    brush.strokeStyle = this.colour("mark");
    brush.lineWidth = 1.25;
    plan.rows.forEach((own, index) => {
      const word = this.view.words.find((each) => each.index === plan.first + index);
      if (word?.confidence == null) return; // its times are no model's
      for (const row of own) {
        brush.strokeRect(this.x(word.start) + 0.5, this.top + row * this.row + 0.5, (word.end - word.start) * this.scale - 1, this.row - 1);
      }
    });
    brush.restore();
    brush.strokeStyle = this.colour("line");
    brush.lineWidth = 1;
    brush.strokeRect(this.left - 0.5, this.top - 0.5, this.width - this.left - this.right + 1, rows * this.row + 1);
    brush.textBaseline = "middle";
    plan.labels.forEach((label, row) => {
      const middle = this.top + (row + 0.5) * this.row, silent = row === rows - 1;
      brush.font = `${silent ? "italic " : ""}${this.row > 12 ? 12 : 10}px ${this.font}`;
      brush.fillStyle = this.colour(silent ? "soft" : "ink");
      brush.textAlign = "right";
      brush.fillText(label, this.left - 6, middle + 0.5, this.left - 6);
      brush.fillStyle = this.colour("wave");
      const bar = (plan.mass[row] / heaviest) * (MASS - 10);
      brush.fillRect(this.width - MASS + 6, middle - this.row * 0.32, bar, this.row * 0.64);
    });
    brush.fillStyle = this.colour("soft");
    brush.textAlign = "left";
    brush.font = `11px ${this.font}`;
    brush.fillText("mass", this.width - MASS + 6, this.bottom + AXIS / 2 + 2);
  }

  drawAxis(brush) {
    const { start, end } = this.view;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((each) => each * this.scale >= 56) ?? 20;
    brush.font = `11px ${this.font}`;
    brush.textBaseline = "middle";
    brush.textAlign = "center";
    for (let tick = Math.ceil(start / step - 1e-6); tick * step <= end + 1e-6; tick += 1) {
      const x = this.x(tick * step), last = (tick + 1) * step > end;
      brush.fillStyle = this.colour("line");
      brush.fillRect(x, this.bottom + 1, 1, 5);
      brush.fillStyle = this.colour("soft");
      const text = (tick * step).toFixed(step < 1 ? 1 : 0) + (last ? " s" : "");
      brush.fillText(text, Math.min(Math.max(x, 12), this.width - 14), this.bottom + AXIS / 2 + 2);
    }
  }

  /** Moves the line of what is heard now. */
  playhead(second) {
    this.second_played = second;
    if (!this.view) return;
    const brush = this.canvas.getContext("2d");
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    brush.drawImage(this.still, 0, 0);
    if (second < this.view.start || second > this.view.end) return;
    brush.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    brush.fillStyle = this.colour("mark");
    brush.fillRect(this.x(second) - 0.75, 0, 1.5, this.bottom);
  }

  second(event) {
    const { start, end } = this.view;
    const seconds = start + (event.offsetX - this.left) / this.scale;
    return Math.min(Math.max(seconds, start), end - 0.01);
  }

  /** Tells what lies under the pointer. */
  at(event) {
    const second = this.second(event), { plan, words } = this.view;
    const row = Math.floor((event.offsetY - this.top) / this.row);
    const word = words.find((each) => each.start <= second && second < each.end);
    const frame = plan ? Math.floor((second - plan.start) / plan.hop) : -1;
    const inside = plan && row >= 0 && row < plan.labels.length && frame >= 0 && frame < plan.frames;
    const share = inside ? plan.bytes[frame * plan.labels.length + row] / 255 : null;
    return { second, word, label: inside ? plan.labels[row] : null, share };
  }
}
