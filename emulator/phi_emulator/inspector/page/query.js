// The language of the search box: words, and `name:value` for what a row says of itself; `-` in front turns it round.

/** @typedef {import("./store.js").Row} Row */
/** @typedef {(row: Row) => boolean} Test */

const SAID = new WeakMap();

/** What may stand before a colon, and what it means; the page shows these as help. */
export const NAMES = {
  status: "429, 4xx or none",
  ending: "running, answered, refused, cut or hung",
  scope: "an x-phi-scope",
  surface: "serverless, openai_v1, \u2026",
  model: "a deployment or model",
  path: "a part of the path",
  fault: "a part of the fault's table",
  ms: ">500 or <20: the whole time",
  tokens: ">100 or <5: of the answer",
  is: "stream, error, fault, script or slow",
};

/** @type {Record<string, (row: Row) => any>} */
const TEXTS = {
  ending: (row) => row.ending,
  scope: (row) => row.scope,
  surface: (row) => row.surface,
  model: (row) => row.deployment ?? "",
  path: (row) => row.path,
  fault: (row) => (row.fault === null ? "" : JSON.stringify(row.fault)),
};

/** @type {Record<string, (row: Row) => number | null | undefined>} */
const NUMBERS = { ms: (row) => row.spent.total_ms, tokens: (row) => row.usage?.completion };

/** @type {Record<string, Test>} */
const KINDS = {
  stream: (row) => row.streamed,
  error: (row) => row.error_code !== null || row.status >= 400,
  fault: (row) => row.fault !== null,
  script: (row) => row.scripted !== null,
  slow: (row) => row.spent.total_ms >= 1000,
};

/**
 * The test that a text asks for, or what can't be understood in it.
 * @param {string} text
 * @returns {{ test: Test, error: string }}
 */
export function readQuery(text) {
  /** @type {Test[]} */
  const tests = [];
  for (const [, minus, name, quoted, bare] of text.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/gi)) {
    const value = (quoted ?? bare).toLowerCase();
    const known = name !== undefined && Object.hasOwn(NAMES, name.toLowerCase());
    const read = known ? field(name.toLowerCase(), value) : word(name === undefined ? value : `${name}:${value}`.toLowerCase());
    if (typeof read === "string") return { test: () => true, error: read };
    tests.push(minus === "" ? read : (row) => !read(row));
  }
  return { test: (row) => tests.every((test) => test(row)), error: "" };
}

/**
 * @param {string} value
 * @returns {Test}
 */
function word(value) {
  return (row) => {
    let said = SAID.get(row);
    if (said === undefined) {
      said = [row.id, row.path, row.scope, row.deployment, row.ending, row.status, row.error_code, row.surface, row.finish_reason]
        .join(" ")
        .toLowerCase();
      SAID.set(row, said);
    }
    return said.includes(value);
  };
}

/**
 * @param {string} name
 * @param {string} value
 * @returns {Test | string}
 */
function field(name, value) {
  if (name in TEXTS) return (row) => String(TEXTS[name](row)).toLowerCase().includes(value);
  if (name === "is") return KINDS[value] ?? `is: takes ${NAMES.is}`;
  if (name === "status") return status(value);
  const found = /^([<>]?=?)(\d+(?:\.\d+)?)$/.exec(value);
  if (found === null) return `${name}: takes a number, such as ${name}:>500`;
  const number = Number(found[2]);
  return (row) => {
    const has = NUMBERS[name](row);
    if (has === null || has === undefined) return false;
    switch (found[1]) {
      case ">": return has > number;
      case ">=": return has >= number;
      case "<": return has < number;
      case "<=": return has <= number;
      default: return Math.round(has) === number;
    }
  };
}

/**
 * @param {string} value
 * @returns {Test | string}
 */
function status(value) {
  if (value === "none") return (row) => row.status === null;
  if (!/^[1-5](\d{0,2}|x{1,2}|\dx)$/.test(value)) return `status: takes ${NAMES.status}`;
  const begins = value.replace(/x+$/, "");
  return (row) => row.status !== null && String(row.status).startsWith(begins);
}
