// Light or dark: as the machine has it, or as it was chosen here.

import { say } from "./dom.js";

const KEPT = "phi-emulator-theme";
const CHOICES = ["auto", "light", "dark"];

/**
 * Follow what was chosen, and let a button change it.
 * @param {HTMLButtonElement} button
 */
export function followTheme(button) {
  let now = localStorage.getItem(KEPT) ?? "auto";
  const apply = () => {
    if (!CHOICES.includes(now)) now = "auto";
    document.documentElement.dataset.theme = now;
    say(button, `Theme: ${now}`);
  };
  const next = () => {
    now = CHOICES[(CHOICES.indexOf(now) + 1) % CHOICES.length];
    localStorage.setItem(KEPT, now);
    apply();
  };
  button.addEventListener("click", next);
  apply();
  return next;
}
