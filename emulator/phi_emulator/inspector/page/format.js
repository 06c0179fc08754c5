// Numbers and times for people, always in the same width of digits.

const COUNT = new Intl.NumberFormat("en");

/** @param {number | null | undefined} value */
export function count(value) {
  return value === null || value === undefined ? "\u2013" : COUNT.format(value);
}

/**
 * Milliseconds in the unit that reads best.
 * @param {number | null | undefined} value
 */
export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 10_000) return `${COUNT.format(Math.round(value))} ms`;
  return value < 600_000 ? `${(value / 1000).toFixed(1)} s` : `${COUNT.format(Math.round(value / 1000))} s`;
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1024) return `${value} B`;
  return value < 1024 * 1024 ? `${(value / 1024).toFixed(1)} KB` : `${(value / 1024 / 1024).toFixed(1)} MB`;
}

/**
 * Tokens a second.
 * @param {number} tokens
 * @param {number} milliseconds
 */
export function rate(tokens, milliseconds) {
  return milliseconds > 0 && tokens > 0 ? `${((tokens * 1000) / milliseconds).toFixed(1)} tokens/s` : "\u2013";
}

/**
 * The time of day of seconds since 1970, on this machine.
 * @param {number} seconds
 */
export function clock(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "\u2013" : date.toLocaleTimeString("en-GB");
}

/** @param {number} share a part of one */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/**
 * `1 token`, `2 tokens`.
 * @param {number} number
 * @param {string} word
 */
export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}
