// The view of all exchanges: search and filter, the list, and beside it the one that is chosen.

import { h, say } from "./dom.js";
import { ExchangeView } from "./exchange.js";
import { count, plural } from "./format.js";
import { VirtualList } from "./list.js";
import { NAMES, readQuery } from "./query.js";
import { drawRow } from "./row.js";

/** @typedef {import("./store.js").Row} Row */

const ENDINGS = ["running", "answered", "refused", "cut", "hung up"];
const CHANGE = 100; // ms between two looks at what has come in

export class ExchangesView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.search = h("input", {
      id: "search",
      type: "search",
      placeholder: "Search: status:429 is:fault",
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "query-said",
      "aria-keyshortcuts": "/",
      on: { input: () => this.#filter(), keydown: (/** @type {KeyboardEvent} */ event) => this.#searchKey(event) },
    });
    this.ending = h(
      "select",
      { "aria-label": "Ending", on: { change: () => this.#filter() } },
      h("option", { value: "" }, "any ending"),
      ENDINGS.map((name) => h("option", { value: name }, name)),
    );
    this.said = h("p", { id: "query-said", class: "query-said", role: "status" });
    this.list = new VirtualList({
      label: "Exchanges, the newest first",
      draw: drawRow,
      onChoose: (row) => this.#choose(row.id),
      onOpen: (row) => this.#open(row.id),
    });
    this.exchange = new ExchangeView(page, {
      onBack: () => this.#back(),
      onMove: (by) => this.list.move(by),
    });
    this.empty = h(
      "div",
      { class: "empty", hidden: true },
      h("p", {}, "Nothing was asked yet."),
      h("p", {}, "Point a client at this emulator, or ask it in ", h("a", { href: "#/chat" }, "the chat"), "."),
    );
    this.element = h(
      "div",
      { class: "exchanges" },
      h(
        "section",
        { class: "list-pane", "aria-label": "Exchanges" },
        h(
          "div",
          { class: "filters", role: "search" },
          h("label", { class: "unseen", for: "search" }, "Search"),
          this.search,
          this.ending,
        ),
        h(
          "details",
          { class: "query-help" },
          h("summary", {}, "How to search"),
          h("p", {}, "Words that a row has, in any order; quotes keep words together, and ", h("code", {}, "-"), " turns one round."),
          h("dl", {}, Object.entries(NAMES).map(([name, meaning]) => [h("dt", {}, h("code", {}, `${name}:`)), h("dd", {}, meaning)]).flat()),
        ),
        h("div", { class: "list-head" }, this.said, h("button", { type: "button", class: "quiet", on: { click: () => this.#clear() } }, "Forget these")),
        this.list.element,
        this.empty,
      ),
      this.exchange.element,
    );
    this.isDue = false;
    this.last = 0;
    page.store.addEventListener("change", () => this.#later());
    page.addEventListener("scope", () => this.#filter());
  }

  /** @param {string[]} path */
  show([id]) {
    this.element.classList.toggle("has-one", id !== undefined);
    this.list.choose(id ?? "");
    this.exchange.show(id);
    this.#filter();
  }

  focus() {
    if (this.exchange.isShown && matchMedia("(max-width: 60rem)").matches) this.exchange.focus();
    else this.list.element.focus();
  }

  focusSearch() {
    if (this.element.classList.contains("has-one") && matchMedia("(max-width: 60rem)").matches) this.#back();
    this.search.focus();
    this.search.select();
  }

  // A fast row of changes is drawn ten times a second.
  #later() {
    if (this.isDue) return;
    this.isDue = true;
    setTimeout(
      () => {
        this.isDue = false;
        this.#filter();
      },
      Math.max(0, CHANGE - (performance.now() - this.last)),
    );
  }

  #filter() {
    this.last = performance.now();
    if (!this.element.isConnected) return;
    const { test, error } = readQuery(this.search.value);
    const ending = this.ending.value;
    const scope = this.page.api.scope;
    const all = this.page.store.rows();
    const rows = all.filter((row) => (ending === "" || row.ending === ending) && (scope === "" || row.scope === scope) && test(row));
    this.list.show(rows);
    this.empty.hidden = all.length > 0;
    this.list.element.hidden = all.length === 0;
    this.search.setCustomValidity(error);
    const told = rows.length === all.length ? plural(all.length, "exchange") : `${count(rows.length)} of ${plural(all.length, "exchange")}`;
    const dropped = this.page.store.dropped > 0 ? `; ${count(this.page.store.dropped)} older ones were let go` : "";
    say(this.said, error === "" ? told + dropped : error);
    this.said.classList.toggle("is-error", error !== "");
  }

  /** @param {KeyboardEvent} event */
  #searchKey(event) {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      this.list.element.focus();
      if (this.list.chosen === "") this.list.move(0);
      event.preventDefault();
    } else if (event.key === "Escape" && this.search.value !== "") {
      this.search.value = "";
      this.#filter();
      event.preventDefault();
      event.stopPropagation();
    }
  }

  /** @param {string} id */
  #choose(id) {
    this.page.replace(`#/exchanges/${encodeURIComponent(id)}`);
  }

  /** @param {string} id */
  #open(id) {
    this.page.go(`#/exchanges/${encodeURIComponent(id)}`);
    this.exchange.focus();
  }

  #back() {
    this.page.go("#/exchanges");
    this.list.element.focus();
  }

  async #clear() {
    if (await this.page.attempt(() => this.page.api.delete("/_emulator/journal", { scoped: true }), "The journal has forgotten what has ended.")) {
      this.page.store.clear(this.page.api.scope);
    }
  }
}
