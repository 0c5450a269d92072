/** The page: signing in, the form for new events, and the status of the node. */

import { DraftError, readDraft } from "/draft.js";
import { LogView } from "/log.js";
import { Session, WAITING_LIMIT } from "/session.js";
import { counted, printable, readJson } from "/text.js";

const POLL_MS = 2_000;
const USER = /^[A-Za-z0-9_.-]{1,64}$/;
const TOKEN = /^[\x21-\x7e]{1,4096}$/;
const STORED = "peermesh";

const $ = (id) => document.getElementById(id);
const log = new LogView({ list: $("log"), scroll: $("scroll"), count: $("count"), newest: $("newest") });
let session = null;
let shownStatus = "";

const callbacks = {
  state: showState,
  status: showStatus,
  node: () => log.clear(),
  events: (entries) => log.take(entries),
  skipped: (count) => log.skip(count),
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
  log.showNewest();
  if (matchMedia("(hover: hover)").matches) $("type").focus(); // on a phone the keyboard would cover the log
}

function showState(state) {
  $("state").textContent = state;
  $("state").dataset.state = state;
  $("try-now").hidden = state !== "offline";
  if (state === "synchronized") $("trouble").textContent = "";
}

function showStatus(status) {
  const text = JSON.stringify(status);
  if (text === shownStatus) return;
  shownStatus = text;
  const peers = status.peers ?? [];
  const clients = status.clients ?? [];
  const isAmbiguous = [status.node_id, ...peers.map((peer) => peer.node_id)].map((id) => log.names.see(id));
  if (isAmbiguous.includes(true)) log.rename();
  const name = log.names.shown(status.node_id);
  $("node").textContent = name;
  $("mesh").textContent = `in mesh ${printable(status.mesh)}`;
  document.title = `${name} · peermesh`;
  $("facts").replaceChildren(
    ...fact("Mesh", status.mesh),
    ...fact("Id", status.node_id),
    ...fact("Events", (status.events ?? 0).toLocaleString()),
    ...fact("Port", status.port),
  );
  const near = peers.filter((peer) => peer.session).length;
  $("about-toggle").textContent = peers.length ? `${near} of ${counted(peers.length, "neighbour")}` : "No neighbours";
  $("no-peers").hidden = peers.length > 0;
  $("peers").replaceChildren(...peers.map(peerItem));
  $("clients-section").hidden = !clients.length;
  $("clients").replaceChildren(...clients.map((client) => item(client.user, client.state, client.node_id)));
}

function fact(term, text) {
  const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
  dt.textContent = term;
  dd.textContent = printable(String(text));
  return [dt, dd];
}

function peerItem(peer) {
  return item(log.names.shown(peer.node_id), peer.session ?? peer.state, [peer.node_id, ...(peer.addresses ?? [])].join("\n"));
}

function item(name, state, title) {
  const row = document.createElement("li");
  row.dataset.state = state;
  row.title = printable(title).replaceAll("\\u000a", "\n");
  const [strong, small] = [document.createElement("strong"), document.createElement("small")];
  strong.textContent = printable(name);
  small.textContent = printable(state);
  row.append(strong, small);
  return row;
}

function addEvent() {
  showDraftError("", null);
  try {
    const text = readDraft($("type").value, $("fields").value);
    const entry = session.add(readJson(text), text);
    if (!entry) throw new DraftError(`${WAITING_LIMIT} events wait for the node already.`, "type");
    entry.isWaiting = true;
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
on("about-toggle", "click", () => {
  const isOpen = $("about").classList.toggle("open");
  $("about-toggle").setAttribute("aria-expanded", String(isOpen));
});
addEventListener("hashchange", takeFragment);
addEventListener("online", reconnect);
document.addEventListener("visibilitychange", reconnect);
addEventListener("beforeunload", (event) => session?.waiting.length && event.preventDefault());
setInterval(() => document.visibilityState === "visible" && session?.poll(), POLL_MS);
start();
