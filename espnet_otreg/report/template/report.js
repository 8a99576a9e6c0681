"use strict";
(() => {
  const PAGE = 25; // utterances drawn at a time
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  // Tables: a click on a header sorts, numbers by value; what is no number goes last.
  const value = (cell) => {
    const text = cell.textContent.trim().replaceAll("−", "-").replaceAll(",", "");
    const number = text.match(/^[<+]?\s*(-?\d+(?:\.\d+)?)/);
    return number ? Number(number[1]) : text === "–" ? Infinity : text.toLowerCase();
  };
  const compared = (a, b) =>
    typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = make("button", { type: "button" }, ...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const up = header.getAttribute("aria-sort") !== "ascending";
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        const sign = up ? 1 : -1;
        rows.sort((a, b) => sign * compared(value(a.cells[column]), value(b.cells[column])));
        table.tBodies[0].append(...rows);
      });
    });
  }

  // The browser of utterances
  const data = JSON.parse($("data").textContent);
  const systems = data.systems;
  const pictured = new Set(data.pictured);
  const heard = new Set(data.audio);
  const tight = new Set(data.tight); // languages that put no spaces between words
  const joint = (language) => (tight.has(language) ? "" : " ");
  const seedOf = (group, seed) => group[Math.min(seed, group.length - 1)];
  const chosen = (id) => Number($(id).value);
  const percent = (share) => (100 * share).toFixed(1) + " %";

  const fill = (id, options) => $(id).replaceChildren(
    ...options.map(([name, text]) => make("option", { value: name, textContent: text })));
  fill("by-set", [["-1", "all"], ...data.sets.map((set, i) => [i, set.name])]);
  fill("by-language", [["", "all"], ...[...new Set(data.utterances.map((u) => u.l))].sort()
    .map((language) => [language, language])]);
  fill("by-system", systems.map((system, i) => [i, system.name]));
  $("by-system").value = String(systems.length > 1 ? 1 : 0);
  const seeds = Math.max(...systems.map((system) => system.seeds));
  fill("by-seed", Array.from({ length: seeds }, (_, i) => [i, String(i + 1)]));
  $("seed-choice").hidden = seeds === 1;

  const FILTERS = {
    all: ["all utterances", () => true],
    wrong: ["with an error", (h) => h.e > 0],
    right: ["without an error", (h) => h.e === 0],
    better: [`better than ${systems[0].name}`, (h, base) => h.e < base.e],
    worse: [`worse than ${systems[0].name}`, (h, base) => h.e > base.e],
    substitutions: ["with substitutions", (h) => h.c[0] > 0],
    deletions: ["with deletions", (h) => h.c[1] > 0],
    insertions: ["with insertions", (h) => h.c[2] > 0],
  };
  data.modes.forEach((mode) => { FILTERS[mode] = [`failure: ${mode}`, (h) => h.m.includes(mode)]; });
  if (pictured.size) FILTERS.picture = ["with a picture", (h, base, u) => pictured.has(u.k)];
  fill("by-error", Object.entries(FILTERS).map(([name, [text]]) => [name, text]));

  const rate = (h, u) => h.e / Math.max(u.n, 1);
  const ORDERS = {
    given: ["as given", null],
    worst: ["worst first", (h, base, u) => -rate(h, u)],
    errors: ["most errors first", (h) => -h.e],
    gained: [`gained most over ${systems[0].name}`, (h, base) => h.e - base.e],
    lost: [`lost most to ${systems[0].name}`, (h, base) => base.e - h.e],
    longest: ["longest first", (h, base, u) => -u.n],
  };
  fill("by-order", Object.entries(ORDERS).map(([name, [text]]) => [name, text]));

  const marked = (pieces, language) => {
    const out = [];
    for (const [kind, said, written] of pieces) {
      if (out.length) out.push(joint(language));
      if (kind === "=") out.push(written);
      else if (kind === "d") out.push(make("del", { textContent: said }));
      else if (kind === "i") out.push(make("ins", { textContent: written }));
      else out.push(make("span", { className: "sub" },
        make("del", { textContent: said }), make("ins", { textContent: written })));
    }
    return out;
  };

  const play = (u, button) => {
    const stored = document.querySelector(`script[data-audio="${CSS.escape(u.k)}"]`);
    if (!stored) { button.textContent = "still loading, try again"; return; }
    const bytes = Uint8Array.from(atob(stored.textContent), (c) => c.charCodeAt(0));
    const address = URL.createObjectURL(new Blob([bytes], { type: "audio/mpeg" }));
    const player = make("audio", { controls: true, src: address });
    button.replaceWith(player);
    player.play();
  };

  // of the baseline and of the system chosen above: more would be a wall
  const pictures = (u) => {
    const box = make("div", { className: "pictures" });
    const wanted = [systems[0].name, systems[chosen("by-system")].name];
    for (const stored of document.querySelectorAll(`script[data-picture="${CSS.escape(u.k)}"]`)) {
      const { system, kind } = stored.dataset;
      if (!wanted.includes(system)) continue;
      const image = make("img", { src: stored.textContent, alt: `${kind} of ${system}` });
      box.append(make("figure", {}, image, make("figcaption", { textContent: `${system}: ${kind}` })));
    }
    return box;
  };

  const card = (u, seed) => {
    const about = make("div", { className: "about" },
      make("code", { textContent: u.i }),
      make("span", { textContent: `${data.sets[u.s].name} · ${u.l}` }));
    if (u.p !== u.i) {
      about.append(make("span", { className: "speaker", title: u.p, textContent: `speaker ${u.p}` }));
    }
    if (heard.has(u.k)) {
      const button = make("button", { type: "button", className: "play", textContent: "▶ play" });
      button.addEventListener("click", () => play(u, button));
      about.append(button);
    }
    const rows = make("div", { className: "rows" },
      make("span", { className: "who", textContent: "reference" }), make("span", { className: "rate" }),
      make("span", { className: "said", lang: u.l, dir: "auto", textContent: u.r || "(nothing)" }));
    systems.forEach((system, i) => {
      const h = seedOf(u.h[i], seed);
      const said = make("span", { className: "said", lang: u.l, dir: "auto" }, ...marked(h.t, u.l));
      h.m.forEach((mode) => said.append(make("span", { className: "mode", textContent: mode })));
      rows.append(make("span", { className: "who", textContent: system.name }),
        make("span", { className: "rate", textContent: `${h.e} of ${u.n}` }), said);
    });
    const article = make("article", { className: "utterance" }, about, rows);
    if (pictured.has(u.k)) {
      const button = make("button", { type: "button", className: "show", textContent: "show alignment" });
      button.addEventListener("click", () => button.replaceWith(pictures(u)));
      article.append(button);
    }
    return article;
  };

  let found = [];
  let drawn = 0;
  const drawMore = () => {
    const next = found.slice(drawn, drawn + PAGE);
    $("list").append(...next.map((u) => card(u, chosen("by-seed"))));
    drawn += next.length;
    $("more").hidden = drawn >= found.length;
  };
  const update = () => {
    const [set, system, seed] = ["by-set", "by-system", "by-seed"].map(chosen);
    const language = $("by-language").value;
    const words = $("by-text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const keep = FILTERS[$("by-error").value][1];
    const key = ORDERS[$("by-order").value][1];
    const of = (u, i) => seedOf(u.h[i], seed);
    const written = (u, i) => of(u, i).t.map((piece) => piece[2]).join(joint(u.l));
    const text = (u) => [u.i, u.p, u.r, ...systems.map((_, i) => written(u, i))]
      .join(" ").toLowerCase();
    found = data.utterances.filter((u) => (set < 0 || u.s === set) && (!language || u.l === language)
      && keep(of(u, system), of(u, 0), u) && (!words.length || words.every((w) => text(u).includes(w))));
    if (key) {
      const keys = new Map(found.map((u) => [u, key(of(u, system), of(u, 0), u)]));
      found.sort((a, b) => keys.get(a) - keys.get(b));
    }
    const length = found.reduce((sum, u) => sum + u.n, 0);
    const rates = systems.map((other, i) =>
      `${other.name} ${percent(found.reduce((sum, u) => sum + of(u, i).e, 0) / length)}`);
    $("summary").textContent = `${found.length} of ${data.utterances.length} utterances`
      + (length ? `; error rate among them: ${rates.join(", ")}` : "");
    $("list").replaceChildren();
    drawn = 0;
    drawMore();
  };
  $("filters").addEventListener("input", update);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", drawMore);
  window.addEventListener("beforeprint", () => document.querySelectorAll("img[loading]")
    .forEach((image) => { image.loading = "eager"; }));
  update();
})();
