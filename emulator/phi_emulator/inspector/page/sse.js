// Server-sent events read from an answer's body: EventSource can't send the header that carries the key.

/** @typedef {{ type: string, id: string, data: string }} ServerEvent */

/**
 * The events of a response, as they come. It ends where the body does, and fails where nothing came for `silence` ms.
 * @param {Response} response
 * @param {{ silence?: number }} [options]
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* readEvents(response, { silence = Infinity } = {}) {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  let event = { type: "message", id: "", data: /** @type {string[]} */ ([]) };
  try {
    for (;;) {
      const { done, value } = await within(silence, reader.read());
      if (done) return;
      buffer += decoder.decode(value, { stream: true });
      const lines = buffer.split(/\r\n|\n|\r(?!$)/);
      buffer = lines.pop() ?? "";
      for (const line of lines) {
        if (line !== "") take(event, line);
        else {
          if (event.data.length) yield { ...event, data: event.data.join("\n") };
          event = { type: "message", id: event.id, data: [] };
        }
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/**
 * @param {{ type: string, id: string, data: string[] }} event
 * @param {string} line
 */
function take(event, line) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") event.data.push(value);
  else if (name === "event") event.type = value;
  else if (name === "id") event.id = value;
}

/**
 * @template T
 * @param {number} limit
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function within(limit, promise) {
  if (limit === Infinity) return promise;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("nothing came any more")), limit);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
