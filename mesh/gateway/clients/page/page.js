/** The page: signing in, the search, the form for new events, and what the node tells. */

import { DraftError, readDraft } from "/draft.js";
import { LogView } from "/log.js";
import { Search, msOf } from "/search.js";
import { Session, WAITING_LIMIT } from "/session.js";
import { Side } from "/side.js";
import { $, Names, counted, printable, readJson } from "/text.js";

const POLL_MS = 2_000;
/** Pause after a key before the search begins. */
const TYPING_MS = 250;
const USER = /^[A-Za-z0-9_.-]{1,64}$/;
const TOKEN = /^[\x21-\x7e]{1,4096}$/;
const STORED = "peermesh";

const names = new Names();
const side = new Side(names);
const log = new LogView({
  names,
  list: $("log"),
  scroll: $("scroll"),
  newest: $("newest"),
  older: $("older"),
  day: $("day"),
  progress: $("progress"),
  onSearch: searchFor,
});
let session = null;
let status = null;
let typing = 0;

const callbacks = {
  state: showState,
  status: showStatus,
  restart: showEvents,
  events: (entries) => log.take(entries),
  confirmed: (entries) => log.confirm(entries),
  trouble: (sentence) => ($("trouble").textContent = printable(sentence)),
  refused(sentence) {
    forgetCredentials();
    showLogin(sentence);
  },
};

function signIn(user, token) {
  const complaint = complaintAbout(user, token);
  if (complaint) {
    showLogin(complaint);
    return;
  }
  keepCredentials(user, token);
  $("token").value = "";
  showHouse();
  if (session?.user === user) {
    session.renew(token);
    return;
  }
  session?.close();
  session = new Session(user, token, callbacks);
  $("me").textContent = `You are ${user}.`;
  session.connect();
}

function complaintAbout(user, token) {
  if (!USER.test(user)) return "A user has 1 to 64 of the characters A-Z a-z 0-9 _ . -";
  if (!TOKEN.test(token)) return "A token has no spaces and only plain letters, digits and signs.";
  if (session && session.user !== user && session.waiting.length) {
    const waiting = counted(session.waiting.length, "event");
    return `${waiting} of ${session.user} still to be sent: sign in as ${session.user}, or reload the page to drop them.`;
  }
  return "";
}

/** The fragment is never sent to the node. After reading, it is removed from the address bar and the history. */
function credentialsFromFragment() {
  const parts = {};
  for (const part of location.hash.slice(1).split("&")) {
    const [key, ...value] = part.split("=");
    parts[key] = decoded(value.join("="));
  }
  if (parts.user === undefined && parts.token === undefined) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return [parts.user ?? "", parts.token ?? ""];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Storage may be disabled in the browser; then the user signs in again after each reload.
function keepCredentials(user, token) {
  try {
    sessionStorage.setItem(STORED, JSON.stringify([user, token]));
  } catch {}
}

function keptCredentials() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORED));
    return Array.isArray(kept) ? kept.map(String) : null;
  } catch {
    return null;
  }
}

function forgetCredentials() {
  try {
    sessionStorage.removeItem(STORED);
  } catch {}
}

function showLogin(sentence) {
  $("house").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = sentence;
  $("user").value ||= session?.user ?? "";
  ($("user").value ? $("token") : $("user")).focus();
}

function showHouse() {
  $("login").hidden = true;
  $("house").hidden = false;
  $("login-error").textContent = "";
  if (matchMedia("(hover: hover)").matches) $("type").focus(); // on a phone the keyboard would cover the log
}

function showState(state) {
  $("state").textContent = state;
  $("state").dataset.state = state;
  $("try-now").hidden = state !== "offline";
  if (state === "offline") side.showSilence();
  if (state !== "connected") return;
  $("trouble").textContent = "";
  log.goOn();
}

