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

const DAY = { weekday: "long", day: "numeric", month: "long", year: "numeric" };
/** Made once: to make one takes longer than the rest of a row. Not before it is needed, since the page is not to wait for it. */
let dayFormat = null;

/** The local date, in the language of the browser. */
export function dayOf(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "outside any calendar";
  dayFormat ??= new Intl.DateTimeFormat(undefined, DAY);
  return dayFormat.format(date);
}

/** The local date and time with its ms and zone, as for one event. */
export function fullTime(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  const zone = date.toLocaleTimeString(undefined, { timeZoneName: "short" }).split(" ").at(-1);
  return `${dayOf(ms)}, ${timeOfDay(ms)}.${String(date.getMilliseconds()).padStart(3, "0")} ${zone}`;
}

/** How long something took, in one unit: "12 s", "3 min", "5 h", "2 days". */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** "attic", "attic and study", "attic, study and 2 more": at most three names. */
export function listed(names) {
  if (names.length <= 2) return names.join(" and ");
  if (names.length === 3) return `${names[0]}, ${names[1]} and ${names[2]}`;
  return `${names[0]}, ${names[1]} and ${names.length - 2} more`;
}

/** "1 event", "2 events". */
export function counted(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** Replace the children only if they differ, so that a pointer or a screen reader within is not disturbed. */
export function replaceIfOther(parent, children) {
  const isSame = parent.children.length === children.length && children.every((child, index) => child.isEqualNode(parent.children[index]));
  if (!isSame) parent.replaceChildren(...children);
}

/** A new element with a class, text, and children. Text is never read as markup. */
export function element(tag, className = "", text = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== "") made.textContent = text;
  made.append(...children);
  return made;
}
