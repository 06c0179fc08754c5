// One exchange: what it was, where its time went, its stream, what was said, and how to ask it again.

import { ApiError, words } from "./api.js";
import { Copying } from "./copying.js";
import { fill, h, say } from "./dom.js";
import { bytes, clock, count, ms, rate } from "./format.js";
import { Maths } from "./maths.js";
import { family } from "./row.js";
import { apart, Said } from "./says.js";
import { whySlow } from "./spent.js";
import { readEvents } from "./sse.js";
import { Timeline } from "./timeline.js";

const AGAIN = 500; // ms between two attempts to follow

export class ExchangeView {
  /**
   * @param {import("./main.js").Page} page
   * @param {{ onBack: () => void, onMove: (by: number) => void }} options
   */
  constructor(page, { onBack, onMove }) {
    this.page = page;
    this.id = "";
    /** @type {any} */
    this.entry = null;
    this.controller = new AbortController();
    const maths = new Maths(page.api);
    this.title = h("h2", { tabindex: "-1" });
    this.compareButton = h("button", { type: "button", class: "quiet", "aria-keyshortcuts": "c", on: { click: () => this.compare() } }, "Compare");
    this.head = h("div", { class: "exchange-head" });
    this.facts = h("dl", { class: "facts" });
    this.why = h("div", { class: "why-slow" });
    this.timeline = new Timeline();
    this.reasoning = new Said(maths);
    this.answer = new Said(maths);
    this.reasoningCount = h("span", { class: "count" });
    this.thoughts = h("details", { class: "thoughts", open: true }, h("summary", {}, "Thoughts ", this.reasoningCount), this.reasoning.element);
    this.noTexts = h("p", { class: "note", hidden: true }, "Texts are not kept. Turn them on in ", h("a", { href: "#/switches" }, "the switches"), ", for what comes from then on.");
    this.request = h("div", { class: "request" });
    this.requestRaw = new Said(new NoMaths());
    this.differences = h("ul", { class: "differences" });
    this.heads = h("div", { class: "heads" });
    this.copying = new Copying(page);
    const part = (/** @type {string} */ name, /** @type {any[]} */ ...children) => h("section", { class: "part", "aria-label": name }, h("h3", {}, name), ...children);
    this.differencesPart = part("Unlike Azure", this.differences);
    this.body = h(
      "div",
      { class: "exchange-body", hidden: true },
      h(
        "div",
        { class: "exchange-bar" },
        h("button", { type: "button", class: "quiet back", on: { click: onBack } }, "\u2190 List"),
        this.title,
        h("div", { class: "buttons" }, h("button", { type: "button", class: "quiet", "aria-label": "Previous exchange", on: { click: () => onMove(-1) } }, "\u2191"), h("button", { type: "button", class: "quiet", "aria-label": "Next exchange", on: { click: () => onMove(1) } }, "\u2193"), this.compareButton),
      ),
      this.head,
      this.facts,
      part("Stream", this.timeline.element),
      part("Answer", this.noTexts, this.thoughts, h("div", { class: "answer" }, this.answer.element)),
      part("Why slow", this.why),
      part("Request", this.request, h("details", {}, h("summary", {}, "Body as it came"), this.requestRaw.element)),
      this.differencesPart,
      part("Copy as", this.copying.element),
      part("Headers", this.heads),
    );
    page.store.addEventListener("change", () => this.#stand());
    this.status = h("p", { class: "empty" }, "Choose an exchange.");
    this.element = h("section", { class: "exchange", "aria-label": "Exchange" }, this.status, this.body);
  }

  get isShown() {
    return this.id !== "";
  }

  focus() {
    this.title.focus();
  }

  /** @param {string | undefined} id */
  show(id) {
    if (id === this.id || (id === undefined && this.id === "")) return;
    this.controller.abort();
    this.controller = new AbortController();
    this.id = id ?? "";
    this.entry = null;
    this.body.hidden = true;
    this.status.hidden = false;
    say(this.status, id === undefined ? "Choose an exchange." : "Reading");
    if (id === undefined) return;
    this.timeline.clear();
    this.copying.show(id);
    this.#read(id, this.controller.signal);
  }

  copy() {
    if (this.isShown) this.copying.copy();
  }

  /** Mark this exchange, or compare it with the one that is marked. */
  compare() {
    if (!this.isShown) return;
    const { marked } = this.page;
    if (marked !== "" && marked !== this.id) {
      this.page.marked = "";
      this.page.go(`#/compare/${encodeURIComponent(marked)}/${encodeURIComponent(this.id)}`);
      this.page.view?.focus();
    } else {
      this.page.marked = this.id;
      this.page.tell("Marked. Choose another exchange, and compare it with this one (c).");
    }
    this.#button();
  }

  #button() {
    const { marked } = this.page;
    say(this.compareButton, marked === "" ? "Compare" : marked === this.id ? "Marked" : "Compare with the marked one");
  }

