// A chat with what answers here: asked as any client asks, so each question is in the list too.

import { words } from "./api.js";
import { h, say } from "./dom.js";
import { count, ms, rate } from "./format.js";
import { Maths } from "./maths.js";
import { apart, Said } from "./says.js";
import { readEvents } from "./sse.js";

const IDS = ["x-request-id", "apim-request-id", "x-ms-request-id", "x-ms-client-request-id"];

/** @typedef {{ role: string, content: string }} Message */

export class ChatView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.maths = new Maths(page.api);
    /** @type {Message[]} */
    this.messages = [];
    /** @type {AbortController | null} */
    this.running = null;
    this.log = h("div", { class: "chat-log", role: "log", "aria-label": "Conversation", tabindex: "0" });
    this.empty = h("p", { class: "empty" }, "Ask something. Each question is an exchange in the list.");
    this.log.append(this.empty);
    this.text = h("textarea", {
      id: "question",
      rows: 3,
      placeholder: "What is 17 * 24?",
      on: {
        keydown: (/** @type {KeyboardEvent} */ event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            this.#ask();
          }
        },
      },
    });
    this.temperature = h("input", { type: "number", min: "0", max: "2", step: "0.1", placeholder: "default" });
    this.most = h("input", { type: "number", min: "1", step: "1", value: "1000" });
    this.send = h("button", { type: "submit", class: "main" }, "Ask");
    this.stop = h("button", { type: "button", hidden: true, on: { click: () => this.running?.abort() } }, "Stop");
    this.status = h("p", { class: "note", role: "status" });
    this.element = h(
      "div",
      { class: "chat" },
      h("h2", { class: "unseen" }, "Chat"),
      this.log,
      h(
        "form",
        { class: "chat-form", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.#ask(); } } },
        h("label", { for: "question" }, "Question ", h("span", { class: "meaning" }, "Enter asks, Shift+Enter begins a line")),
        this.text,
        h(
          "div",
          { class: "buttons" },
          h("label", { class: "small" }, "Temperature ", this.temperature),
          h("label", { class: "small" }, "Most tokens ", this.most),
          h("button", { type: "button", class: "quiet", on: { click: () => this.#again() } }, "New chat"),
          this.stop,
          this.send,
        ),
        this.status,
      ),
    );
  }

  show() {}

  focus() {
    this.text.focus();
  }

  #again() {
    this.running?.abort();
    this.messages = [];
    this.log.replaceChildren(this.empty);
    say(this.status, "");
    this.text.focus();
  }

  async #ask() {
    const question = this.text.value.trim();
    if (question === "" || this.running !== null) return;
    const controller = new AbortController();
    this.running = controller;
    this.text.value = "";
    this.empty.remove();
    this.messages.push({ role: "user", content: question });
    this.#bubble("You", "user").answer.show(question);
    const bubble = this.#bubble("Model", "assistant");
    this.stop.hidden = false;
    this.send.disabled = true;
    say(this.status, "Asked");
    const messages = this.messages;
    const begun = performance.now();
    const told = { reasoning: "", content: "", pieces: 0, first: 0, last: 0, finish: "" };
    try {
      const response = await this.page.api.open(this.#path(), { method: "POST", scoped: true, body: this.#body(), signal: controller.signal });
      this.#link(bubble, response);
      for await (const event of readEvents(response)) {
        if (event.data === "[DONE]") break;
        this.#take(JSON.parse(event.data), told, begun);
        this.#draw(bubble, told, false);
      }
      say(this.status, `${told.finish === "length" ? "Cut at the most tokens. " : ""}${count(told.pieces)} pieces, the first after ${ms(told.first - begun)}, ${rate(told.pieces - 1, told.last - told.first)}`);
    } catch (error) {
      const stopped = controller.signal.aborted;
      const why = stopped ? "Stopped." : broken(error);
      say(this.status, why);
      bubble.element.append(h("p", { class: stopped ? "note" : "fault" }, why));
    }
    this.#draw(bubble, told, true);
    const { answer } = apart(told.content);
    if (messages === this.messages) {
      // What was not answered is no part of the conversation; thoughts are not sent back.
      if (answer === "") this.messages.pop();
      else this.messages.push({ role: "assistant", content: answer });
    }
    if (this.running === controller) this.running = null;
    this.stop.hidden = true;
    this.send.disabled = false;
  }

  /**
   * @param {any} data
   * @param {any} told
   * @param {number} begun
   */
  #take(data, told, begun) {
    if (data.error) throw new Error(typeof data.error === "string" ? data.error : (data.error.message ?? JSON.stringify(data.error)));
    const choice = data.choices?.[0];
    const { content = "", reasoning_content: reasoning = "" } = choice?.delta ?? {};
    if (choice?.finish_reason) told.finish = choice.finish_reason;
    if (!content && !reasoning) return;
    told.content += content ?? "";
    told.reasoning += reasoning ?? "";
    told.pieces += 1;
    told.last = performance.now();
    told.first ||= told.last;
    say(this.status, `${count(told.pieces)} pieces, ${ms(told.last - begun)}`);
  }

  #path() {
    const { surface } = this.page.api;
    return surface.chat;
  }

  #body() {
    const { surface } = this.page.api;
    /** @type {Record<string, any>} */
    const body = { messages: this.messages, stream: true };
    if (surface.needs_model) body.model = surface.model;
    if (this.most.value !== "") body.max_tokens = Number(this.most.value);
    if (this.temperature.value !== "") body.temperature = Number(this.temperature.value);
    return body;
  }

  /**
   * @param {string} name
   * @param {string} role
   */
  #bubble(name, role) {
    const reasoning = new Said(this.maths);
    const answer = new Said(this.maths);
    const thoughts = h("details", { class: "thoughts", hidden: true }, h("summary", {}, "Thoughts"), reasoning.element);
    const foot = h("p", { class: "meaning" });
    const element = h("article", { class: `bubble bubble-${role}` }, h("h3", {}, name), thoughts, answer.element, foot);
    this.log.append(element);
    this.log.scrollTop = this.log.scrollHeight;
    return { element, reasoning, answer, thoughts, foot };
  }

  /**
   * @param {ReturnType<ChatView["#bubble"]>} bubble
   * @param {Response} response
   */
  #link(bubble, response) {
    const id = IDS.map((name) => response.headers.get(name)).find((one) => one !== null);
    if (id !== undefined && id !== null) bubble.foot.append(h("a", { href: `#/exchanges/${encodeURIComponent(id)}` }, "Look at this exchange"));
  }

  /**
   * @param {ReturnType<ChatView["#bubble"]>} bubble
   * @param {{ reasoning: string, content: string }} told
   * @param {boolean} isOver
   */
  #draw(bubble, told, isOver) {
    const follows = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
    const { reasoning, answer } = told.reasoning === "" ? apart(told.content) : { reasoning: told.reasoning, answer: told.content };
    bubble.thoughts.hidden = reasoning === "";
    bubble.reasoning.show(reasoning, { isOver });
    bubble.answer.show(answer, { isOver });
    if (follows) this.log.scrollTop = this.log.scrollHeight;
  }
}

/**
 * Why an answer did not come to its end.
 * @param {unknown} error
 */
function broken(error) {
  if (error instanceof SyntaxError) return "The answer has an event that is no JSON.";
  return error instanceof TypeError ? "The answer broke off." : words(error);
}
