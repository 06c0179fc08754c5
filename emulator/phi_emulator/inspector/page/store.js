// The exchanges that the page knows: those that run, and behind them the ended ones, the newest first.

/** @typedef {Record<string, any>} Row an exchange as `GET /_emulator/journal` tells it */

const MOST = 50_000;
const UNTOLD = 10_000; // ms after which one that ran is not there any more: those that run are told once a second

export class Store extends EventTarget {
  constructor() {
    super();
    /** @type {Map<string, Row>} */
    this.byId = new Map();
    /** @type {Set<string>} */
    this.scopes = new Set();
    /** The number of the exchange that ended last. */
    this.last = 0;
    this.dropped = 0;
    this.keepsTexts = false;
    /** @type {Row[]} by number */
    this.ended = [];
    /** @type {Map<string, Row>} */
    this.running = new Map();
    /** When each of those was told last. @type {Map<string, number>} */
    this.told = new Map();
  }

  /**
   * Forget those that ran and are not told of any more: the journal keeps not all that has ended.
   * @param {number} now in ms
   */
  prune(now) {
    const gone = [...this.running.keys()].filter((id) => now - (this.told.get(id) ?? 0) > UNTOLD);
    for (const id of gone) {
      this.running.delete(id);
      this.byId.delete(id);
      this.told.delete(id);
    }
    if (gone.length > 0) this.dispatchEvent(new Event("change"));
  }

  /**
   * Take what the emulator tells. `whole` says that it is all that there is.
   * @param {{ last: number, dropped: number, keeps_texts: boolean, exchanges: Row[] }} told
   * @param {{ whole?: boolean }} [options]
   */
  take(told, { whole = false } = {}) {
    // Numbers never grow smaller, but for those of an emulator that was started again.
    if (whole || told.last < this.last) this.#forget();
    this.last = Math.max(this.last, told.last);
    this.dropped = told.dropped;
    this.keepsTexts = told.keeps_texts;
    for (const row of told.exchanges) this.#put(row);
    if (this.ended.length > MOST) {
      for (const row of this.ended.splice(0, this.ended.length - MOST)) this.byId.delete(row.id);
    }
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Forget what has ended, as the journal did, of one scope or, where it is empty, of all.
   * @param {string} scope
   */
  clear(scope) {
    const isGone = (/** @type {Row} */ row) => scope === "" || row.scope === scope;
    for (const row of this.ended.filter(isGone)) this.byId.delete(row.id);
    this.ended = this.ended.filter((row) => !isGone(row));
    this.dispatchEvent(new Event("change"));
  }

  /** All of them, the newest first. */
  rows() {
    return [...[...this.running.values()].reverse(), ...this.ended.toReversed()];
  }

  get size() {
    return this.byId.size;
  }

  /** @param {Row} row */
  #put(row) {
    const known = this.byId.get(row.id);
    if (known !== undefined && known.number !== null) return;
    this.byId.set(row.id, row);
    if (row.scope) this.scopes.add(row.scope);
    if (row.number === null) {
      this.running.set(row.id, row);
      this.told.set(row.id, performance.now());
      return;
    }
    this.running.delete(row.id);
    this.told.delete(row.id);
    const before = this.ended.at(-1);
    this.ended.push(row);
    if (before !== undefined && before.number > row.number) this.ended.sort((a, b) => a.number - b.number);
  }

  #forget() {
    this.byId.clear();
    this.running.clear();
    this.told.clear();
    this.ended = [];
    this.last = 0;
  }
}
