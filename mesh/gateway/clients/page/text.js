/** How ids, times and events are shown as text. */

const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** `text` with escapes for characters that are invisible or change the direction; joiners of scripts and emojis stay. */
export function printable(text) {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** Parses JSON. A number that JavaScript would round keeps its text, if the browser supports that. */
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

/** The nodes that are known: a node id NAME~HASH is shown as NAME while no other node has this name. */
export class Names {
  #first = new Map();
  #shared = new Set();

  /** Add an id. Returns whether a name that was shown before has become ambiguous. */
  see(id) {
    const [name, mark] = id.split("~");
    if (mark === undefined || this.#shared.has(name)) return false;
    if (!this.#first.has(name)) this.#first.set(name, id);
    if (this.#first.get(name) === id) return false;
    this.#shared.add(name);
    return true;
  }

  /** The NAME of a node, or its whole id if that is ambiguous; the USER of a client's id USER:... */
  shown(id) {
    const [name, mark] = id.split("~");
    if (mark === undefined) return printable(id.split(":")[0]);
    return printable(this.#shared.has(name) ? id : name);
  }
}

const two = (number) => String(number).padStart(2, "0");

/** The local time of day; the number itself if it is out of range for a date. */
export function timeOfDay(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The local date, in the language of the browser. */
export function dayOf(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "outside any calendar";
  return date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

/** "1 event", "2 events". */
export function counted(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}
