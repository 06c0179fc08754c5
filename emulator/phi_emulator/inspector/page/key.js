// Asks for the key where the public one doesn't open. It is kept in this tab alone, and sent in a header alone.

import { h } from "./dom.js";

/**
 * @param {import("./api.js").Api} api
 * @param {() => void} given
 */
export function askForKey(api, given) {
  if (document.querySelector("#key-dialog") !== null) return;
  const input = h("input", { id: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false" });
  const dialog = h(
    "dialog",
    { id: "key-dialog", class: "dialog", "aria-labelledby": "key-title" },
    h("h2", { id: "key-title" }, "The emulator's key"),
    h(
      "p",
      {},
      api.key === "" ? "This emulator has a key of its own." : "The key that was given does not open this emulator.",
      " It is the one that it was started with: --key, or PHI_EMULATOR_KEY. It is kept in this tab until you close it.",
    ),
    h(
      "form",
      {
        on: {
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            api.keepKey(input.value.trim());
            dialog.close();
          },
        },
      },
      h("label", { for: "key" }, "Key"),
      input,
      h("button", { type: "submit" }, "Open"),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    given();
  });
  document.body.append(dialog);
  dialog.showModal();
}
