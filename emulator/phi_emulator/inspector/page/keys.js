// Everything can be done by keys alone. Those of one letter can be turned off, for who speaks to the machine.

import { fill, h } from "./dom.js";

const KEPT = "phi-emulator-keys";

/** @typedef {{ keys: string, what: string, run?: () => void }} Shortcut */

/** The shortcuts, and the box that shows them. */
export class Shortcuts {
  /** @param {Shortcut[]} shortcuts those without `run` are handled where they are used */
  constructor(shortcuts) {
    this.shortcuts = shortcuts;
    this.areOn = localStorage.getItem(KEPT) !== "off";
    this.dialog = h("dialog", { class: "dialog", "aria-labelledby": "keys-title" });
    document.body.append(this.dialog);
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show what can be done. */
  open() {
    if (this.dialog.open) return;
    fill(
      this.dialog,
      h("h2", { id: "keys-title" }, "Keys"),
      h("dl", { class: "keys" }, this.shortcuts.map((one) => [h("dt", {}, one.keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, one.what)]).flat()),
      h(
        "label",
        { class: "check" },
        h("input", {
          type: "checkbox",
          checked: this.areOn,
          on: { change: (/** @type {any} */ event) => this.#turn(event.target.checked) },
        }),
        " Keys of one letter work",
      ),
      h("form", { method: "dialog", on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); this.dialog.close(); } } }, h("button", { type: "submit" }, "Close")),
    );
    this.dialog.showModal();
  }

  /** @param {boolean} areOn */
  #turn(areOn) {
    this.areOn = areOn;
    localStorage.setItem(KEPT, areOn ? "on" : "off");
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input, textarea, select") && event.key !== "Escape") return;
    if (!this.areOn && event.key !== "Escape") return;
    const found = this.shortcuts.find((one) => one.run !== undefined && one.keys.split(" ").includes(event.key === "Escape" ? "Esc" : event.key));
    if (found?.run === undefined) return;
    event.preventDefault();
    found.run();
  }
}
