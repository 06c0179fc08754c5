// What happens at the emulator, as it tells it: read again from where it was after every break, and said in words.

import { ApiError, words } from "./api.js";
import { readEvents } from "./sse.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
const SILENCE = 10_000; // the engine's state comes about once a second

/** @typedef {{ state: "waiting" | "connected" | "gone" | "key", text: string }} Connection */

export class Feed extends EventTarget {
  /**
   * @param {import("./api.js").Api} api
   * @param {import("./store.js").Store} store
   */
  constructor(api, store) {
    super();
    this.api = api;
    this.store = store;
    /** @type {Connection} */
    this.connection = { state: "waiting", text: "Connecting" };
    /** @type {any} */
    this.engine = null;
    this.#wake = () => undefined;
  }

  /** @type {() => void} */
  #wake;

  /** Read as long as the page is open. */
  async run() {
    let wait = FIRST_WAIT;
    for (;;) {
      try {
        await this.#read(() => {
          wait = FIRST_WAIT;
        });
        this.#is("gone", "The emulator ended its answer; connecting again");
      } catch (error) {
        if (error instanceof ApiError && error.wantsKey) this.#is("key", "The emulator wants another key");
        else this.#is("gone", `${words(error)} Trying again by itself`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  /** Try again now: there is another key, or somebody looks again. */
  retry() {
    this.#wake();
  }

  /** @param {() => void} connected */
  async #read(connected) {
    await this.api.connect();
    const controller = new AbortController();
    try {
      const response = await this.api.open("/_emulator/events", { signal: controller.signal });
      let whole = true;
      for await (const event of readEvents(response, { silence: SILENCE })) {
        connected();
        if (this.connection.state !== "connected") this.#is("connected", "Connected");
        if (event.type === "exchanges") {
          this.store.take(JSON.parse(event.data), { whole });
          whole = false;
        } else if (event.type === "engine") {
          this.engine = JSON.parse(event.data);
          this.store.prune(performance.now());
          this.dispatchEvent(new Event("engine"));
        }
      }
    } finally {
      controller.abort();
    }
  }

  /**
   * @param {Connection["state"]} state
   * @param {string} text
   */
  #is(state, text) {
    this.connection = { state, text };
    this.dispatchEvent(new Event("connection"));
  }
}
