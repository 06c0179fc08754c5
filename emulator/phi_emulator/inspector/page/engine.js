// The engine: who runs, who waits, how full its cache is, and how fast it steps.

import { words } from "./api.js";
import { fill, h, say, svg } from "./dom.js";
import { count, plural } from "./format.js";

const KEPT = 120; // points of a curve, about one a second

export class EngineView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.title = h("h2", { tabindex: "-1" }, "Engine");
    this.status = h("p", { class: "note", role: "status" });
    this.figures = h("dl", { class: "big-figures" });
    this.cache = h("div", { class: "cache" });
    this.steps = h("div", { class: "curve" });
    this.running = h("div", { class: "table-box" });
    /** @type {{ steps: number, tokens: number }[]} */
    this.points = [];
    this.element = h(
      "div",
      { class: "view" },
      this.title,
      this.status,
      this.figures,
      h("div", { class: "cards" }, h("section", { class: "card", "aria-label": "Cache" }, h("h3", {}, "Cache"), this.cache), h("section", { class: "card", "aria-label": "Tokens a second" }, h("h3", {}, "Tokens a second"), this.steps)),
      h("section", { "aria-label": "Who runs" }, h("h3", {}, "Who runs"), this.running),
    );
    page.feed.addEventListener("engine", () => this.#take(page.feed.engine));
  }

  focus() {
    this.title.focus();
  }

  async show() {
    try {
      this.#draw(this.page.feed.engine ?? (await this.page.api.get("/_emulator/engine")));
    } catch (error) {
      say(this.status, words(error));
    }
  }

  /** @param {any} told */
  #take(told) {
    this.points.push({ steps: told.steps_a_second ?? 0, tokens: told.tokens_a_second ?? 0 });
    if (this.points.length > KEPT) this.points.shift();
    if (this.element.isConnected) this.#draw(told);
  }

  /** @param {any} told */
  #draw(told) {
    const cache = told.cache.total > 0 ? told.cache : null;
    say(this.status, told.state === "ready" ? "" : told.state === "reloading" ? "The engine is loaded again." : "The engine broke down.");
    const figures = [
      ["running", `${count(told.running.length)} of ${count(told.max_running)}`],
      ["waiting", count(told.waiting.length)],
      ["steps/s", (told.steps_a_second ?? 0).toFixed(1)],
      ["tokens/s", (told.tokens_a_second ?? 0).toFixed(1)],
    ];
    fill(this.figures, figures.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    fill(this.cache, cache === null ? h("p", { class: "note" }, "This engine has no blocks to share.") : cacheOf(cache));
    fill(this.steps, curve(this.points.map((point) => point.tokens)));
    fill(this.running, runningOf([...told.running, ...told.waiting]));
  }
}

/** @param {{ in_use: number, shared: number, total: number, block_tokens: number }} cache */
function cacheOf({ in_use: used, shared, total, block_tokens: size }) {
  const most = Math.max(total, 1);
  return [
    svg(
      "svg",
      { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { x: 0, y: 0, width: 100, height: 10, class: "part-free" }),
      svg("rect", { x: 0, y: 0, width: (used / most) * 100, height: 10, class: "part-decode" }),
      svg("rect", { x: 0, y: 0, width: (Math.min(shared, used) / most) * 100, height: 10, class: "part-prefill" }),
    ),
    h("p", { class: "note" }, `Blocks of ${plural(size, "token")}. Shared ones hold a beginning that several prompts have.`),
    h(
      "dl",
      { class: "facts" },
      [["in use", used], ["shared", shared], ["of", total]].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, `${count(/** @type {number} */ (value))} blocks`))),
    ),
  ];
}

/** @param {number[]} values */
function curve(values) {
  const most = Math.max(...values, 1);
  const points = values.map((value, index) => `${(index * 300) / (KEPT - 1)},${60 - (value / most) * 56}`).join(" ");
  return [
    svg("svg", { class: "curve-line", viewBox: "0 0 300 62", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("polyline", { points })),
    h("p", { class: "note" }, values.length === 0 ? "Nothing was told yet." : `Now ${(values.at(-1) ?? 0).toFixed(1)}; at most ${most.toFixed(1)} in the last ${KEPT} seconds.`),
  ];
}

/** @param {any[]} running */
function runningOf(running) {
  if (running.length === 0) return h("p", { class: "empty" }, "Nobody runs, and nobody waits.");
  return h(
    "table",
    { class: "figures" },
    h("caption", { class: "unseen" }, "Who runs"),
    h("thead", {}, h("tr", {}, ["Exchange", "State", "Prompt", "Tokens so far", "Blocks"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, running.map((one) => h("tr", {}, h("th", { scope: "row" }, one.id === null ? "not in the journal" : h("a", { href: `#/exchanges/${encodeURIComponent(one.id)}` }, one.id.slice(0, 8))), h("td", {}, one.admitted ? "runs" : "waits"), h("td", {}, count(one.prompt_tokens)), h("td", {}, `${count(one.completion_tokens)} of ${count(one.max_tokens)}`), h("td", {}, `${count(one.blocks)}, ${count(one.shared)} shared`)))),
  );
}
