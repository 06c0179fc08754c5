// Where the emulator knowingly differs from Azure, as the documentation has it.

import { words } from "./api.js";
import { fill, h, say } from "./dom.js";

export class CoverageView {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    this.title = h("h2", { tabindex: "-1" }, "Unlike Azure");
    this.status = h("p", { class: "note", role: "status" });
    this.items = h("div", { class: "coverage" });
    this.element = h(
      "div",
      { class: "view" },
      this.title,
      h("p", { class: "note" }, "What is known to differ. The documentation says more, and with sources, on ", h("code", {}, "docs/reference/coverage.md"), "."),
      this.status,
      this.items,
    );
  }

  focus() {
    this.title.focus();
  }

  /** @param {string[]} path */
  async show([wanted]) {
    try {
      const { deviations } = await this.page.api.get("/_emulator/deviations");
      say(this.status, "");
      fill(
        this.items,
        deviations.map((/** @type {any} */ one) =>
          h(
            "section",
            { id: `deviation-${one.id}`, class: one.id === wanted ? "deviation is-wanted" : "deviation", tabindex: "-1" },
            h("h3", {}, one.subject),
            h("dl", {}, h("dt", {}, "Azure"), h("dd", {}, one.azure), h("dt", {}, "Here"), h("dd", {}, one.emulator)),
          ),
        ),
      );
      document.getElementById(`deviation-${wanted}`)?.focus();
    } catch (error) {
      say(this.status, words(error));
    }
  }
}