  /**
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async #read(id, signal) {
    const path = `/_emulator/journal/${encodeURIComponent(id)}`;
    while (!signal.aborted) {
      try {
        const entry = await this.page.api.get(path, { signal });
        if (signal.aborted) return;
        this.#take(entry);
        if (entry.ending !== "running") return;
        await this.#follow(path, signal);
        if (signal.aborted || this.entry.ending !== "running") return;
      } catch (error) {
        if (signal.aborted) return;
        const isGone = error instanceof ApiError && error.status === 404;
        say(this.status, isGone ? "The journal has let this exchange go, or never had it." : words(error));
        this.status.hidden = this.entry !== null && !isGone;
        if (isGone) {
          this.body.hidden = true;
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
    }
  }

  /**
   * @param {string} path
   * @param {AbortSignal} signal
   */
  async #follow(path, signal) {
    const response = await this.page.api.open(`${path}/events`, { signal });
    let isFirst = true;
    const said = { reasoning: "", answer: "" };
    for await (const event of readEvents(response)) {
      if (signal.aborted) return;
      if (event.type === "token") {
        const came = JSON.parse(event.data);
        if (isFirst) this.timeline.show([], this.entry.spent);
        isFirst = false;
        this.timeline.add(came);
        for (const token of came) {
          if (token.kind === "reasoning") said.reasoning += token.text ?? "";
          if (token.kind === "content") said.answer += token.text ?? "";
        }
        this.#say(said.reasoning === "" ? apart(said.answer) : said, { isOver: false });
      } else if (event.type === "end") {
        const entry = JSON.parse(event.data);
        if (entry !== null) this.#take(entry);
        return;
      }
    }
  }

  /** @param {any} entry */
  #take(entry) {
    this.entry = entry;
    this.status.hidden = true;
    say(this.status, "");
    this.body.hidden = false;
    const status = entry.status === null ? "no status" : String(entry.status);
    fill(this.title, h("span", { class: `status status-${family(entry)}` }, status), ` ${entry.deployment || entry.route || entry.path}`);
    fill(
      this.head,
      h("code", { class: "path" }, `${entry.method} ${entry.path}`),
      h("p", { class: "id" }, entry.number === null ? "running" : `#${entry.number} ${entry.ending}`, ` at ${clock(entry.began)}, id `, h("code", {}, entry.id)),
      entry.fault === null ? null : h("p", { class: "fault" }, "Met a fault: ", h("code", {}, JSON.stringify(entry.fault))),
      entry.scripted === null ? null : h("p", { class: "note" }, "Answered by a script: ", h("code", {}, entry.scripted)),
      entry.latency === null ? null : h("p", { class: "note" }, "Paced by ", h("code", {}, entry.latency)),
    );
    this.#facts(entry);
    this.timeline.show(entry.tokens ?? [], entry.spent);
    fill(this.why, whySlow(entry));
    this.noTexts.hidden = entry.texts !== null;
    this.#say(textsOf(entry), { isOver: entry.ending !== "running" });
    fill(this.request, askedOf(entry.texts?.request ?? ""));
    this.requestRaw.show(entry.texts?.request ?? "");
    this.differencesPart.hidden = entry.differences.length === 0;
    fill(
      this.differences,
      entry.differences.map((/** @type {any} */ one) => h("li", {}, h("a", { href: `#/coverage/${one.link.split("#")[1] ?? ""}` }, one.subject), h("span", {}, `: ${one.emulator}`))),
    );
    fill(this.heads, headers("Request", entry.request_headers), headers("Response", entry.response_headers));
    this.#button();
  }

  /** How it stands, of one that runs: the list is told once a second. */
  #stand() {
    const row = this.page.store.byId.get(this.id);
    if (this.entry?.ending !== "running" || row === undefined || row.ending !== "running" || row === this.standing) return;
    this.standing = row;
    const { spent, usage, sampling, deployment } = row;
    Object.assign(this.entry, { spent, usage, sampling, deployment });
    this.timeline.time(spent);
    this.#facts(this.entry);
    fill(this.why, whySlow(this.entry));
  }

  /** @param {any} entry */
  #facts(entry) {
    const { usage, spent } = entry;
    /** @type {[string, string | null][]} */
    const facts = [
      ["whole", ms(spent.total_ms)],
      ["prompt", usage === null ? null : `${count(usage.prompt)} tokens`],
      ["cached", usage?.cached ? `${count(usage.cached)} tokens` : null],
      ["answer", usage === null ? null : `${count(usage.completion)} tokens`],
      // What a script says costs the engine no time.
      ["rate", usage === null || entry.scripted !== null ? null : rate(usage.completion - 1, spent.decode_ms)],
      ["finished", entry.finish_reason],
      ["error", entry.error_code],
      ["scope", entry.scope || null],
      ["surface", entry.surface],
      ["api-version", entry.api_version],
      ...Object.entries(entry.sampling).filter(([, value]) => value !== null).map(([name, value]) => /** @type {[string, string]} */ ([name.replace("_", " "), String(value)])),
      ["asked in", bytes(entry.request_bytes)],
      ["answered in", bytes(entry.response_bytes)],
    ];
    fill(this.facts, facts.filter(([, value]) => value !== null).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  /**
   * @param {{ reasoning: string, answer: string }} said
   * @param {{ isOver: boolean }} options
   */
  #say({ reasoning, answer }, { isOver }) {
    this.thoughts.hidden = reasoning === "";
    say(this.reasoningCount, reasoning === "" ? "" : `${count(reasoning.length)} characters`);
    this.reasoning.show(reasoning, { isOver });
    this.answer.show(answer, { isOver });
  }
}

