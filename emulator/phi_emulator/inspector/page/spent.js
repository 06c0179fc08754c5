// Where the time of an exchange went: a bar of its parts, and a table for whoever doesn't see it.

import { h, svg } from "./dom.js";
import { ms, percent } from "./format.js";

/** The parts in the order in which they come about, with the name by which the page calls them. */
export const PARTS = ["queue", "prefill", "decode", "web", "client"];

const MEANING = {
  queue: "waited for a place beside those that run",
  prefill: "the prompt was computed, up to the first token",
  decode: "from the first token to the last",
  web: "read and checked, prompt encoded, answer written; waits on purpose",
  client: "the client took its time to read",
};

/** @typedef {{ name: string, ms: number, share: number }} Part */

/**
 * The parts of an exchange's time.
 * @param {any} spent
 * @returns {Part[]}
 */
export function partsOf(spent) {
  const total = spent.total_ms || 1;
  return PARTS.map((name) => ({ name, ms: spent[`${name}_ms`] ?? 0, share: (spent[`${name}_ms`] ?? 0) / total }));
}

/**
 * A bar of the parts; `scale` is how much of the width the whole takes.
 * @param {any} spent
 * @param {{ scale?: number }} [options]
 */
export function bar(spent, { scale = 1 } = {}) {
  let x = 0;
  const rects = partsOf(spent)
    .filter((part) => part.share > 0)
    .map((part) => {
      const width = part.share * 100 * scale;
      const rect = svg("rect", { x, y: 0, width, height: 10, class: `part-${part.name}` });
      x += width;
      return rect;
    });
  return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...rects);
}

/**
 * Why it was slow: the emulator's sentence, the bar, and each part with its figures.
 * @param {any} entry
 */
export function whySlow(entry) {
  const parts = partsOf(entry.spent);
  const said = entry.why_slow?.text;
  const held = entry.spent.held_ms > 0 ? `${ms(entry.spent.held_ms)} of it waited on purpose` : "";
  return [
    said ? h("p", { class: "why" }, said) : null,
    bar(entry.spent),
    h(
      "table",
      { class: "figures" },
      h("caption", { class: "unseen" }, "Where the time went"),
      h("thead", {}, h("tr", {}, ...["Part", "Time", "Share"].map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        parts.map((part) =>
          h(
            "tr",
            {},
            h(
              "th",
              { scope: "row" },
              h("span", { class: `dot part-${part.name}`, "aria-hidden": "true" }),
              `${part.name} `,
              h("span", { class: "meaning" }, MEANING[/** @type {keyof typeof MEANING} */ (part.name)]),
            ),
            h("td", {}, ms(part.ms)),
            h("td", {}, percent(part.share)),
          ),
        ),
        h("tr", { class: "sum" }, h("th", { scope: "row" }, "whole ", h("span", { class: "meaning" }, held)), h("td", {}, ms(entry.spent.total_ms)), h("td", {}, "")),
      ),
    ),
  ];
}
