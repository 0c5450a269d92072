/** One event as a row of the list, and its story: who wrote it, when, and why it is kept. */

import { dayOf, element, fullTime, printable, timeOfDay } from "/text.js";
import { fieldList } from "/values.js";

const HUES = 8;

/** The row of an entry. `open(row)` is called when the user asks for its story. */
export function makeRow(entry, names, open) {
  const row = element("li");
  row.dataset.day = dayOf(entry.time);
  const time = element("time", "", timeOfDay(entry.time));
  time.title = `${row.dataset.day}, ${time.textContent}`;
  const date = new Date(entry.time);
  if (!Number.isNaN(date.getTime())) time.dateTime = date.toISOString();
  const origin = element("span", `origin hue-${hueOf(entry.origin)}`, names.shown(entry.origin));
  origin.title = printable(entry.origin);
  const type = element("button", "type", printable(entry.event.type) || "(no name)");
  type.type = "button";
  type.setAttribute("aria-expanded", "false");
  row.append(time, origin, element("div", "what", "", type), fieldList(entry.event, true));
  row.addEventListener("click", (event) => {
    const isInner = event.target.closest(".story, a");
    if (!isInner && !getSelection().toString()) open(row);
  });
  markRow(row, entry);
  return row;
}

/** Show whether the event waits to be sent, and whether it is undone. */
export function markRow(row, entry) {
  const isUndone = entry.meta?.undone === true;
  row.classList.toggle("waiting", entry.isWaiting === true);
  row.classList.toggle("undone", isUndone);
  row.querySelector(".mark")?.remove();
  const mark = entry.isWaiting ? "waiting" : isUndone ? "undone" : "";
  if (mark) row.querySelector(".type").after(element("span", "mark", mark));
}

/** Open or close the story of a row; the result is whether it is open now. */
export function toggleStory(row, makeStory) {
  const shown = row.querySelector(".story");
  if (shown) shown.remove();
  else row.append(makeStory());
  row.classList.toggle("open", !shown);
  row.querySelector(".type").setAttribute("aria-expanded", String(!shown));
  return !shown;
}

/** The story of an entry. `search` is called with a part of a search: {type} or {node}. */
export function makeStory(entry, names, search) {
  const story = element("div", "story");
  story.setAttribute("role", "group");
  story.setAttribute("aria-label", `The story of ${printable(entry.event.type)}`);
  const facts = element("dl", "facts");
  for (const [term, text] of factsOf(entry, names)) facts.append(element("dt", "", term), element("dd", "", printable(text)));
  const fields = fieldList(entry.event, false);
  const json = element("pre", "json");
  json.hidden = true;
  json.tabIndex = 0;
  const showJson = button("Show JSON", () => {
    json.textContent ||= printable(JSON.stringify(entry.event, null, 2)).replaceAll("\\u000a", "\n");
    json.hidden = !json.hidden;
    showJson.textContent = json.hidden ? "Show JSON" : "Hide JSON";
    showJson.setAttribute("aria-expanded", String(!json.hidden));
  });
  showJson.setAttribute("aria-expanded", "false");
  const tools = element(
    "p",
    "tools",
    "",
    showJson,
    button("Only this type", () => search({ type: entry.event.type })),
    button("Only this writer", () => search({ node: entry.origin.split(":")[0] })),
  );
  if (fields.children.length) story.append(fields);
  story.append(facts, tools, json);
  return story;
}

function factsOf(entry, names) {
  const meta = entry.meta ?? {};
  const facts = [["Written by", named(entry.origin, names)]];
  if (entry.isWaiting) facts.push(["State", "waits to be sent to the node"]);
  if (meta.undone) facts.push(["State", "undone: a later event took it back"]);
  if (meta.origin) facts.push(["Signed by", named(meta.origin, names)]);
  else if ("origin" in meta) facts.push(["Signed by", "no node: it is of a release without signatures"]);
  if (meta.vouched) facts.push(["Vouched for", meta.vouched]);
  facts.push(["Time", fullTime(entry.time)]);
  if (entry.ms !== entry.time) facts.push(["Written at", fullTime(entry.ms)]);
  if (meta.came) facts.push(["Came here", cameOf(meta.came, names)]);
  if (meta.reasons) facts.push(["Kept because", reasonsOf(meta)]);
  facts.push(["Id", entry.id]);
  if (meta.added) facts.push(["Number here", meta.added.toLocaleString()]);
  return facts;
}

/** `via`: the node that sent it, empty if it was written at this node, null if several nodes may have sent it. */
function cameOf({ ms, via }, names) {
  if (via === null) return `${fullTime(ms)}, through one of several nodes`;
  return `${fullTime(ms)}, ${via === "" ? "written at this node" : `through ${names.shown(via)}`}`;
}

function reasonsOf({ reasons, keep_last: keepLast }) {
  const shown = reasons.map((name) => (name === "log" ? "log (until it is cleaned)" : name));
  if (keepLast) shown.push(`the last one of ${keepLast}`);
  return shown.join(", ");
}

function named(id, names) {
  const shown = names.shown(id);
  return shown === id ? id : `${shown} (${id})`;
}

function button(text, onClick) {
  const made = element("button", "quiet", text);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/** The number of a colour, always the same for one origin; all pages of one user have the same. */
function hueOf(origin) {
  let sum = 0;
  for (const character of origin.split(":")[0]) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % HUES;
}