class NoMaths {
  async draw() {}
}

/**
 * Thoughts and answer of an entry, apart.
 * @param {any} entry
 */
export function textsOf(entry) {
  const { answer = "", reasoning = "" } = entry.texts ?? {};
  return reasoning === "" ? apart(answer) : { reasoning, answer };
}

/**
 * What was asked: the messages of a body, each under its role.
 * @param {string} body
 */
function askedOf(body) {
  let messages;
  try {
    ({ messages } = JSON.parse(body));
  } catch {
    return h("p", { class: "note" }, body === "" ? "The body was not kept." : "The body is no JSON, or was too long to be kept whole.");
  }
  if (!Array.isArray(messages)) return null;
  return messages.slice(0, 200).map((message) => {
    const said = new Said(new NoMaths());
    const { content } = message ?? {};
    said.show(typeof content === "string" ? content : JSON.stringify(content ?? message, null, 2) ?? "");
    return h("div", { class: "message" }, h("h4", {}, String(message?.role ?? "message").slice(0, 40)), said.element);
  });
}

/**
 * @param {string} name
 * @param {Record<string, string>} head
 */
function headers(name, head) {
  return h("details", {}, h("summary", {}, `${name} (${Object.keys(head).length})`), h("dl", { class: "head" }, Object.entries(head).map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]).flat()));
}
