// One exchange in the list: two lines, the first of which says most.

import { h } from "./dom.js";
import { clock, count, ms } from "./format.js";
import { bar } from "./spent.js";

/** @typedef {import("./store.js").Row} Row */

/**
 * The two lines of a row.
 * @param {Row} row
 */
export function drawRow(row) {
  const status = row.status === null ? (row.ending === "running" ? "\u2026" : "none") : String(row.status);
  const tokens = row.usage === null ? "" : `${count(row.usage.completion)} tok`;
  const marks = [
    row.fault === null ? null : h("span", { class: "mark mark-fault" }, "fault"),
    row.scripted === null ? null : h("span", { class: "mark" }, "script"),
    row.scope === "" ? null : h("span", { class: "mark mark-scope" }, row.scope),
  ];
  const line = h(
    "span",
    { class: "row-line" },
    h("span", { class: `status status-${family(row)}` }, status),
    h("span", { class: "row-what" }, row.deployment || row.route || row.path),
    h("span", { class: "row-tokens" }, tokens),
    h("span", { class: "row-ms" }, ms(row.spent.total_ms)),
  );
  return [
    line,
    h(
      "span",
      { class: "row-line row-more" },
      h("span", { class: "row-number" }, row.number === null ? "now" : `#${row.number}`),
      h("span", {}, clock(row.began)),
      h("span", { class: `ending ending-${row.ending.replace(" ", "-")}` }, row.ending),
      row.error_code && row.error_code !== status ? h("span", { class: "row-code" }, row.error_code) : null,
      ...marks,
      h("span", { class: "row-bar" }, bar(row.spent)),
    ),
  ];
}

/** @param {Row} row */
export function family(row) {
  if (row.ending === "running") return "running";
  if (row.ending === "cut" || row.ending === "hung up") return "broken";
  if (row.status === null) return "none";
  return row.status >= 500 ? "bad" : row.status >= 400 ? "refused" : "good";
}
