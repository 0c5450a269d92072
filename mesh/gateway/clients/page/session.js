/** The session of one user with the node, in protocol 5 of Logux. It reconnects when the connection breaks. */

import { readJson } from "/text.js";

const PROTOCOL = 5;
const CONNECT_MS = 20_000;
const PING_AFTER_MS = 10_000;
const CUT_AFTER_MS = 20_000;
const ANSWER_MS = 10_000;
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;
/** After a connection that lasted so long, the pause before the next attempt starts again at its minimum. */
const STEADY_MS = 10_000;
const MAX_DRIFT_MS = 60_000;
/** Events that wait for the node's answer, at most. */
export const WAITING_LIMIT = 1_000;
/** Missed events that are requested over the socket, at most; beyond them the page reads the newest ones anew. */
const CATCH_UP = 1_000;
/** Pauses before a page of events is requested again, when the node is too busy or not reachable. */
const AGAIN_MS = [500, 2_000, 5_000];

const BEFORE_CONNECTED = ["connected", "error", "debug"];
const REFUSALS = {
  "wrong-credentials": "The node refused this user or token. Check both for typing errors.",
  bruteforce: "The node refused this user: too many wrong tokens. Wait a minute, then try again.",
  "wrong-protocol": "The node speaks another protocol than this page. Reload the page.",
  "wrong-subprotocol": "The node speaks another protocol than this page. Reload the page.",
};

/** The node refused this user or token; the message is shown to the user. */
class RefusedError extends Error {}

/** The node did not answer a request with what was asked for; `status` is the one of HTTP. */
class AnswerError extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/**
 * Callbacks, given to the constructor: `state(state)`, `restart()` when the events shown so far are those of another log or
 * too old to go on from, `status(status)`, `events(entries)`, `confirmed(entries)`, `trouble(sentence)`, `refused(sentence)`.
 *
 * An entry is {id, ms, origin, n, time, event}; own ones have `text` and `added` as well, those of `readPage` a `meta`.
 */
export class Session {
  state = "offline";
  waiting = [];
  #callbacks;
  #user;
  #token;
  #origin;
  #turn = 0; // counts connections, so that events of an earlier one are ignored
  #socket = null;
  #isMet = false;
  #nodeId = null;
  #received = 0;
  #hasPages = true;
  #added = 0;
  #lastMs = 0;
  #lastN = 0;
  #baseTime = 0;
  #timeFix = 0;
  #connectAt = 0;
  #receivedAt = 0;
  #pingedAt = 0;
  #metAt = 0;
  #isPolling = false;
  #failures = 0;
  #retry = 0;
  #beat = 0;

  constructor(user, token, callbacks) {
    this.#user = user;
    this.#token = token;
    this.#origin = `${user}:${randomName()}`;
    this.#callbacks = callbacks;
  }

  get user() {
    return this.#user;
  }

  /** Continue as the same user with another token. */
  renew(token) {
    this.#token = token;
    this.connect();
  }

