// The page: its views, the address that chooses between them, and what all of them use.

import { Api, words } from "./api.js";
import { ChatView } from "./chat.js";
import { CompareView } from "./compare.js";
import { CoverageView } from "./coverage.js";
import { fill, h, say, setAttribute } from "./dom.js";
import { EngineView } from "./engine.js";
import { ExchangesView } from "./exchanges.js";
import { Feed } from "./feed.js";
import { count, plural } from "./format.js";
import { askForKey } from "./key.js";
import { Shortcuts } from "./keys.js";
import { Store } from "./store.js";
import { SwitchesView } from "./switches.js";
import { followTheme } from "./theme.js";

/** @typedef {{ element: HTMLElement, show: (path: string[]) => void, hide?: () => void, focus: () => void }} View */

const TOLD = 6000; // ms for which a word stays

/** @param {string} id @returns {any} */
const find = (id) => document.getElementById(id);

/** What the views share. */
export class Page extends EventTarget {
  constructor() {
    super();
    this.api = new Api();
    this.store = new Store();
    this.feed = new Feed(this.api, this.store);
    /** An exchange that is to be compared with another one, by its id. */
    this.marked = "";
    const exchanges = new ExchangesView(this);
    /** @type {Record<string, View>} */
    this.views = {
      exchanges,
      compare: new CompareView(this),
      chat: new ChatView(this),
      switches: new SwitchesView(this),
      engine: new EngineView(this),
      coverage: new CoverageView(this),
    };
    /** @type {View | null} */
    this.view = null;
    const nextTheme = followTheme(find("theme"));
    const to = (/** @type {string} */ view) => () => {
      this.go(`#/${view}`);
      this.view?.focus();
    };
    const search = () => {
      if (this.view !== exchanges) this.go("#/exchanges");
      exchanges.focusSearch();
    };
    this.keys = new Shortcuts([
      { keys: "/", what: "search", run: search },
      { keys: "j", what: "the next exchange", run: () => exchanges.list.move(1) },
      { keys: "k", what: "the previous exchange", run: () => exchanges.list.move(-1) },
      { keys: "\u2191 \u2193 PgUp PgDn Home End", what: "move in the list, and along the time line" },
      { keys: "Enter", what: "open what is chosen in the list" },
      { keys: "Esc", what: "back to the list", run: () => this.back() },
      { keys: "c", what: "mark an exchange, and compare another one with it", run: () => exchanges.exchange.compare() },
      { keys: "y", what: "copy the exchange as the form that was copied last", run: () => exchanges.exchange.copy() },
      { keys: "1", what: "exchanges", run: to("exchanges") },
      { keys: "2", what: "chat", run: to("chat") },
      { keys: "3", what: "switches", run: to("switches") },
      { keys: "4", what: "engine", run: to("engine") },
      { keys: "t", what: "theme", run: nextTheme },
      { keys: "?", what: "these keys", run: () => this.keys.open() },
    ]);
    find("help").addEventListener("click", () => this.keys.open());
    find("scope").addEventListener("input", () => this.#scope());
    window.addEventListener("hashchange", () => this.#route());
    this.store.addEventListener("change", () => this.#changed());
    this.feed.addEventListener("connection", () => this.#changed());
    this.api.onWrongKey = () => askForKey(this.api, () => this.feed.retry());
    this.#route();
    this.#changed();
    this.feed.run();
  }

  /** @param {string} hash */
  go(hash) {
    if (location.hash === hash) return;
    history.pushState(null, "", hash);
    this.#route();
  }

  /** @param {string} hash */
  replace(hash) {
    history.replaceState(null, "", hash);
    this.#route();
  }

  /** Out of a field, or back to the list. */
  back() {
    if (document.activeElement?.matches("main :is(input, textarea, select)") && this.shown !== "exchanges") {
      find("main").focus();
      return;
    }
    this.go("#/exchanges");
    this.view?.focus();
  }

  /**
   * Say something that has happened.
   * @param {string} text
   * @param {{ isError?: boolean }} [options]
   */
  tell(text, { isError = false } = {}) {
    const box = find("told");
    fill(box, text);
    box.classList.toggle("is-error", isError);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => fill(box), TOLD);
  }

  /**
   * Do something, and say what came of it; whether it could be done.
   * @param {() => Promise<any>} doing
   * @param {string} done
   */
  async attempt(doing, done) {
    try {
      await doing();
    } catch (error) {
      this.tell(words(error), { isError: true });
      return false;
    }
    if (done !== "") this.tell(done);
    return true;
  }

  #route() {
    const [name, ...path] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
    const known = Object.hasOwn(this.views, name) ? name : "exchanges";
    const view = this.views[known];
    if (view !== this.view) {
      this.view?.hide?.();
      fill(find("main"), view.element);
      // A page that scrolls as a whole is scrolled by keys, too.
      setAttribute(find("main"), "tabindex", view.element.classList.contains("view") ? "0" : "-1");
      this.view = view;
    }
    for (const link of document.querySelectorAll("nav a")) {
      setAttribute(link, "aria-current", link.getAttribute("data-view") === known ? "page" : null);
    }
    this.shown = known;
    view.show(path);
    this.#changed();
  }

  #scope() {
    this.api.scope = find("scope").value.trim();
    this.dispatchEvent(new Event("scope"));
  }

  #changed() {
    const { state, text } = this.feed.connection;
    const running = this.store.running.size;
    const box = find("connection");
    setAttribute(box, "data-state", state);
    say(box, state === "connected" ? (running > 0 ? `Connected, ${count(running)} running` : "Connected") : text);
    const said = state === "connected" ? (running > 0 ? `${count(running)} running` : plural(this.store.size, "exchange")) : state === "waiting" ? "connecting" : state === "key" ? "key wanted" : "not connected";
    const title = `${said} \u00b7 ${this.shown} \u00b7 phi-emulator`;
    if (document.title !== title) document.title = title;
    const scopes = find("scopes");
    if (scopes.childElementCount !== this.store.scopes.size) {
      fill(scopes, [...this.store.scopes].map((name) => h("option", { value: name })));
    }
  }
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

new Page();
