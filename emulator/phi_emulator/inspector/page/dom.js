// Elements made of data: a text is only ever a text, and no attribute is a style, a script or a foreign link.

/** @typedef {Node | string | number | null | undefined | false} Child */

const LINK = /^(#|\/(?!\/)|https?:\/\/)/;

/**
 * An element. `on` has its listeners, `class` its classes; `true` sets an attribute without a value, `false` leaves it out.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      setAttribute(element, key, value);
    }
  }
  element.append(...nodes(children));
  return element;
}

/**
 * An element of an SVG.
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(element, key, value);
  element.append(...nodes(children));
  return element;
}

/**
 * Set an attribute, or take it away where the value is `false` or nothing.
 * @param {Element} element
 * @param {string} key
 * @param {any} value
 */
export function setAttribute(element, key, value) {
  if (/^(on|style|src|srcdoc$|action|form)/i.test(key)) throw new Error(`no attribute ${key} is set here`);
  if (key === "href" && !LINK.test(value)) return;
  if (value === false || value === null || value === undefined) element.removeAttribute(key);
  else element.setAttribute(key, value === true ? "" : String(value));
}

/**
 * Put other children in the place of an element's own.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Write a text into an element, if it isn't there yet: what a screen reader follows should not be told twice.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A function that has `draw` called before the next frame, however often it is called until then.
 * @param {() => void} draw
 * @returns {() => void}
 */
export function oncePerFrame(draw) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  };
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children
    .flat()
    .filter((one) => one !== null && one !== undefined && one !== false)
    .map((one) => (one instanceof Node ? one : visible(String(one))));
}

// Control characters and marks of direction, which could make a text look like another one: they are shown as signs.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/**
 * A text in which nothing is hidden: what has no shape of its own is shown by a sign.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(HIDDEN, (sign) => {
    const code = /** @type {number} */ (sign.codePointAt(0));
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}
