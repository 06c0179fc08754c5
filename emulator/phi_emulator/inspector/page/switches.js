// What can be set while the emulator runs: each switch is one of the control routes, for all or for one scope.

import { words } from "./api.js";
import { fill, h, say } from "./dom.js";
import { count, plural } from "./format.js";

const FAULTS = [
  "retry_after form=seconds seconds=2 times=1",
  "error error=rate_limited times=1",
  "wait seconds=5",
  "stall tokens=3 seconds=10",
  "slow seconds=0.2",
  "cut_body bytes=500",
  "no_end without=both",
  "malformed_event tokens=3",
  "error_in_stream tokens=3",
  "finish reason=length tokens=3",
];

export class SwitchesView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.title = h("h2", { tabindex: "-1" }, "Switches");
    this.scope = h("p", { class: "note" });
    this.status = h("p", { class: "note", role: "status" });
    /** @type {(() => Promise<void>)[]} */
    this.readers = [];
    const cards = [this.#texts(), this.#limits(), this.#filter(), this.#faults(), this.#latency(), this.#clock(), this.#answers(), this.#reset()];
    this.element = h("div", { class: "view" }, this.title, this.scope, this.status, h("div", { class: "cards" }, cards));
    page.addEventListener("scope", () => this.element.isConnected && this.show());
  }

  focus() {
    this.title.focus();
  }

  async show() {
    const { scope } = this.page.api;
    say(this.scope, scope === "" ? "For all requests. What is set for a scope stands over it: name one above." : `For requests with x-phi-scope: ${scope}`);
    try {
      await Promise.all(this.readers.map((read) => read()));
      say(this.status, "");
    } catch (error) {
      say(this.status, words(error));
    }
  }

  /**
   * Set something, say so, and read all again.
   * @param {() => Promise<any>} doing
   * @param {string} done
   */
  async #set(doing, done) {
    if (await this.page.attempt(doing, done)) await this.show();
  }

  /**
   * @param {string} name
   * @param {...any} children
   */
  #card(name, ...children) {
    return h("section", { class: "card", "aria-label": name }, h("h3", {}, name), ...children);
  }

  /**
   * @param {() => Promise<any>} doing
   * @param {string} done
   * @param {...any} children
   */
  #form(doing, done, ...children) {
    return h("form", { on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.#set(doing, done); } } }, ...children);
  }

  /**
   * @param {string} path
   * @param {string} done
   */
  #back(path, done) {
    return h("button", { type: "button", class: "quiet", on: { click: () => this.#set(() => this.page.api.delete(path, { scoped: true }), done) } }, "As at the start");
  }

  #texts() {
    const box = h("input", {
      type: "checkbox",
      role: "switch",
      on: { change: () => this.#set(() => this.page.api.post("/_emulator/settings", { journal_texts: box.checked }), box.checked ? "Texts are kept from now on." : "No texts are kept from now on.") },
    });
    this.readers.push(async () => {
      const settings = await this.page.api.get("/_emulator/settings");
      box.checked = settings.journal_texts ?? this.page.store.keepsTexts;
    });
    return this.#card("Texts", h("label", { class: "check" }, box, " Keep what is asked and answered"), h("p", { class: "note" }, "In memory alone, for all scopes, and only of what comes from then on."));
  }

  #limits() {
    const names = { requests_per_minute: "Requests a minute", tokens_per_minute: "Tokens a minute", max_concurrent: "At once" };
    const inputs = Object.entries(names).map(([name, label]) => ({ name, label, input: number("none") }));
    this.readers.push(async () => {
      const limits = await this.page.api.get("/_emulator/limits", { scoped: true });
      for (const { name, input } of inputs) write(input, limits[name]);
    });
    const values = () => Object.fromEntries(inputs.map(({ name, input }) => [name, read(input)]));
    return this.#card(
      "Limits",
      this.#form(
        () => this.page.api.post("/_emulator/limits", values(), { scoped: true }),
        "The limits hold from the next request on.",
        inputs.map(({ label, input }) => h("label", { class: "field" }, h("span", {}, label), input)),
        h("div", { class: "buttons" }, h("button", { type: "submit" }, "Set limits"), this.#back("/_emulator/limits", "The limits are as at the start, and what was counted is forgotten.")),
      ),
    );
  }

  #filter() {
    const kind = h("select", {}, [["off", "off"], ["default", "default"], ["words", "words of your own"]].map(([value, name]) => h("option", { value }, name)));
    const table = h("textarea", { rows: 4, spellcheck: "false", class: "code" });
    const own = h("label", { class: "field is-tall" }, h("span", {}, "Words, as JSON"), table);
    const choose = () => { own.hidden = kind.value !== "words"; };
    kind.addEventListener("change", choose);
    this.readers.push(async () => {
      const { content_filter: now } = await this.page.api.get("/_emulator/filter", { scoped: true });
      kind.value = typeof now === "string" ? now : "words";
      table.value = typeof now === "string" ? '{"violence": {"sword": "high"}}' : JSON.stringify(now, null, 1);
      choose();
    });
    return this.#card(
      "Content filter",
      this.#form(
        async () => this.page.api.post("/_emulator/filter", { content_filter: kind.value === "words" ? parsed(table.value) : kind.value }, { scoped: true }),
        "The filter holds from the next request on.",
        h("label", { class: "field" }, h("span", {}, "Filter"), kind),
        own,
        h("div", { class: "buttons" }, h("button", { type: "submit" }, "Set filter"), this.#back("/_emulator/filter", "The filter is as at the start.")),
      ),
    );
  }

  #faults() {
    const line = h("input", { list: "fault-lines", spellcheck: "false", autocomplete: "off", class: "code", placeholder: FAULTS[0] });
    const held = h("ul", { class: "rules" });
    // What is set takes the place of all rules, those of scopes too; or of those of the scope, beside which others hold.
    const known = async () => {
      const { faults, of_scopes: ofScopes = [] } = await this.page.api.get("/_emulator/faults", { scoped: true });
      const { scope } = this.page.api;
      return [...faults, ...ofScopes].map(({ counted, ...rule }) => ({ rule, counted, isOwn: scope === "" || rule.when?.scope === scope }));
    };
    // Read again before each change: somebody else may have changed them meanwhile.
    const change = async (/** @type {(rules: any[]) => any[]} */ edit) => {
      const rules = (await known()).filter((one) => one.isOwn).map((one) => one.rule);
      if (rules.some((rule) => Object.values(rule.when?.headers ?? {}).includes("\u2026"))) {
        throw new Error("A rule is about a header that is not told: change the rules where they are written.");
      }
      await this.page.api.post("/_emulator/faults", { faults: edit(rules) }, { scoped: true });
    };
    const without = (/** @type {any} */ rule) => (/** @type {any[]} */ rules) => {
      const at = rules.findIndex((one) => JSON.stringify(one) === JSON.stringify(rule));
      return rules.filter((_, place) => place !== at);
    };
    this.readers.push(async () => {
      const told = await known();
      fill(
        held,
        told.map(({ rule, counted, isOwn }, index) =>
          h(
            "li",
            {},
            h("code", {}, JSON.stringify(rule)),
            h("span", { class: "meaning" }, counted === undefined ? `in ${rule.when.scope}` : `${plural(counted.calls, "call")}, ${plural(counted.faults, "fault")}`),
            isOwn
              ? h("button", { type: "button", class: "quiet", "aria-label": `Remove rule ${index + 1}, ${rule.effect}`, on: { click: () => this.#set(() => change(without(rule)), "The rule is gone.") } }, "Remove")
              : h("span", { class: "meaning" }, "for all"),
          ),
        ),
        told.length === 0 ? h("li", { class: "note" }, "No rules: nothing goes wrong on purpose.") : null,
      );
    });
    return this.#card(
      "Faults",
      held,
      this.#form(
        async () => {
          const rule = ruleOf(line.value || line.placeholder);
          await change((rules) => [...rules, rule]);
          line.value = "";
        },
        "The rule holds from the next request on.",
        h("label", { class: "field is-tall" }, h("span", {}, "Add a rule"), line),
        h("datalist", { id: "fault-lines" }, FAULTS.map((value) => h("option", { value }))),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "submit" }, "Add fault"),
          h("button", { type: "button", class: "quiet", on: { click: () => this.#set(() => this.page.api.post("/_emulator/faults/reset", {}, { scoped: true }), "The rules are as at the start.") } }, "As at the start"),
        ),
      ),
    );
  }

  #latency() {
    const line = h("input", { spellcheck: "false", autocomplete: "off", class: "code", placeholder: "first=500ms, rate=40/s" });
    const now = h("p", { class: "note" });
    this.readers.push(async () => {
      const { latency } = await this.page.api.get("/_emulator/latency", { scoped: true });
      say(now, typeof latency === "string" ? `Now: ${latency}` : `Now: ${JSON.stringify(latency)}`);
    });
    return this.#card(
      "Latency",
      now,
      this.#form(
        () => this.page.api.post("/_emulator/latency", { latency: line.value || line.placeholder }, { scoped: true }),
        "Answers that begin now keep to it.",
        h("label", { class: "field is-tall" }, h("span", {}, "Profile or preset"), line),
        h("div", { class: "buttons" }, h("button", { type: "submit" }, "Set latency"), this.#back("/_emulator/latency", "Latency is as at the start.")),
      ),
    );
  }

  #clock() {
    const now = h("p", { class: "note" });
    const seconds = number("60");
    const form = this.#form(
      () => this.page.api.post("/_emulator/clock", { advance: Number(seconds.value || seconds.placeholder) }),
      "The time has passed.",
      h("label", { class: "field" }, h("span", {}, "Seconds"), seconds),
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Let them pass")),
    );
    this.readers.push(async () => {
      const clock = await this.page.api.get("/_emulator/clock");
      form.hidden = !clock.virtual;
      say(
        now,
        clock.virtual
          ? `Virtual: ${count(Math.round(clock.now))} s have passed; ${count(clock.waiting)} wait${clock.next === null ? "" : `, the next is due in ${count(Math.ceil(clock.next))} s`}.`
          : "Real time. It can be moved where the emulator was given a VirtualClock.",
      );
    });
    return this.#card("Clock", now, form);
  }

  #answers() {
    const most = number("the context");
    const limit = number("none");
    const loose = h("input", { type: "checkbox" });
    this.readers.push(async () => {
      const settings = await this.page.api.get("/_emulator/settings", { scoped: true });
      write(most, settings.max_output_tokens);
      write(limit, settings.request_timeout_ms);
      loose.checked = settings.loose;
    });
    return this.#card(
      "Answers",
      this.#form(
        () => this.page.api.post("/_emulator/settings", { max_output_tokens: read(most), request_timeout_ms: read(limit), loose: loose.checked }, { scoped: true }),
        "It holds from the next request on.",
        h("label", { class: "field" }, h("span", {}, "Longest, in tokens"), most),
        h("label", { class: "field" }, h("span", {}, "Longest, in ms"), limit),
        h("label", { class: "check" }, loose, " Take any api-version"),
        h("div", { class: "buttons" }, h("button", { type: "submit" }, "Set answers")),
      ),
    );
  }

  #reset() {
    return this.#card(
      "All back",
      h("p", { class: "note" }, "Settings, faults, scripts, latency and counts as at the start; the journal is emptied."),
      h(
        "div",
        { class: "buttons" },
        h("button", {
          type: "button",
          class: "danger",
          on: {
            click: () => this.#set(async () => {
              await this.page.api.post("/_emulator/reset", {}, { scoped: true });
              this.page.store.clear(this.page.api.scope);
            }, "All is as at the start."),
          },
        }, "Reset"),
      ),
    );
  }
}

