// Two exchanges side by side: the same scale for their time, what differs in how they were asked, where the answers part.

import { words } from "./api.js";
import { fill, h, say } from "./dom.js";
import { textsOf } from "./exchange.js";
import { count, ms, rate } from "./format.js";
import { bar, PARTS } from "./spent.js";
import { Timeline } from "./timeline.js";

const SHOWN = 3000; // characters of an answer that are shown

/** @type {[string, (entry: any) => string][]} */
const FACTS = [
  ["status", (entry) => String(entry.status ?? "none")],
  ["ending", (entry) => entry.ending],
  ["finished", (entry) => entry.finish_reason ?? "\u2013"],
  ["error", (entry) => entry.error_code ?? "\u2013"],
  ["surface", (entry) => entry.surface],
  ["model", (entry) => entry.deployment ?? "\u2013"],
  ["scope", (entry) => entry.scope || "\u2013"],
  ["stream", (entry) => (entry.streamed ? "yes" : "no")],
  ["sampling", (entry) => Object.entries(entry.sampling).map(([name, value]) => `${name} ${value}`).join(", ") || "\u2013"],
  ["fault", (entry) => (entry.fault === null ? "\u2013" : JSON.stringify(entry.fault))],
  ["prompt tokens", (entry) => count(entry.usage?.prompt)],
  ["cached tokens", (entry) => count(entry.usage?.cached)],
  ["answer tokens", (entry) => count(entry.usage?.completion)],
  ["rate", (entry) => (entry.usage === null ? "\u2013" : rate(entry.usage.completion - 1, entry.spent.decode_ms))],
  ...PARTS.map((name) => /** @type {[string, (entry: any) => string]} */ ([name, (/** @type {any} */ entry) => ms(entry.spent[`${name}_ms`] ?? 0)])),
  ["whole", (entry) => ms(entry.spent.total_ms)],
];

export class CompareView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.title = h("h2", { tabindex: "-1" }, "Compare");
    this.status = h("p", { class: "note", role: "status" });
    this.lines = [new Timeline(), new Timeline()];
    this.body = h("div", { hidden: true });
    this.element = h("div", { class: "view" }, this.title, this.status, this.body);
    this.asked = "";
  }

  focus() {
    this.title.focus();
  }

  /** @param {string[]} ids */
  async show(ids) {
    const [first, second] = ids;
    this.asked = ids.join(" ");
    this.body.hidden = true;
    if (!first || !second) {
      say(this.status, "Mark an exchange with c, choose another one, and press c again.");
      return;
    }
    say(this.status, "Reading");
    const asked = this.asked;
    try {
      const pair = await Promise.all([first, second].map((id) => this.page.api.get(`/_emulator/journal/${encodeURIComponent(id)}`)));
      if (asked === this.asked) this.#draw(pair);
    } catch (error) {
      say(this.status, words(error));
    }
  }

  /** @param {any[]} pair */
  #draw(pair) {
    const longest = Math.max(...pair.map((entry) => entry.spent.total_ms), 1);
    const names = pair.map((entry) => (entry.number === null ? "running" : `#${entry.number}`));
    const rows = FACTS.map(([name, read]) => ({ name, values: pair.map(read) }));
    const differing = rows.filter(({ values }) => values[0] !== values[1]).length;
    say(this.status, `${differing} of ${rows.length} lines differ.`);
    pair.forEach((entry, index) => {
      this.lines[index].clear();
      this.lines[index].scale = longest;
      this.lines[index].show(entry.tokens ?? [], entry.spent);
    });
    fill(
      this.body,
      h(
        "table",
        { class: "compared" },
        h("caption", { class: "unseen" }, "Two exchanges, line by line"),
        h("thead", {}, h("tr", {}, h("td", {}), pair.map((entry, index) => h("th", { scope: "col" }, h("a", { href: `#/exchanges/${encodeURIComponent(entry.id)}` }, names[index]))))),
        h("tbody", {}, rows.map(({ name, values }) => {
          const differs = values[0] !== values[1];
          return h("tr", { class: differs ? "differs" : "" }, h("th", { scope: "row" }, name, differs ? h("span", { class: "unseen" }, " (differs)") : null), values.map((value) => h("td", {}, value)));
        })),
      ),
      h("div", { class: "pair" }, pair.map((entry, index) => h("section", { "aria-label": `Stream of ${names[index]}` }, h("h3", {}, names[index]), bar(entry.spent, { scale: entry.spent.total_ms / longest }), this.lines[index].element))),
      h("div", { class: "pair" }, ...this.#answers(pair, names)),
    );
    this.body.hidden = false;
  }

  /**
   * @param {any[]} pair
   * @param {string[]} names
   */
  #answers(pair, names) {
    if (pair.some((entry) => entry.texts === null)) return [h("p", { class: "note" }, "Texts were not kept, so the answers can't be compared.")];
    const texts = pair.map((entry) => { const said = textsOf(entry); return [said.reasoning, said.answer].filter(Boolean).join("\n\n"); });
    const same = common(texts[0], texts[1]);
    return texts.map((text, index) =>
      h(
        "section",
        { "aria-label": `Answer of ${names[index]}` },
        h("h3", {}, texts[0] === texts[1] ? "The same answer" : same === 0 ? "Another answer from the beginning" : `The same for ${count(same)} characters`),
        h("p", { class: "said", dir: "auto" }, h("span", { class: "same" }, text.slice(Math.max(0, same - SHOWN), same)), h("mark", {}, text.slice(same, same + SHOWN)), text.length > same + SHOWN ? "\u2026" : null),
      ),
    );
  }
}

/**
 * How far two texts are the same, up to the beginning of the word in which they part.
 * @param {string} one
 * @param {string} other
 */
function common(one, other) {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one[length] === other[length]) length += 1;
  if (length === one.length && length === other.length) return length;
  const word = /\S*$/.exec(one.slice(Math.max(0, length - 100), length));
  return length - (word?.[0].length ?? 0);
}
