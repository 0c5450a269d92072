/** The panel beside the log: the picture of the mesh, its nodes as a list, and what is known of this node. */

import { isConnected, isMissed, mapOf } from "/mesh_map.js";
import { Headline, looking } from "/headline.js";
import { drawMap } from "/picture.js";
import { $, counted, duration, element, printable, replaceIfOther } from "/text.js";

/** States of neighbours in other words than those of the node. */
const WORDS = { suspect: "no answer", left: "stopped" };

export class Side {
  #names;
  #headline = new Headline();

  constructor(names) {
    this.#names = names;
  }

  /** Show a status of the node. All of its names are known. */
  show(status) {
    const shown = (id) => this.#names.shown(id);
    const map = mapOf(status);
    this.#showHead(status, map, shown);
    drawMap($("picture"), map, shown);
    const peers = status.peers ?? [];
    const isNear = new Set([status.node_id, ...peers.map((peer) => peer.node_id)]);
    const far = (status.mesh_nodes ?? []).filter((row) => !isNear.has(row.node_id));
    replaceIfOther($("peers"), peers.map((peer) => peerItem(peer, shown)));
    $("no-peers").hidden = peers.length > 0;
    $("no-peers").textContent = `None yet. ${looking(status)}`;
    replaceIfOther($("far"), far.map((row) => farItem(row, shown)));
    $("far-section").hidden = !far.length;
    const clients = status.clients ?? [];
    replaceIfOther($("clients"), clients.map((client) => item(client.user ?? client.address ?? "", clientState(client.state), client.node_id ?? "")));
    $("clients-section").hidden = !clients.length;
    replaceIfOther($("facts"), nodeFacts(status).flatMap(([term, text]) => [element("dt", "", term), element("dd", "", printable(String(text)))]));
  }

  /** The node does not answer: what was known of the mesh may not hold any more. */
  showSilence() {
    const text = "The node does not answer. What you see is what it said last.";
    this.#tell("bad", text, text);
  }

  /** `said` is for screen readers, which read each change aloud: it has no times that pass. */
  #tell(level, text, said) {
    $("headline").textContent = text;
    $("headline").dataset.level = level;
    if ($("said").textContent !== said) $("said").textContent = said;
  }

  #showHead(status, map, shown) {
    const name = shown(status.node_id);
    const { level, text, said } = this.#headline.of(status, map, shown);
    this.#tell(level, text, said);
    $("node").textContent = name;
    $("mesh").textContent = `in mesh ${printable(status.mesh)}`;
    document.title = `${level === "bad" ? "! " : ""}${name} · peermesh`;
    $("count").textContent = `${counted(status.events ?? 0, "event")} in the log`;
    const near = (status.peers ?? []).filter(isConnected).length;
    $("about-toggle").textContent = `Mesh (${near + 1})`;
    $("about-toggle").setAttribute("aria-label", `The mesh: ${counted(near, "neighbour")} connected`);
  }
}

function nodeFacts(status) {
  const size = status.log_bytes ? `, ${(status.log_bytes / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB` : "";
  const facts = [["Mesh", status.mesh], ["Id", status.node_id], ["Events", `${(status.events ?? 0).toLocaleString()}${size}`]];
  const own = (status.mesh_nodes ?? []).find(({ state }) => state === "this");
  if (typeof own?.disk_share === "number") facts.push(["Disk", `${Math.round(100 * own.disk_share)} % full`]);
  if (typeof own?.uptime_seconds === "number") facts.push(["Up for", duration(1_000 * own.uptime_seconds)]);
  if (own?.version) facts.push(["Release", own.version]);
  return [...facts, ["Port", status.port]];
}

function peerItem(peer, shown) {
  const [level, words] = peerState(peer);
  const made = item(shown(peer.node_id), words, [peer.node_id, ...(peer.addresses ?? [])].join("\n"), level);
  if (peer.reason) made.append(element("p", "why", printable(peer.reason)));
  return made;
}

function peerState(peer) {
  if (!isConnected(peer)) {
    const word = WORDS[peer.state] ?? peer.state;
    const since = peer.since_ms ? duration(Date.now() - peer.since_ms) : "";
    if (isMissed(peer)) return ["bad", since ? `${word} for ${since}` : word];
    return ["busy", since ? `${word} ${since} ago` : word];
  }
  if (peer.behind) return ["busy", `lacks ${peer.behind.toLocaleString()}`];
  if (peer.missing) return ["busy", `${peer.missing.toLocaleString()} to come`];
  return peer.session === "connecting" || peer.session === "wait" ? ["busy", peer.session] : ["good", "in step"];
}

function farItem(row, shown) {
  const seen = row.seen_ms ? ` for ${duration(Date.now() - row.seen_ms)}` : "";
  if (row.state === "gone") return item(shown(row.node_id), `away${seen}`, row.node_id, "bad");
  const lag = row.worst_lag ?? 0;
  return item(shown(row.node_id), lag ? `lag ${lag.toLocaleString()}` : "in step", row.node_id, lag ? "busy" : "good");
}

function clientState(state) {
  return state === "synchronized" ? "in step" : state;
}

function item(name, state, title, level = "good") {
  const made = element("li", "", "", element("strong", "", printable(name)), " ", element("small", "", printable(state)));
  made.dataset.level = level;
  made.title = printable(title).replaceAll("\\u000a", "\n");
  return made;
}
