/** How ids, times and events are shown as text. */

const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** `text` with what would be invisible or turn the line round written out; the joiners of scripts and emojis stay. */
export function printable(text) {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** JSON to a value. A number that this browser would round is kept as it was written, where the browser can. */
export function readJson(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (key, value, context) => {
    const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && String(value) !== context.source;
    return isRounded ? JSON.rawJSON(context.source) : value;
  });
}

/** The keys of an event besides `type`, as compact JSON; empty if there are none. */
export function restOf({ type, ...rest }) {
  return Object.keys(rest).length ? printable(JSON.stringify(rest)) : "";
}

/** Which nodes are known: a node id NAME~HASH is shown as NAME while no other node has that name. */
export class Names {
  #first = new Map();
  #shared = new Set();

  /** Take note of an id. Whether a name that was shown before has become ambiguous by it. */
  see(id) {
    const [name, mark] = id.split("~");
    if (mark === undefined || this.#shared.has(name)) return false;
    if (!this.#first.has(name)) this.#first.set(name, id);
    if (this.#first.get(name) === id) return false;
    this.#shared.add(name);
    return true;
  }

  /** A node's NAME, or its whole id; of a client's USER:... the USER. */
  shown(id) {
    const [name, mark] = id.split("~");
    if (mark === undefined) return printable(id.split(":")[0]);
    return printable(this.#shared.has(name) ? id : name);
  }
}

const two = (number) => String(number).padStart(2, "0");

/** The time of day here; the number itself where no calendar reaches. */
export function timeOfDay(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The day here, written out in the reader's language. */
export function dayOf(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "outside any calendar";
  return date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** "1 event", "2 events". */
export function counted(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}
