/** The mesh as the node's status tells it: nodes, links and islands, for the picture, the list and the headline. */

/**
 * {isWhole, nodes, links, islands}: a node is {id, state, island, seenMs, lag, text}, with state `this`, `linked`, `seen` (others
 * reach it), `behind`, or `gone`; a link is {ends: [id, id], lag}; islands are lists of nodes, the one of this node first.
 *
 * `isWhole`: the status has the rows of the whole mesh. Without them it is this node and its neighbours.
 */
export function mapOf(status) {
  const rows = status.mesh_nodes;
  const isWhole = Array.isArray(rows) && rows.length > 0;
  const map = isWhole ? wholeMap(rows, status) : neighbourMap(status);
  return { isWhole, ...map, islands: islandsOf(map.nodes) };
}

/** Whether a session with this neighbour is open. */
export function isConnected(peer) {
  return peer.session !== null && peer.session !== undefined;
}

/** Neighbours that said goodbye are not missed. */
export function isMissed(peer) {
  return !isConnected(peer) && peer.state !== "left" && peer.state !== "found";
}

function neighbourMap({ node_id: ownId, peers = [] }) {
  const nodes = [{ id: ownId, state: "this", island: 0, seenMs: null, lag: 0 }];
  const links = [];
  for (const peer of peers) {
    const lag = (peer.behind ?? 0) + (peer.missing ?? 0);
    const state = !isConnected(peer) ? "gone" : lag ? "behind" : "linked";
    nodes.push({ id: peer.node_id, state, island: state === "gone" ? 1 : 0, seenMs: state === "gone" ? peer.since_ms : null, lag });
    if (state !== "gone") links.push({ ends: [ownId, peer.node_id], lag });
  }
  return { nodes, links };
}

function wholeMap(rows, { peers = [] }) {
  const nodes = rows.map((row) => ({
    id: row.node_id,
    state: row.state !== "this" && row.state !== "gone" && row.worst_lag ? "behind" : row.state,
    island: row.island,
    seenMs: row.state === "gone" ? row.seen_ms : null,
    lag: row.worst_lag ?? 0,
  }));
  const known = new Map(nodes.map((node) => [node.id, node]));
  const outside = Math.max(0, ...nodes.map((node) => node.island)) + 1;
  for (const peer of peers) {
    if (known.has(peer.node_id) || isConnected(peer)) continue;
    const node = { id: peer.node_id, state: "gone", island: outside, seenMs: peer.since_ms ?? null, lag: 0 };
    nodes.push(node);
    known.set(node.id, node);
  }
  const links = new Map();
  for (const row of rows) {
    for (const { node_id: other, lag } of row.links ?? []) {
      const end = known.get(other) ?? nodes.find(({ id }) => other.startsWith("~") && id.includes(other));
      if (!end || end.island !== known.get(row.node_id).island) continue; // an end that is on another island now
      const ends = [row.node_id, end.id].sort();
      const key = ends.join(" ");
      links.set(key, { ends, lag: Math.max(lag, links.get(key)?.lag ?? 0) });
    }
  }
  return { nodes, links: [...links.values()] };
}

function islandsOf(nodes) {
  const islands = new Map();
  for (const node of [...nodes].sort((left, right) => left.island - right.island || (left.id < right.id ? -1 : 1))) {
    if (!islands.has(node.island)) islands.set(node.island, []);
    islands.get(node.island).push(node);
  }
  return [...islands.values()];
}