function showStatus(news) {
  status = news;
  const rows = [...(status.peers ?? []), ...(status.mesh_nodes ?? [])];
  for (const id of [status.node_id, ...rows.map((row) => row.node_id)]) log.see(id);
  side.show(status);
}

function typedSearch() {
  return new Search({
    text: $("find-text").value,
    type: $("find-type").value,
    node: $("find-node").value,
    since: msOf($("find-since")),
    until: msOf($("find-until")),
  });
}

function showEvents() {
  const search = typedSearch();
  $("find-clear").hidden = search.isEmpty;
  const reader = session;
  log.show((query) => reader.readPage(query), search);
}

function showTyped() {
  if (typedSearch().query().toString() !== log.search.query().toString()) showEvents();
}

/** Show the events that have this too; the inputs say so. */
function searchFor({ type, node }) {
  if (type !== undefined) $("find-type").value = type;
  if (node !== undefined) $("find-node").value = node;
  showFilters(true);
  showEvents();
}

function clearSearch() {
  $("search").reset();
  showEvents();
}

function showFilters(isOpen) {
  $("filters").classList.toggle("open", isOpen);
  $("filters-toggle").setAttribute("aria-expanded", String(isOpen));
}

function addEvent() {
  showDraftError("", null);
  try {
    const text = readDraft($("type").value, $("fields").value);
    const entry = session.add(readJson(text), text);
    if (!entry) throw new DraftError(`${WAITING_LIMIT} events wait for the node already.`, "type");
    entry.isWaiting = true;
    if (!log.search.fits(entry)) clearSearch(); // the user would look for it in vain
    log.showNewest();
    log.take([entry]);
    log.showNewest();
    $("composer").reset();
    $("type").focus();
  } catch (error) {
    if (!(error instanceof DraftError)) throw error;
    showDraftError(error.message, error.field);
  }
}

function showDraftError(sentence, field) {
  $("composer-error").textContent = sentence;
  for (const id of ["type", "fields"]) {
    if (id === field) $(id).setAttribute("aria-invalid", "true");
    else $(id).removeAttribute("aria-invalid");
  }
  if (field) $(field).focus();
}

/** Open or close a part of the page; the result is whether it is open now. */
function toggle(part, button) {
  const isOpen = $(part).classList.toggle("open");
  $(button).setAttribute("aria-expanded", String(isOpen));
  return isOpen;
}

function reconnect() {
  if (document.visibilityState === "visible" && session?.state === "offline") session.connect();
}

function start() {
  const found = credentialsFromFragment() ?? keptCredentials();
  if (found) signIn(...found);
  else showLogin("");
}

function takeFragment() {
  const found = credentialsFromFragment();
  if (found) signIn(...found);
}

function on(id, event, callback) {
  $(id).addEventListener(event, (occurred) => {
    occurred.preventDefault();
    callback();
  });
}

on("login-form", "submit", () => signIn($("user").value.trim(), $("token").value.trim()));
on("composer", "submit", addEvent);
on("try-now", "click", () => session.connect());
on("sign-out", "click", () => {
  forgetCredentials();
  location.reload();
});
on("about-toggle", "click", () => toggle("about", "about-toggle"));
on("compose-toggle", "click", () => {
  if (toggle("composer", "compose-toggle")) $("type").focus();
});
on("filters-toggle", "click", () => showFilters(!$("filters").classList.contains("open")));
on("find-clear", "click", clearSearch);
on("search", "submit", showTyped);
on("search", "input", () => {
  clearTimeout(typing);
  typing = setTimeout(showTyped, TYPING_MS);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && $("about").classList.contains("open")) $("about-toggle").click();
});
addEventListener("hashchange", takeFragment);
addEventListener("online", reconnect);
document.addEventListener("visibilitychange", reconnect);
addEventListener("beforeunload", (event) => session?.waiting.length && event.preventDefault());
setInterval(() => document.visibilityState === "visible" && session?.poll(), POLL_MS);
start();
