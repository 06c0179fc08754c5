// A list of which only what is seen is in the page: thousands of rows cost no more than a dozen.

import { fill, h, oncePerFrame, setAttribute } from "./dom.js";

const BEYOND = 6; // rows kept above and below what is seen

/** @typedef {import("./store.js").Row} Row */

/** A box in which one row is chosen by keys or by a click; what it chooses is told by `onChoose`. */
export class VirtualList {
  /**
   * @param {{ label: string, draw: (row: Row) => Node[], onChoose: (row: Row) => void, onOpen: (row: Row) => void }} options
   */
  constructor({ label, draw, onChoose, onOpen }) {
    this.draw = draw;
    this.onChoose = onChoose;
    this.onOpen = onOpen;
    /** @type {Row[]} */
    this.rows = [];
    /** The row that is chosen, by its id. */
    this.chosen = "";
    this.space = h("div", { class: "list-space", role: "presentation" });
    this.element = h(
      "div",
      {
        class: "list",
        role: "listbox",
        tabindex: "0",
        "aria-label": label,
        on: {
          scroll: () => this.later(),
          keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
          click: (/** @type {MouseEvent} */ event) => this.#click(event),
        },
      },
      this.space,
    );
    /** @type {Map<string, { element: HTMLElement, row: Row }>} what is in the page */
    this.drawn = new Map();
    this.later = oncePerFrame(() => this.#render());
    new ResizeObserver(() => this.later()).observe(this.element);
  }

  /**
   * Show these rows. What somebody reads further down stays where it is when rows come in above.
   * @param {Row[]} rows
   */
  show(rows) {
    const top = this.element.scrollTop;
    const height = this.#height();
    const anchor = top > height ? this.rows[Math.floor(top / height)] : undefined;
    const before = anchor === undefined ? 0 : Math.floor(top / height);
    this.rows = rows;
    this.#size(height);
    if (anchor !== undefined) {
      const now = rows.findIndex((row) => row.id === anchor.id);
      if (now >= 0 && now !== before) this.element.scrollTop = top + (now - before) * height;
    }
    this.later();
  }

  /**
   * Choose a row by its id, without telling it.
   * @param {string} id
   */
  choose(id) {
    this.chosen = id;
    this.later();
  }

  /**
   * Go on by some rows and tell it.
   * @param {number} by
   */
  move(by) {
    if (this.rows.length === 0) return;
    const now = this.rows.findIndex((row) => row.id === this.chosen);
    const next = now < 0 ? 0 : Math.max(0, Math.min(this.rows.length - 1, now + by));
    this.chosen = this.rows[next].id;
    this.#reveal(next);
    this.#render();
    this.onChoose(this.rows[next]);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#height()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const by = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (by !== undefined) this.move(Number.isFinite(by) ? by : by > 0 ? this.rows.length : -this.rows.length);
    else if (event.key === "Enter" || event.key === " ") this.#open();
    else return;
    event.preventDefault();
  }

  #open() {
    const row = this.rows.find((one) => one.id === this.chosen);
    if (row !== undefined) this.onOpen(row);
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const option = /** @type {Element} */ (event.target).closest("[data-id]");
    const id = option?.getAttribute("data-id");
    const row = this.rows.find((one) => one.id === id);
    if (row === undefined) return;
    this.chosen = row.id;
    this.#render();
    this.onOpen(row);
  }

  /** @param {number} index */
  #reveal(index) {
    const height = this.#height();
    const { scrollTop, clientHeight } = this.element;
    if (index * height < scrollTop) this.element.scrollTop = index * height;
    else if ((index + 1) * height > scrollTop + clientHeight) this.element.scrollTop = (index + 1) * height - clientHeight;
  }

  #height() {
    const size = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    return Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) * size || 56;
  }

  /** @param {number} height */
  #size(height) {
    this.space.style.setProperty("height", `${this.rows.length * height}px`);
  }

  #render() {
    const height = this.#height();
    this.#size(height);
    const first = Math.max(0, Math.floor(this.element.scrollTop / height) - BEYOND);
    const last = Math.min(this.rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / height) + BEYOND);
    const wanted = new Map(this.rows.slice(first, last).map((row, index) => [row.id, { row, index: first + index }]));
    for (const [id, { element }] of this.drawn) {
      if (!wanted.has(id)) {
        element.remove();
        this.drawn.delete(id);
      }
    }
    for (const [id, { row, index }] of wanted) this.#put(id, row, index, height);
    const shown = this.drawn.get(this.chosen);
    setAttribute(this.element, "aria-activedescendant", shown?.element.id ?? null);
  }

  /**
   * @param {string} id
   * @param {Row} row
   * @param {number} index
   * @param {number} height
   */
  #put(id, row, index, height) {
    let known = this.drawn.get(id);
    if (known === undefined) {
      known = { element: h("div", { class: "row", role: "option", id: `row-${id}`, "data-id": id }, this.draw(row)), row };
      this.drawn.set(id, known);
      this.space.append(known.element);
    } else if (known.row !== row) {
      known.row = row;
      fill(known.element, this.draw(row));
    }
    known.element.style.setProperty("transform", `translateY(${index * height}px)`);
    setAttribute(known.element, "aria-selected", String(id === this.chosen));
    setAttribute(known.element, "aria-posinset", index + 1);
    setAttribute(known.element, "aria-setsize", this.rows.length);
    setAttribute(known.element, "data-ending", row.ending);
  }
}
