/** One sentence that says how this node stands with its neighbours and the mesh. */

import { isConnected, isMissed } from "/mesh_map.js";
import { counted, duration, listed } from "/text.js";

/** A neighbour that lacks events for a shorter time is not worth a word: new ones are on their way all the time. */
const PATIENCE_MS = 4_000;

/** Remembers since when neighbours lack events, by the clock of this page. */
export class Headline {
  #lagging = new Map();

  /** {level, text, said} for a status and its map: `good`, `busy` or `bad`; `said` is the text without how long it is so. `shown(id)` is the name of a node. */
  of(status, map, shown, now = performance.now()) {
    const peers = status.peers ?? [];
    const connected = peers.filter(isConnected);
    const missed = peers.filter(isMissed);
    const names = (rows) => listed(rows.map((row) => shown(row.node_id ?? row.id)));
    this.#noteLags(connected, now);
    if (status.store_error) return told("bad", `The disk of this node fails: ${status.store_error.error}`);
    if (!peers.length) return busy(`Alone: no neighbour is known yet. ${looking(status)}`);
    if (!connected.length) {
      if (!missed.length) return busy("Alone: no neighbour is connected now.");
      return bad("Alone: ", names(missed), missed, ".");
    }
    const left = new Set(peers.filter((peer) => peer.state === "left").map((peer) => peer.node_id));
    const islands = map.islands.slice(1).map((island) => island.filter(({ id }) => !left.has(id)));
    const apart = islands.flat();
    if (map.isWhole && apart.length) {
      const parts = islands.filter((island) => island.length > 1).length + 1;
      const isSplit = parts > 1 ? `The mesh is in ${parts} parts: ` : "";
      const rest = `${connected.length} of ${counted(connected.length + missed.length, "neighbour")} connected.`;
      return bad(isSplit, names(apart), missed, `; ${rest}`);
    }
    if (missed.length) {
      const rest = `Connected with ${connected.length} of ${counted(connected.length + missed.length, "neighbour")}`;
      return bad(`${rest}: `, names(missed), missed, ".");
    }
    const waiting = connected.filter((peer) => now - (this.#lagging.get(peer.node_id) ?? now) >= PATIENCE_MS);
    if (waiting.length) return busy(`${waiting.map((peer) => lagOf(peer, shown(peer.node_id))).join("; ")}.`);
    const others = map.isWhole && map.nodes.length > connected.length + 1 ? `, ${map.nodes.length} nodes in all` : "";
    return told("good", `In step with ${names(connected)}${others}.`);
  }

  #noteLags(connected, now) {
    const lagging = connected.filter((peer) => peer.behind || peer.missing);
    this.#lagging = new Map(lagging.map(({ node_id: id }) => [id, this.#lagging.get(id) ?? now]));
  }
}

function lagOf({ behind, missing }, name) {
  const parts = [];
  if (behind) parts.push(`${name} lacks ${counted(behind, "event")} of this node`);
  if (missing) parts.push(`this node lacks ${counted(missing, "event")} of ${name}`);
  return parts.join(", ");
}

/** Whether the node looks for others, as a sentence. */
export function looking({ discovery }) {
  return discovery?.on === false ? `The node does not look for others: ${discovery.why}.` : "The node looks for others on its network.";
}

/** Some nodes are missed, since the first one of `missed` is. */
function bad(before, names, missed, after) {
  const said = `${before}${names} cannot be reached${after}`;
  const since = Math.min(...missed.map((peer) => peer.since_ms ?? Infinity));
  if (!Number.isFinite(since)) return told("bad", said);
  return told("bad", `${before}no contact with ${names} for ${duration(Date.now() - since)}${after}`, said);
}

const told = (level, text, said = text) => ({ level, text, said });
const busy = (text) => told("busy", text);
