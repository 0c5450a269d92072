/** The picture of the mesh: nodes in a circle for each island, and the links between them. */

import { counted, duration, replaceIfOther } from "/text.js";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const NODE_RADIUS = 8;
/** Around a circle: room for nodes and for their names beside and below. */
const MARGIN = 34;
const SPACING = 34;
const SMALLEST = 30;
const LARGEST = 112;
/** More nodes than these have no room for their names; a pointer still finds them, and the list has them all. */
const NAMED = 12;
const NAME_CHARACTERS = 11;
const SINGLE_WIDTH = 100;
const CAPTION = 16;
/** A link whose other end lacks so many events is drawn as far behind. */
const FAR = 1_000;

/** Draw the map (see mapOf) into the svg. `shown(id)` is the name of a node. */
export function drawMap(svg, map, shown) {
  const parts = [];
  let [x, y, height] = [0, 0, 0];
  for (const [number, island] of map.islands.entries()) {
    const size = sizeOf(island, map.islands.length > 1);
    if (x + size.width > WIDTH) [x, y, height] = [0, y + height, 0];
    parts.push(drawIsland(island, number, size, x, y, map, shown));
    x += size.width;
    height = Math.max(height, size.height);
  }
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${y + height}`);
  svg.setAttribute("aria-label", summary(map));
  replaceIfOther(svg, parts);
}

/** The picture in words; the list below it has the nodes. */
function summary({ nodes, islands, links }) {
  const behind = links.filter(({ lag }) => lag).length;
  const parts = islands.length > 1 ? ` in ${islands.length} parts that do not reach each other` : "";
  const lags = behind ? `, ${behind} of them with events on the way` : "";
  return `Picture of the mesh: ${counted(nodes.length, "node")}${parts}, ${counted(links.length, "link")}${lags}. The list has each node.`;
}

function sizeOf(island, hasCaption) {
  const caption = hasCaption ? CAPTION : 0;
  if (island.length === 1) return { width: hasCaption ? SINGLE_WIDTH : WIDTH, height: 68 + caption, radius: 0, caption };
  const radius = Math.min(LARGEST, Math.max(SMALLEST, (island.length * SPACING) / (2 * Math.PI)));
  return { width: WIDTH, height: 2 * (radius + MARGIN) + caption, radius, caption };
}

function drawIsland(island, number, { width, height, radius, caption }, left, top, map, shown) {
  const group = made("g", { class: number ? "island apart" : "island" });
  if (caption) {
    group.append(made("rect", { x: left + 3, y: top + 3, width: width - 6, height: height - 6, rx: 12 }));
    group.append(made("text", { class: "caption", x: left + 12, y: top + 19 }, captionOf(island, number)));
  }
  const [middleX, middleY] = [left + width / 2, top + caption + (height - caption) / 2 - (radius ? 0 : 6)];
  const places = new Map();
  const first = [...island].sort((one, other) => (other.state === "this") - (one.state === "this"));
  for (const [index, node] of first.entries()) {
    const angle = (2 * Math.PI * index) / island.length - Math.PI / 2;
    places.set(node.id, { x: middleX + radius * Math.cos(angle), y: middleY + radius * Math.sin(angle), angle });
  }
  for (const link of map.links) {
    const [one, other] = link.ends.map((id) => places.get(id));
    if (one && other) group.append(...drawLink(link, one, other, number, island.length <= NAMED, shown));
  }
  for (const node of first) group.append(drawNode(node, places.get(node.id), radius, island.length <= NAMED, shown));
  return group;
}

function captionOf(island, number) {
  if (!number) return `this part: ${counted(island.length, "node")}`;
  const seen = Math.max(...island.map((node) => node.seenMs ?? 0));
  const since = seen ? ` for ${duration(Date.now() - seen)}` : "";
  return island.length === 1 ? `away${since}` : `away${since}: ${island.length} nodes`;
}

function drawLink({ ends, lag }, one, other, number, hasNumber, shown) {
  const level = number ? "away" : lag >= FAR ? "far" : lag ? "behind" : "ok";
  const line = made("line", { class: `link ${level}`, x1: one.x, y1: one.y, x2: other.x, y2: other.y });
  const words = lag ? `${counted(lag, "event")} on the way` : "in step";
  line.append(made("title", {}, `${shown(ends[0])} and ${shown(ends[1])}: ${words}`));
  if (!lag || !hasNumber || number) return [line];
  const place = { class: "lag", x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 + 4 };
  return [line, made("text", place, lag.toLocaleString())];
}

function drawNode(node, { x, y, angle }, radius, hasName, shown) {
  const group = made("g", { class: `node ${node.state}` });
  group.append(made("circle", { cx: x, cy: y, r: node.state === "this" ? NODE_RADIUS + 2 : NODE_RADIUS }));
  const name = shown(node.id);
  if (hasName || node.state === "this") {
    const [cos, sin] = radius ? [Math.cos(angle), Math.sin(angle)] : [0, 1];
    const side = Math.abs(cos) < 0.3 ? "middle" : cos > 0 ? "start" : "end";
    const away = NODE_RADIUS + 7;
    const place = { x: x + cos * away, y: y + sin * away + (side === "middle" ? (sin > 0 ? 10 : -2) : 4), "text-anchor": side };
    group.append(made("text", place, name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1)}…` : name));
  }
  group.append(made("title", {}, name));
  return group;
}

function made(tag, attributes, text = "") {
  const part = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, typeof value === "number" ? value.toFixed(1) : value);
  if (text) part.textContent = text;
  return part;
}
