// The stream of an answer as a line of time: its wait, its prefill, every token, and where a fault struck.

import { fill, h, oncePerFrame, say, setAttribute, svg } from "./dom.js";
import { count, ms, rate } from "./format.js";
import { Thoughts } from "./thoughts.js";

/** @typedef {{ ms: number, text: string | null, kind: string, events?: number }} Token */

const WIDTH = 1000;
const HEIGHT = 64;
const LONGEST = 40; // characters of a token that are shown
const AROUND = 12; // tokens shown on either side of the one that is looked at
const KINDS = ["reasoning", "content", "tool", "event", "role", "end", "error", "broken", "fault"];
const TELLING = new Set(["reasoning", "content", "tool", "event"]); // those that carry a part of the answer

export class Timeline {
  constructor() {
    /** @type {Token[]} */
    this.tokens = [];
    this.thoughts = new Thoughts();
    this.at = -1;
    this.spent = {};
    this.scale = 0;
    this.later = oncePerFrame(() => this.#render());
    this.phases = svg("g", {});
    /** @type {Record<string, SVGPathElement>} */
    this.marks = Object.fromEntries(KINDS.map((kind) => [kind, svg("path", { class: `token token-${kind}` })]));
    this.cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.line = svg(
      "svg",
      { class: "line", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.phases,
      ...KINDS.map((kind) => this.marks[kind]),
      this.cursor,
    );
    this.slider = h(
      "div",
      {
        class: "slider",
        role: "slider",
        tabindex: "0",
        "aria-label": "Time line, token by token",
        "aria-valuemin": "0",
        "aria-valuemax": "0",
        "aria-valuenow": "0",
        "aria-valuetext": "no tokens",
        on: {
          keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
          pointerdown: (/** @type {PointerEvent} */ event) => this.#point(event),
          pointermove: (/** @type {PointerEvent} */ event) => event.buttons === 1 && this.#point(event),
        },
      },
      this.line,
    );
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.readout = h("p", { class: "readout" });
    this.strip = h("p", { class: "strip", "aria-hidden": "true" });
    this.figures = h("dl", { class: "facts" });
    this.element = h("div", { class: "timeline" }, this.slider, this.axis, this.readout, this.strip, this.figures);
  }

  /** Begin again, with another exchange. */
  clear() {
    this.tokens = [];
    this.thoughts = new Thoughts();
    this.at = -1;
    this.scale = 0;
    this.spent = {};
    this.later();
  }

  /**
   * Tokens that have come.
   * @param {Token[]} tokens
   */
  add(tokens) {
    for (const token of tokens) this.tokens.push({ ...token, kind: this.thoughts.kindOf(token) });
    this.later();
  }

  /**
   * All tokens, and where the time went.
   * @param {Token[]} tokens
   * @param {any} spent
   */
  show(tokens, spent) {
    this.tokens = [];
    this.thoughts = new Thoughts();
    this.spent = spent;
    this.add(tokens);
    this.later();
  }

  /**
   * Where the time has gone so far, of an exchange whose tokens still come.
   * @param {any} spent
   */
  time(spent) {
    this.spent = spent;
    this.later();
  }

  /** How long the line is, in milliseconds; `scale` makes two lines comparable. */
  get length() {
    return Math.max(this.scale, this.spent.total_ms ?? 0, this.tokens.at(-1)?.ms ?? 0, 1);
  }

  #render() {
    const per = WIDTH / this.length;
    fill(this.phases, ...this.#phases(per));
    const paths = Object.fromEntries(KINDS.map((kind) => [kind, ""]));
    for (const token of this.tokens) {
      const x = (token.ms * per).toFixed(1);
      const kind = token.kind in paths ? token.kind : "event";
      paths[kind] += kind === "fault" ? `M${x} 0V${HEIGHT}` : TELLING.has(kind) ? `M${x} 14V52` : `M${x} 24V42`;
    }
    for (const kind of KINDS) this.marks[kind].setAttribute("d", paths[kind]);
    const steps = [0, 0.25, 0.5, 0.75, 1];
    fill(this.axis, steps.map((step) => h("span", {}, ms(this.length * step))));
    this.#figures();
    this.#look(this.at);
  }

  /**
   * @param {number} per
   * @returns {Element[]}
   */
  #phases(per) {
    // Before the queue the request was read, which is of `web`; what is left of it is at the end, with the client's part.
    const first = this.tokens.find((token) => TELLING.has(token.kind))?.ms;
    const { queue_ms = 0, prefill_ms = 0, decode_ms = 0, web_ms = 0, client_ms = 0, total_ms = 0 } = this.spent;
    const lead = first === undefined ? 0 : Math.max(0, Math.min(web_ms, first - queue_ms - prefill_ms));
    /** @type {[string, number][]} */
    const spans = [["web", lead], ["queue", queue_ms], ["prefill", prefill_ms], ["decode", decode_ms], ["web", web_ms - lead], ["client", client_ms]];
    let x = 0;
    return spans.map(([name, length]) => {
      const rect = svg("rect", { class: `phase part-${name}`, x: x * per, y: 0, width: Math.max(0, length * per), height: HEIGHT });
      x += length;
      return rect;
    }).filter((rect) => total_ms > 0 && Number(rect.getAttribute("width")) > 0);
  }

  #figures() {
    const told = this.tokens.filter((token) => TELLING.has(token.kind));
    const number = told.reduce((sum, token) => sum + (token.events ?? 1), 0);
    const gaps = told.slice(1).map((token, index) => token.ms - told[index].ms).sort((a, b) => a - b);
    const [first, last] = [told[0], told.at(-1)];
    const facts = [
      ["pieces", count(number)],
      ["first after", ms(first?.ms)],
      ["middle gap", gaps.length ? ms(gaps[Math.floor(gaps.length / 2)]) : "\u2013"],
      ["longest gap", gaps.length ? ms(gaps.at(-1)) : "\u2013"],
      ["rate", first && last ? rate(number - 1, last.ms - first.ms) : "\u2013"],
    ];
    fill(this.figures, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    setAttribute(this.slider, "aria-valuemax", Math.max(0, this.tokens.length - 1));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 20, PageDown: -20, Home: -Infinity, End: Infinity };
    const by = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#look(Math.max(0, Math.min(this.tokens.length - 1, (this.at < 0 && by > 0 ? -1 : this.at) + by)));
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const box = this.line.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * this.length;
    let [low, high] = [0, this.tokens.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tokens[middle].ms < wanted) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && wanted - this.tokens[low - 1].ms < this.tokens[low].ms - wanted) low -= 1;
    this.#look(low);
  }

  /** @param {number} at */
  #look(at) {
    this.at = Math.min(at, this.tokens.length - 1);
    const token = this.tokens[this.at];
    this.cursor.setAttribute("visibility", token === undefined ? "hidden" : "visible");
    if (token === undefined) {
      say(this.readout, this.tokens.length ? "Click into the line, or go along it with the arrow keys." : "No tokens yet.");
      this.#strip(0);
      setAttribute(this.slider, "aria-valuetext", this.tokens.length ? `${count(this.tokens.length)} pieces` : "no tokens");
      return;
    }
    const x = (token.ms * WIDTH) / this.length;
    setAttribute(this.cursor, "x1", x);
    setAttribute(this.cursor, "x2", x);
    const before = this.tokens[this.at - 1];
    const gap = before === undefined ? "" : `, ${ms(token.ms - before.ms)} after the one before`;
    const text = token.text ? ` \u201c${shortened(token.text.trim() || "\u2423")}\u201d` : "";
    const told = `${count(this.at + 1)} of ${count(this.tokens.length)}: ${token.kind}${text} at ${ms(token.ms)}${gap}`;
    fill(this.readout, told);
    setAttribute(this.slider, "aria-valuenow", this.at);
    setAttribute(this.slider, "aria-valuetext", told);
    this.#strip(Math.max(0, this.at - AROUND));
  }

  /** @param {number} from */
  #strip(from) {
    fill(
      this.strip,
      this.tokens.slice(from, from + 2 * AROUND + 1).map((one, index) =>
        h("span", { class: `chip chip-${one.kind}${from + index === this.at ? " is-here" : ""}` }, one.text ? shortened(one.text).replace(/\n/g, "\u21b5") : "\u00b7"),
      ),
    );
  }
}

/** @param {string} text */
function shortened(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}\u2026` : text;
}
