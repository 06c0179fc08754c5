// An exchange in a form to copy: the emulator writes it, with the key's variable in the place of the key.

import { words } from "./api.js";
import { fill, h, setAttribute } from "./dom.js";

const KEPT = "phi-emulator-copied";
/** @type {[string, string][]} */
const FORMS = [["curl", "curl"], ["python", "Python"], ["openai", "openai"], ["recording", "Recording"], ["test", "Test"]];

export class Copying {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.id = "";
    this.text = h("pre", { class: "copied", tabindex: "0", "aria-label": "What was copied", hidden: true });
    this.buttons = FORMS.map(([form, name]) =>
      h("button", { type: "button", "data-form": form, "aria-pressed": "false", on: { click: () => this.copy(form) } }, name),
    );
    this.element = h("div", { class: "copying" }, h("div", { class: "buttons", role: "group", "aria-label": "Copy as" }, this.buttons), this.text);
  }

  /** @param {string} id */
  show(id) {
    if (id === this.id) return;
    this.id = id;
    this.text.hidden = true;
    fill(this.text);
    for (const button of this.buttons) setAttribute(button, "aria-pressed", "false");
  }

  /** @param {string} [wanted] the form; without one that which was copied last */
  async copy(wanted) {
    const form = wanted ?? localStorage.getItem(KEPT) ?? "curl";
    const id = this.id;
    let text;
    try {
      text = await (await this.page.api.open(`/_emulator/journal/${encodeURIComponent(id)}/as/${form}`)).text();
    } catch (error) {
      this.page.tell(words(error), { isError: true });
      return;
    }
    if (id !== this.id) return;
    localStorage.setItem(KEPT, form);
    for (const button of this.buttons) setAttribute(button, "aria-pressed", String(button.dataset.form === form));
    fill(this.text, text);
    this.text.hidden = false;
    const name = FORMS.find(([one]) => one === form)?.[1] ?? form;
    this.page.tell((await toClipboard(text)) ? `Copied as ${name}.` : `The browser does not let this page copy. Take it from the box: ${name}.`);
  }
}

/** @param {string} text */
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
