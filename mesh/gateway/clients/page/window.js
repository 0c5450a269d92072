/** A piece of the log in its order: entries that are read from the node in both directions, and those that come live. */

/** Entries that are kept; beyond them the farther end is given up, and read again when the user comes back to it. */
export const MOST_ENTRIES = 240;
/** Entries that one request asks for. */
const PAGE_ENTRIES = 60;

/** `before` is the way to older events, `after` to newer ones. */
export class LogWindow {
  /** In ascending order. */
  entries = [];
  /** Whether there is nothing more at that end. */
  ends = { before: true, after: true };
  #cursors = { before: null, after: null };
  #known = new Map();

  /** Forget all but the events that wait to be sent, and begin at the newest ones. */
  reset(entries = this.entries) {
    this.entries = entries.filter((entry) => entry.isWaiting);
    this.#known = new Map(this.entries.map((entry) => [entry.id, entry]));
    this.ends = { before: false, after: true };
    this.#cursors = { before: null, after: null };
  }

  find(id) {
    return this.#known.get(id);
  }

  /** The query of the request that goes on at this end. */
  request(query, way) {
    const edge = way === "before" ? this.#oldestRead() : this.entries.at(-1);
    const place = this.#cursors[way] ?? (edge ? `${edge.time} ${edge.id}` : null);
    if (place !== null) query.set(way, place);
    query.set("limit", String(PAGE_ENTRIES));
    return query;
  }

  /** Take the answer to such a request; the result is the entries that are new. */
  takePage({ entries, next }, way) {
    this.#cursors[way] = next;
    this.ends[way] = next === null;
    const fresh = entries.filter((entry) => !this.#refresh(entry));
    for (const entry of fresh) this.#insert(entry);
    return fresh;
  }

  /** A cursor does not hold any more: go on after the outermost entry. */
  loseCursor(way) {
    this.#cursors[way] = null;
  }

  /** Take an event that came live; false if it is known, or lies in a part of the log that is not kept here. */
  takeLive(entry) {
    if (this.#known.has(entry.id)) return false;
    const oldest = this.#oldestRead();
    if (!this.ends.before && oldest && isBefore(entry, oldest)) return false;
    if (!this.ends.after && !isBefore(entry, this.entries.at(-1))) return false;
    this.#insert(entry);
    return true;
  }

  /** Give up entries beyond MOST_ENTRIES at the end that lies against this way; the result is those. */
  trim(way) {
    const excess = this.entries.length - MOST_ENTRIES;
    if (excess <= 0) return [];
    const end = way === "before" ? "after" : "before";
    const removed = end === "after" ? this.entries.splice(MOST_ENTRIES) : this.entries.splice(0, excess);
    for (const { id } of removed) this.#known.delete(id);
    this.ends[end] = false;
    this.#cursors[end] = null;
    return removed;
  }

  /** Own events that wait may have an older time than what is read. */
  #oldestRead() {
    return this.entries.find((entry) => !entry.isWaiting);
  }

  /** A known entry gets the meta that was read. */
  #refresh(entry) {
    const known = this.#known.get(entry.id);
    if (known) known.meta = entry.meta;
    return known !== undefined;
  }

  #insert(entry) {
    this.#known.set(entry.id, entry);
    let [low, high] = [0, this.entries.length];
    if (high && !isBefore(entry, this.entries[high - 1])) low = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(this.entries[middle], entry)) low = middle + 1;
      else high = middle;
    }
    this.entries.splice(low, 0, entry);
  }
}

/** The order of the mesh: by time, then by created: ms, node id and counter. */
function isBefore(left, right) {
  if (left.time !== right.time) return left.time < right.time;
  if (left.ms !== right.ms) return left.ms < right.ms;
  if (left.origin !== right.origin) return left.origin < right.origin;
  return left.n < right.n;
}
