// Formulas in texts: found here, read by the emulator, and built as MathML of an allowed list, never as markup.

const NAMESPACE = "http://www.w3.org/1998/Math/MathML";
const ELEMENTS = new Set(
  "math mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none".split(" "),
);
const ATTRIBUTES = new Set(
  "columnalign columnlines columnspacing display displaystyle fence form height largeop linethickness lspace mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator stretchy symmetric width".split(" "),
);
const LONGEST = 2000; // as the emulator's bounds
const MOST_OF_ALL = 8000;
const MOST_AT_ONCE = 100;
const MOST_KEPT = 2000;

// \[…\]  \(…\)  $$…$$  $…$ on one line, not money  \boxed{…} by itself
const FORMULA =
  /\\\[([^]{1,2000}?)\\\]|\\\(([^]{1,2000}?)\\\)|\$\$([^$]{1,2000})\$\$|(?<![\\$\w])\$(?=[^\s$])([^$\n]{1,500}?)(?<=[^\s\\])\$(?![\d$])|(\\boxed\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\}){0,500}\})/g;

/** @typedef {{ text: string, tex?: string, display?: boolean }} Piece */

/**
 * A text cut into formulas and what is between them.
 * @param {string} text
 * @returns {Piece[]}
 */
export function findFormulas(text) {
  /** @type {Piece[]} */
  const pieces = [];
  let done = 0;
  for (const found of text.matchAll(FORMULA)) {
    const [whole, bracketed, round, double, single, boxed] = found;
    const tex = bracketed ?? round ?? double ?? single ?? boxed;
    if (found.index > done) pieces.push({ text: text.slice(done, found.index) });
    pieces.push({ text: whole, tex: tex.trim(), display: bracketed !== undefined || double !== undefined });
    done = found.index + whole.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done) });
  return pieces;
}

/** Draws formulas; each of them is asked for once. */
export class Maths {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    /** @type {Map<string, any>} trees by formula; `null` for what can't be drawn */
    this.known = new Map();
  }

  /**
   * Put drawn formulas in the place of elements that show them as they are written.
   * @param {{ element: HTMLElement, tex: string, display: boolean }[]} places
   */
  async draw(places) {
    const wanted = new Map();
    for (const { tex, display } of places) {
      const key = `${display ? "D" : "I"}${tex}`;
      if (tex.length <= LONGEST && !this.known.has(key)) wanted.set(key, { tex, display });
    }
    for (const batch of batches([...wanted.entries()])) {
      const { drawn } = await this.api.post("/_emulator/formulas", { formulas: batch.map(([, formula]) => formula) });
      if (this.known.size > MOST_KEPT) this.known.clear();
      batch.forEach(([key], index) => this.known.set(key, drawn[index]));
    }
    for (const { element, tex, display } of places) {
      const tree = this.known.get(`${display ? "D" : "I"}${tex}`);
      const math = tree ? build(tree) : null;
      if (math === null) continue;
      element.replaceChildren(math);
      element.setAttribute("title", tex);
      element.classList.add("is-drawn");
    }
  }
}

/**
 * @template {[string, { tex: string, display: boolean }]} T
 * @param {T[]} entries
 * @returns {Generator<T[]>}
 */
function* batches(entries) {
  /** @type {T[]} */
  let batch = [];
  let size = 0;
  for (const entry of entries) {
    if (batch.length === MOST_AT_ONCE || (batch.length > 0 && size + entry[1].tex.length > MOST_OF_ALL)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(entry);
    size += entry[1].tex.length;
  }
  if (batch.length > 0) yield batch;
}

/**
 * The elements of a tree `[name, attributes, children]`; `null` where anything in it is not on the lists.
 * @param {any} tree
 * @returns {Element | null}
 */
export function build(tree) {
  if (!Array.isArray(tree)) return null;
  const [name, attributes, children] = tree;
  // Browsers don't draw `menclose`: a row with a frame is the same.
  const isFrame = name === "menclose";
  if (!isFrame && !ELEMENTS.has(name)) return null;
  const element = document.createElementNS(NAMESPACE, isFrame ? "mrow" : name);
  if (isFrame) element.setAttribute("class", "boxed");
  for (const [key, value] of Object.entries(attributes)) {
    if (ATTRIBUTES.has(key)) element.setAttribute(key, String(value));
  }
  for (const child of children) {
    const node = typeof child === "string" ? document.createTextNode(child) : build(child);
    if (node === null) return null;
    element.append(node);
  }
  return element;
}
