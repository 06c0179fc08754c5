// What was said: a text as it is, bounded, with its formulas drawn; and an answer taken apart into thoughts and the rest.

import { fill, h } from "./dom.js";
import { count, plural } from "./format.js";
import { findFormulas } from "./maths.js";

const AT_ONCE = 20_000; // characters of a text that are shown before more are asked for

/** A text that may grow while it is shown, and whose formulas are drawn once it is whole. */
export class Said {
  /** @param {import("./maths.js").Maths} maths */
  constructor(maths) {
    this.maths = maths;
    this.text = "";
    this.shown = AT_ONCE;
    this.isOver = false;
    this.live = document.createTextNode("");
    this.body = h("div", { class: "said", dir: "auto" });
    this.more = h("button", { type: "button", hidden: true, on: { click: () => this.#more() } });
    this.element = h("div", {}, this.body, this.more);
  }

  /**
   * Show a text; `isOver` says that no more comes.
   * @param {string} text
   * @param {{ isOver?: boolean }} [options]
   */
  show(text, { isOver = true } = {}) {
    if (text === this.text && isOver === this.isOver) return;
    this.text = text;
    this.isOver = isOver;
    this.#render();
  }

  #more() {
    this.shown += AT_ONCE;
    this.#render();
    this.body.setAttribute("tabindex", "-1");
    if (this.more.hidden) this.body.focus();
  }

  #render() {
    // Never between the two halves of a sign.
    const end = /[\ud800-\udbff]/.test(this.text[this.shown - 1] ?? "") ? this.shown - 1 : this.shown;
    const part = this.text.slice(0, end);
    /** @type {{ element: HTMLElement, tex: string, display: boolean }[]} */
    const places = [];
    const pieces = this.isOver ? findFormulas(part) : [{ text: part }];
    fill(
      this.body,
      pieces.map((piece) => {
        if (piece.tex === undefined) return piece.text;
        const element = h("span", { class: piece.display ? "formula is-block" : "formula" }, piece.text);
        places.push({ element, tex: piece.tex, display: piece.display ?? false });
        return element;
      }),
    );
    const left = this.text.length - end;
    this.more.hidden = left <= 0;
    if (left > 0) fill(this.more, `Show ${count(Math.min(left, AT_ONCE))} more of ${plural(this.text.length, "character")}`);
    // What can't be drawn, or can't be asked for, stays as it is written.
    if (places.length > 0) this.maths.draw(places).catch(() => undefined);
  }
}

/**
 * Thoughts and answer of a text that may begin with a block of thoughts.
 * @param {string} text
 * @returns {{ reasoning: string, answer: string }}
 */
export function apart(text) {
  const found = /^\s*<think>([^]*?)(?:<\/think>([^]*))?$/.exec(text);
  if (found === null) return { reasoning: "", answer: text };
  return { reasoning: found[1].trim(), answer: (found[2] ?? "").trim() };
}
