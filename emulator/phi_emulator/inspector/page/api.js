// The emulator's control routes, asked with the key in a header, and its errors in words.

/** What the emulator refused, or why it could not be asked. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 where there was no answer
   * @param {{ wantsKey?: boolean }} [options] whether another key is what helps
   */
  constructor(message, status, { wantsKey = false } = {}) {
    super(message);
    this.status = status;
    this.wantsKey = wantsKey;
  }
}

const KEPT = "phi-emulator-key";

/** One emulator, the one that this page is from. */
export class Api {
  constructor() {
    /** @type {any} */
    this.surface = null;
    /** The `x-phi-scope` of what is set and asked; empty is all. */
    this.scope = "";
    /** @type {() => void} */
    this.onWrongKey = () => undefined;
  }

  /** Learn how it is asked. The key is the public one where it is told, else the one that was given in this tab. */
  async connect() {
    this.surface = await this.#json(await this.#fetch("/_emulator/surface", {}));
  }

  get key() {
    return this.surface?.key ?? sessionStorage.getItem(KEPT) ?? "";
  }

  /** @param {string} key */
  keepKey(key) {
    sessionStorage.setItem(KEPT, key);
  }

  /** @param {{ scoped?: boolean }} [options] */
  headers({ scoped = false } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.key !== "") headers[this.surface.key_header] = this.surface.key_prefix + this.key;
    if (scoped && this.scope !== "") headers["x-phi-scope"] = this.scope;
    return headers;
  }

  /**
   * @param {string} path
   * @param {{ scoped?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<any>}
   */
  async get(path, options = {}) {
    return this.#json(await this.open(path, options));
  }

  /**
   * @param {string} path
   * @param {any} body
   * @param {{ scoped?: boolean }} [options]
   * @returns {Promise<any>}
   */
  async post(path, body, options = {}) {
    return this.#json(await this.open(path, { ...options, method: "POST", body }));
  }

  /**
   * @param {string} path
   * @param {{ scoped?: boolean }} [options]
   * @returns {Promise<any>}
   */
  async delete(path, options = {}) {
    return this.#json(await this.open(path, { ...options, method: "DELETE" }));
  }

  /**
   * An answer whose head is good; its body is the caller's to read.
   * @param {string} path
   * @param {{ method?: string, body?: any, scoped?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<Response>}
   */
  async open(path, { method = "GET", body, scoped = false, signal } = {}) {
    if (this.surface === null) await this.connect();
    const headers = this.headers({ scoped });
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const response = await this.#fetch(path, { method, headers, body: sent, signal, cache: "no-store" });
    if (response.ok) return response;
    // Without any key some surfaces say 400.
    const wantsKey = response.status === 401 || (response.status === 400 && this.key === "");
    if (wantsKey) {
      this.onWrongKey();
      // Whoever restarted the emulator may have given it another key, or made it public.
      this.surface = null;
    }
    throw new ApiError(await reason(response), response.status, { wantsKey });
  }

  /**
   * @param {string} path
   * @param {RequestInit} options
   */
  async #fetch(path, options) {
    try {
      return await fetch(path, { credentials: "omit", redirect: "error", ...options });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      if (error instanceof TypeError && /header|ByteString|ISO-8859/i.test(error.message)) {
        throw new ApiError("The key or the scope has characters that no header can carry.", 0, { wantsKey: true });
      }
      throw new ApiError("The emulator does not answer.", 0);
    }
  }

  /** @param {Response} response */
  async #json(response) {
    try {
      return await response.json();
    } catch {
      throw new ApiError("The answer of the emulator broke off, or is no JSON.", 0);
    }
  }
}

/**
 * Why a request was refused, in the words of the surface.
 * @param {Response} response
 */
async function reason(response) {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    const said = body?.error?.message ?? body?.message ?? body?.status ?? body?.detail ?? body?.error ?? text;
    return short(typeof said === "string" ? said : JSON.stringify(said)) || `Status ${response.status}`;
  } catch {
    return short(text) || `Status ${response.status}`;
  }
}

/** @param {string} text */
function short(text) {
  return text.length > 400 ? `${text.slice(0, 400)}\u2026` : text;
}

/**
 * What is to be said of a failure.
 * @param {unknown} error
 */
export function words(error) {
  return error instanceof Error ? error.message : String(error);
}