/** @param {string} without what an empty box stands for */
function number(without) {
  return h("input", { type: "number", min: "0", step: "1", placeholder: without });
}

/** @param {HTMLInputElement} input */
function read(input) {
  return input.value === "" ? null : Number(input.value);
}

/**
 * @param {HTMLInputElement} input
 * @param {number | null | undefined} value
 */
function write(input, value) {
  if (document.activeElement !== input) input.value = value === null || value === undefined ? "" : String(value);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("The words are no JSON. Write them as {\"violence\": {\"sword\": \"high\"}}.");
  }
}

/**
 * The rule of a line such as `stall tokens=2 seconds=5 when.scope=mine`; a line that begins with `{` is one in JSON.
 * @param {string} line
 */
export function ruleOf(line) {
  if (line.trim().startsWith("{")) return parsed(line);
  const [effect, ...parts] = line.trim().split(/\s+/);
  /** @type {Record<string, any>} */
  const rule = { effect };
  for (const part of parts) {
    const [name, ...rest] = part.split("=");
    if (rest.length === 0) throw new Error(`\u201c${part}\u201d is no name=value. Write it as stall tokens=2 seconds=5.`);
    const text = rest.join("=");
    const value = text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    const [head, under] = name.split(".");
    if (head === "when" && under) rule.when = { ...rule.when, [under]: value };
    else rule[name] = value;
  }
  return rule;
}
