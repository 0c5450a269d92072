/** What the user searches for, as a query to the node and as a test for events that come live. */

/** All that is given has to fit; times are in ms. The node compares in the same way. */
export class Search {
  constructor({ text = "", type = "", node = "", since = null, until = null } = {}) {
    this.text = text.trim();
    this.types = type.split(",").map((name) => name.trim()).filter((name) => name !== "");
    this.node = node.trim();
    this.since = since;
    this.until = until;
  }

  get isEmpty() {
    return !this.isNarrow && this.since === null && this.until === null;
  }

  /** Whether the node has to look for events that fit, so that a page may take it several answers. */
  get isNarrow() {
    return this.text !== "" || this.types.length > 0 || this.node !== "";
  }

  /** The query of a request for these events. */
  query() {
    const query = new URLSearchParams();
    for (const name of this.types) query.append("type", name);
    if (this.node) query.set("node", this.node);
    if (this.text) query.set("text", this.text);
    if (this.since !== null) query.set("since", String(this.since));
    if (this.until !== null) query.set("until", String(this.until));
    return query;
  }

  fits({ event, origin, time }) {
    if (this.since !== null && time < this.since) return false;
    if (this.until !== null && time >= this.until) return false;
    if (this.node && !origin.toLowerCase().startsWith(this.node.toLowerCase())) return false;
    if (this.types.length && !this.types.some((name) => hasType(event.type, name))) return false;
    const piece = JSON.stringify(this.text).slice(1, -1).toLowerCase();
    return !piece || JSON.stringify(event).toLowerCase().includes(piece);
  }
}

function hasType(type, name) {
  return name.endsWith("*") ? type.startsWith(name.slice(0, -1)) : type === name;
}

/** The ms of an input for a local date and time, null if it is empty. */
export function msOf(input) {
  const ms = new Date(input.value).getTime();
  return input.value === "" || Number.isNaN(ms) ? null : Math.max(0, ms);
}