  /** Disconnect, until `connect` or `renew`. */
  close() {
    this.#hangUp();
    clearTimeout(this.#retry);
  }

  /** Read the node's status, then open a connection. An open one is closed first. */
  async connect() {
    this.close();
    const turn = this.#turn;
    this.#setState("connecting");
    let status;
    try {
      status = await this.#readStatus();
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error instanceof RefusedError) this.#refuse(error.message);
      else this.#lose();
      return;
    }
    if (turn !== this.#turn) return;
    this.#callbacks.status(status);
    this.#chooseStart(status);
    this.#open();
  }

  /** Read the node's status again. Does nothing if the node does not answer. */
  async poll() {
    if (!this.#isMet || this.#isPolling) return;
    const turn = this.#turn;
    this.#isPolling = true;
    try {
      const status = await this.#readStatus();
      if (turn === this.#turn) this.#callbacks.status(status);
    } catch (error) {
      if (turn === this.#turn && error instanceof RefusedError) this.#refuse(error.message);
    } finally {
      this.#isPolling = false;
    }
  }

  /** Add an event of this page, as value and as JSON text; it is sent now or later. Null beyond WAITING_LIMIT. */
  add(event, text) {
    if (this.waiting.length >= WAITING_LIMIT) return null;
    const [ms, n] = this.#nextStamp();
    const id = `${ms} ${this.#origin} ${n}`;
    const entry = { id, ms, origin: this.#origin, n, time: ms, event, text, added: ++this.#added };
    this.waiting.push(entry);
    if (this.#isMet) {
      this.#sendSync(entry);
      this.#setState("sending");
    }
    return entry;
  }

  #nextStamp() {
    const now = Math.floor(Date.now() - this.#timeFix);
    if (now > this.#lastMs) [this.#lastMs, this.#lastN] = [now, 0];
    else this.#lastN += 1;
    return [this.#lastMs, this.#lastN];
  }

  /** Give the next own event a later time than a received one, unless that is more than MAX_DRIFT_MS ahead. */
  #see(ms) {
    if (ms < this.#lastMs || ms > Date.now() - this.#timeFix + MAX_DRIFT_MS) return;
    [this.#lastMs, this.#lastN] = [ms + 1, -1];
  }

  #readStatus() {
    return this.#read("/status", JSON.parse);
  }

  /**
   * A page of the node's events for these URLSearchParams: {entries, next, lookedAt}, as the node answers /events.
   * Null if the node gives no pages; then it sends its newest events over the socket. It is asked again while it is busy.
   */
  async readPage(query) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const page = await this.#read(`/events?${query}`, readJson);
        const entries = page.events.map(({ event, meta }) => {
          const [ms, origin, n] = meta.created;
          this.#see(ms);
          return { id: `${ms} ${origin} ${n}`, ms, origin, n, time: meta.time, event, meta };
        });
        return { entries, next: page.next, lookedAt: page.looked_at_ms };
      } catch (error) {
        if (error.status === 403) return this.#doWithoutPages();
        if (error instanceof RefusedError) this.#refuse(error.message);
        const isPassing = error.status === undefined || error.status === 503;
        if (error instanceof RefusedError || !isPassing || attempt === AGAIN_MS.length) throw error;
      }
      await new Promise((done) => setTimeout(done, AGAIN_MS[attempt]));
    }
  }

  #doWithoutPages() {
    if (this.#hasPages) {
      this.#hasPages = false;
      this.#nodeId = null;
      this.connect();
    }
    return null;
  }

  async #read(path, parse) {
    const answer = await fetch(path, {
      headers: { Authorization: `Bearer ${this.#user}:${this.#token}` },
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.status === 401) throw new RefusedError(REFUSALS["wrong-credentials"]);
    if (answer.status === 429) throw new RefusedError(REFUSALS.bruteforce);
    const text = await answer.text();
    if (!answer.ok) throw new AnswerError(answer.status, text.trim());
    return parse(text);
  }

  /** For another node, one with a new log, or after a long time: begin at its newest events. */
  #chooseStart({ node_id: nodeId, last_added: lastAdded }) {
    const missed = lastAdded - this.#received;
    if (nodeId === this.#nodeId && missed >= 0 && missed <= CATCH_UP) return;
    this.#nodeId = nodeId;
    this.#received = this.#hasPages ? lastAdded : Math.max(0, lastAdded - CATCH_UP);
    this.#callbacks.restart();
  }

  #open() {
    const turn = this.#turn;
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/`);
    const ifCurrent = (callback) => (event) => turn === this.#turn && callback(event);
    socket.onopen = ifCurrent(() => this.#sendConnect());
    socket.onmessage = ifCurrent((event) => this.#take(event.data));
    socket.onclose = ifCurrent(() => this.#lose());
    this.#socket = socket;
    this.#receivedAt = performance.now();
    this.#pingedAt = 0;
    this.#beat = setInterval(() => this.#watch(), 1_000);
  }

  #watch() {
    const now = performance.now();
    if (!this.#isMet) {
      if (now - this.#receivedAt > CONNECT_MS) this.#lose();
    } else if (this.#pingedAt) {
      if (now - this.#pingedAt > CUT_AFTER_MS) this.#lose();
    } else if (now - this.#receivedAt > PING_AFTER_MS) {
      this.#pingedAt = now;
      this.#send(["ping", this.#added]);
    }
  }

  #hangUp() {
    this.#turn += 1;
    this.#isMet = false;
    clearInterval(this.#beat);
    this.#socket?.close();
    this.#socket = null;
  }

  #lose() {
    if (this.#isMet && performance.now() - this.#metAt > STEADY_MS) this.#failures = 0;
    this.close();
    const most = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures + 1));
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), FIRST_DELAY_MS + Math.random() * (most - FIRST_DELAY_MS));
    this.#setState("offline");
  }

  #refuse(sentence) {
    this.close();
    this.#setState("refused");
    this.#callbacks.refused(sentence);
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#callbacks.state(state);
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #take(frame) {
    this.#receivedAt = performance.now();
    this.#pingedAt = 0;
    let message;
    try {
      message = readJson(frame);
    } catch {
      message = null;
    }
    if (!Array.isArray(message)) {
      this.#callbacks.trouble("The node sent something that is not a message; connecting again.");
      this.#lose();
      return;
    }
    const [name, ...items] = message;
    const isAllowed = this.#isMet || BEFORE_CONNECTED.includes(name);
    if (isAllowed && Object.hasOwn(this.#MESSAGES, name)) this.#MESSAGES[name](...items);
  }

  // Messages that are not in the table are ignored: newer nodes may send others.
  #MESSAGES = {
    connected: (...items) => this.#connectedMessage(...items),
    sync: (...items) => this.#syncMessage(...items),
    synced: (added) => this.#syncedMessage(added),
    ping: (added) => this.#pingMessage(added),
    pong: (added) => this.#raiseReceived(added),
    error: (type, options) => this.#errorMessage(type, options),
    debug: (type, text) => this.#callbacks.trouble(`The node says: ${text}`),
  };

  #sendConnect() {
    this.#connectAt = Date.now();
    this.#send(["headers", { since: this.#received }]); // an `added` of this node's log: the node keeps none for the page
    this.#send(["connect", PROTOCOL, this.#origin, this.#received, { token: this.#token }]);
  }

  #connectedMessage(protocol, nodeId, [start, end]) {
    const roundTrip = Date.now() - this.#connectAt - (end - start);
    const ahead = this.#connectAt - start + roundTrip / 2; // if both ways took equally long
    this.#timeFix = Math.abs(ahead) > roundTrip / 2 ? Math.floor(ahead) : 0; // a slow answer says nothing of the clocks
    this.#baseTime = end;
    this.#isMet = true;
    this.#metAt = performance.now();
    this.#nodeId = nodeId;
    for (const entry of this.waiting) this.#sendSync(entry);
    this.#setState(this.waiting.length ? "sending" : "connected");
  }

  /** Sends the JSON text as it was typed: JavaScript would round long numbers. */
  #sendSync({ added, text, ms, n, time }) {
    const shift = ms - this.#baseTime;
    const meta = { id: n ? [shift, n] : shift, time: time - this.#baseTime };
    this.#socket.send(`["sync",${added},${text},${JSON.stringify(meta)}]`);
  }

  #syncMessage(added, ...items) {
    if (added === 0) items = []; // not events of the log but answers to our events; a debug message has the same
    const entries = [];
    for (let index = 0; index + 1 < items.length; index += 2) {
      const entry = this.#readEntry(items[index], items[index + 1]);
      if (entry) entries.push(entry);
    }
    if (entries.length) this.#callbacks.events(entries);
    this.#raiseReceived(added);
    this.#send(["synced", added]);
  }

  #readEntry(event, meta) {
    if (typeof event?.type !== "string" || !Number.isInteger(meta?.time)) return null;
    const parts = Array.isArray(meta.id) ? meta.id : [meta.id];
    const [shift, origin, n] = parts.length === 3 ? parts : [parts[0], this.#nodeId, parts[1] ?? 0];
    if (!Number.isInteger(shift) || typeof origin !== "string" || !Number.isInteger(n)) return null;
    const ms = shift + this.#baseTime;
    this.#see(ms);
    return { id: `${ms} ${origin} ${n}`, ms, origin, n, time: meta.time + this.#baseTime, event };
  }

  #syncedMessage(added) {
    const confirmed = this.waiting.filter((entry) => entry.added <= added);
    if (!confirmed.length) return;
    this.waiting = this.waiting.filter((entry) => entry.added > added);
    this.#callbacks.confirmed(confirmed);
    if (!this.waiting.length) this.#setState("connected");
  }

  #pingMessage(added) {
    this.#raiseReceived(added);
    this.#send(["pong", this.#added]);
  }

  #raiseReceived(added) {
    if (Number.isInteger(added)) this.#received = Math.max(this.#received, added);
  }

  #errorMessage(type, options) {
    if (Object.hasOwn(REFUSALS, type)) {
      this.#refuse(REFUSALS[type]);
      return;
    }
    const shown = options === undefined ? "" : ` (${JSON.stringify(options)})`;
    this.#callbacks.trouble(`The node reported ${type}${shown}; connecting again.`);
    this.#lose();
  }
}

/** Not crypto.randomUUID, which pages without TLS do not have. */
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
