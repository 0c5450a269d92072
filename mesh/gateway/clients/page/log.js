/** The log as a list of rows, in the one order of the mesh. */

import { Names, counted, dayOf, printable, restOf, timeOfDay } from "/text.js";

/** Rows kept in the page; older ones are only counted. */
export const ROWS_LIMIT = 1_000;
/** Ids that are kept, so that an event is not counted twice. */
const SEEN_LIMIT = 100_000;
/** Characters of an event that are shown until the user clicks for all. */
const TEXT_LIMIT = 400;
const HUES = 8;
const RENDER_PAUSE_MS = 30;
const COUNT_PAUSE_MS = 400;
const NEAR_END_PX = 40;

export class LogView {
  names = new Names();
  #list;
  #scroll;
  #count;
  #newest;
  #entries = []; // ascending, at most ROWS_LIMIT
  #seen = new Set();
  #older = 0;
  #skipped = 0;
  #unread = 0;
  #fresh = 0;
  #renderPause = 0;
  #countPause = 0;
  #size = "";
  #follows = true; // whether the list is at its end, and scrolls to new events

  constructor({ list, scroll, count, newest }) {
    this.#list = list;
    this.#scroll = scroll;
    this.#count = count;
    this.#newest = newest;
    newest.addEventListener("click", () => this.showNewest());
    scroll.addEventListener("scroll", () => this.#noteScroll());
    // A keyboard on the screen, a turned screen or a taller form must not hide the newest event.
    new ResizeObserver(() => this.#noteSize()).observe(scroll);
  }

  /** Show these events too, without those that are shown already. */
  take(entries) {
    const fresh = entries.filter((entry) => !this.#seen.has(entry.id));
    if (!fresh.length) return;
    for (const entry of fresh) this.#insert(entry);
    this.#fresh += fresh.length;
    this.#renderPause ||= setTimeout(() => this.#showFresh(), RENDER_PAUSE_MS);
    this.#showCountSoon();
  }

  /** These events of this page are on the node's disk. */
  confirm(entries) {
    for (const entry of entries) {
      entry.isWaiting = false;
      entry.row?.classList.remove("waiting");
    }
  }

  /** How many events of the node were not requested, as they are too old. */
  skip(count) {
    this.#skipped = count;
    this.#showCountSoon();
  }

  /** The log is that of another node now: keep only the events that wait to be sent. */
  clear() {
    this.#entries = this.#entries.filter((entry) => entry.isWaiting);
    this.#seen = new Set(this.#entries.map((entry) => entry.id));
    this.#older = 0;
    this.#render();
    this.#showCountSoon();
  }

  /** A name may have become ambiguous: update the names in all rows. */
  rename() {
    for (const { row, origin } of this.#entries) {
      if (row) row.querySelector(".origin").textContent = this.names.shown(origin);
    }
  }

  /** Scroll to the end of the log, and follow it from now on. */
  showNewest() {
    this.#render();
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#forgetUnread();
  }

  #insert(entry) {
    this.#seen.add(entry.id);
    if (this.#seen.size > SEEN_LIMIT) this.#seen.delete(this.#seen.values().next().value);
    if (this.names.see(entry.origin)) this.rename();
    let place = this.#entries.length;
    if (place && isBefore(entry, this.#entries[place - 1])) place = placeOf(entry, this.#entries);
    this.#entries.splice(place, 0, entry);
    if (this.#entries.length > 2 * ROWS_LIMIT) this.#trim();
  }

  #trim() {
    const removed = this.#entries.splice(0, Math.max(0, this.#entries.length - ROWS_LIMIT));
    this.#older += removed.length;
    for (const entry of removed) {
      entry.row?.remove();
      entry.row = null;
    }
  }

  /** Brings the rows into the order of the entries; rows in their place are not moved. */
  #render() {
    this.#trim();
    let next = this.#list.firstElementChild;
    let day = "";
    for (const entry of this.#entries) {
      entry.row ??= this.#makeRow(entry);
      if (entry.row === next) next = next.nextElementSibling;
      else this.#list.insertBefore(entry.row, next);
      entry.row.classList.toggle("new-day", entry.row.dataset.day !== day);
      day = entry.row.dataset.day;
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
  }

  #makeRow(entry) {
    const row = document.createElement("li");
    row.dataset.day = dayOf(entry.time);
    const time = row.appendChild(document.createElement("time"));
    time.textContent = timeOfDay(entry.time);
    time.title = `${row.dataset.day}, ${time.textContent}`;
    const origin = row.appendChild(span("origin", this.names.shown(entry.origin)));
    origin.classList.add(`hue-${hueOf(entry.origin)}`);
    origin.title = printable(entry.origin);
    row.append(span("type", printable(entry.event.type)), restSpan(restOf(entry.event)));
    row.classList.toggle("waiting", entry.isWaiting === true);
    return row;
  }

  #showFresh() {
    this.#renderPause = 0;
    if (this.#follows) {
      this.showNewest();
    } else {
      this.#render();
      this.#showUnread(this.#fresh);
    }
    this.#fresh = 0;
  }

  #noteScroll() {
    if (this.#size !== this.#currentSize()) return; // the browser scrolled it after a change of size
    const { scrollTop, clientHeight, scrollHeight } = this.#scroll;
    if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) this.#forgetUnread();
    else this.#follows = false;
  }

  #noteSize() {
    this.#size = this.#currentSize();
    if (this.#follows) this.showNewest();
  }

  #currentSize() {
    return `${this.#scroll.clientWidth} ${this.#scroll.clientHeight}`;
  }

  #showUnread(number) {
    this.#unread += number;
    this.#newest.textContent = `${counted(this.#unread, "new event")} ↓`;
    this.#newest.hidden = false;
  }

  #forgetUnread() {
    this.#follows = true;
    this.#unread = 0;
    this.#newest.hidden = true;
  }

  /** Not at each event, since screen readers read the count aloud. */
  #showCountSoon() {
    this.#countPause ||= setTimeout(() => {
      this.#countPause = 0;
      this.#showCount();
    }, COUNT_PAUSE_MS);
  }

  #showCount() {
    const all = this.#entries.length + this.#older + this.#skipped;
    const older = all - Math.min(this.#entries.length, ROWS_LIMIT);
    const rest = older ? `; the ${older.toLocaleString()} oldest are not shown` : "";
    this.#count.textContent = all ? `${counted(all, "event")}${rest}` : "No events yet: add the first one below.";
  }
}

/** The order of the mesh: by time, then by created: ms, node id and counter. */
function isBefore(left, right) {
  if (left.time !== right.time) return left.time < right.time;
  if (left.ms !== right.ms) return left.ms < right.ms;
  if (left.origin !== right.origin) return left.origin < right.origin;
  return left.n < right.n;
}

function placeOf(entry, entries) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(entries[middle], entry)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

function restSpan(text) {
  const rest = span("rest", text);
  if (text.length <= TEXT_LIMIT) return rest;
  rest.textContent = `${text.slice(0, TEXT_LIMIT)}… `;
  const more = rest.appendChild(document.createElement("button"));
  more.type = "button";
  more.className = "more";
  more.textContent = `all ${text.length.toLocaleString()} characters`;
  more.addEventListener("click", () => (rest.textContent = text));
  return rest;
}

/** The number of a colour, always the same for one origin; all pages of one user have the same. */
function hueOf(origin) {
  let sum = 0;
  for (const character of origin.split(":")[0]) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % HUES;
}
