/** The log as a list of rows, in the one order of the mesh: older and newer events are read as the user scrolls. */

import { makeRow, makeStory, markRow, toggleStory } from "/row.js";
import { Search } from "/search.js";
import { counted, dayOf } from "/text.js";
import { LogWindow } from "/window.js";

const RENDER_PAUSE_MS = 30;
const NEAR_END_PX = 40;
/** So near to an end of the list, more is read. */
const AHEAD_PX = 1_200;
/** Reading that takes longer is told of. */
const SLOW_MS = 400;
/** Between requests of a search that has found nothing yet: the node takes few of one address at once. */
const SEARCH_PAUSE_MS = 100;
const UNDO = "logux/undo";

export class LogView {
  #names;
  #list;
  #scroll;
  #newest;
  #older;
  #day;
  #progress;
  #window = new LogWindow();
  #search = new Search();
  #read = null;
  #onSearch;
  #turn = 0; // counts searches, so that an answer to an earlier one is ignored
  #isLoading = false; // one end at a time: the other one may be given up meanwhile
  #unread = 0;
  #fresh = 0;
  #renderPause = 0;
  #size = "";
  #follows = true; // whether the list is at its end, and scrolls to new events

  /** `onSearch(part)` is called when the user asks for events like one of these. */
  constructor({ names, list, scroll, newest, older, day, progress, onSearch }) {
    this.#names = names;
    this.#list = list;
    this.#scroll = scroll;
    this.#newest = newest;
    this.#older = older;
    this.#day = day;
    this.#progress = progress;
    this.#onSearch = onSearch;
    newest.addEventListener("click", () => this.showNewest());
    older.addEventListener("click", () => this.#load("before"));
    scroll.addEventListener("scroll", () => this.#noteScroll());
    // A keyboard on the screen, a turned screen or a taller form must not hide the newest event.
    new ResizeObserver(() => this.#noteSize()).observe(scroll);
  }

  /** Begin at the newest events that fit. `read(query)` gives a page of them, or null if there are no pages. */
  show(read, search) {
    const shown = this.#window.entries;
    this.#read = read;
    this.#search = search;
    this.#turn += 1;
    this.#isLoading = false;
    this.#window.reset(shown);
    this.#render();
    this.#forgetUnread();
    this.#load("before");
  }

  get search() {
    return this.#search;
  }

  /** These events came live. */
  take(entries) {
    const fitting = entries.filter((entry) => entry.isWaiting || this.#search.fits(entry));
    for (const { origin } of entries) this.see(origin);
    for (const { event } of entries) if (event.type === UNDO) this.#noteUndone(event.id);
    const fresh = fitting.filter((entry) => this.#window.takeLive(entry) || this.#isNewer(entry));
    if (!fresh.length) return;
    this.#fresh += fresh.length;
    this.#renderPause ||= setTimeout(() => this.#showFresh(), RENDER_PAUSE_MS);
  }

  /** These events of this page are on the node's disk. */
  confirm(entries) {
    for (const entry of entries) {
      entry.isWaiting = false;
      if (entry.row) markRow(entry.row, entry);
    }
  }

  /** The node answers again: read what could not be read meanwhile. */
  goOn() {
    this.#checkEdges();
  }

  /** A node id is known. If its name has become ambiguous, the names in all rows change. */
  see(id) {
    if (!this.#names.see(id)) return;
    for (const { row, origin } of this.#window.entries) {
      if (row) row.querySelector(".origin").textContent = this.#names.shown(origin);
    }
  }

  /** Scroll to the end of the log, and follow it from now on. */
  showNewest() {
    if (!this.#window.ends.after) {
      this.show(this.#read, this.#search);
      return;
    }
    this.#render();
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#forgetUnread();
  }

  #isNewer(entry) {
    return !this.#window.ends.after && !this.#window.find(entry.id);
  }

  #noteUndone(id) {
    const entry = this.#window.find(id);
    if (!entry) return;
    entry.meta = { ...entry.meta, undone: true };
    if (entry.row) markRow(entry.row, entry);
  }

  /** Read on in one direction until there is more to see, or nothing more to find. */
  async #load(way) {
    const current = this.#window;
    if (!this.#read || current.ends[way] || this.#isLoading) return;
    const turn = this.#turn;
    this.#isLoading = true;
    const patience = setTimeout(() => this.#showProgress("Reading the log…"), SLOW_MS);
    try {
      for (let found = 0; !found && !current.ends[way]; ) {
        const page = await this.#readPage(way);
        if (turn !== this.#turn) return;
        if (page) found = this.#takePage(page, way);
        else current.ends[way] = true;
        if (!found && !current.ends[way]) await new Promise((done) => setTimeout(done, SEARCH_PAUSE_MS));
        if (turn !== this.#turn) return;
      }
      this.#showProgress("");
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#showProgress(`The log cannot be read now: ${error.message}`);
      return;
    } finally {
      clearTimeout(patience);
      if (turn === this.#turn) this.#isLoading = false;
    }
    this.#checkEdges();
  }

  async #readPage(way) {
    try {
      return await this.#read(this.#window.request(this.#search.query(), way));
    } catch (error) {
      if (error.status !== 410) throw error;
      this.#window.loseCursor(way); // the event was cleaned meanwhile
      return this.#read(this.#window.request(this.#search.query(), way));
    }
  }

  #takePage(page, way) {
    const fresh = this.#window.takePage(page, way);
    for (const { origin } of fresh) this.see(origin);
    const isFarEndSeen = this.#isNear(way === "before" ? "after" : "before"); // where the user has gone meanwhile
    const change = () => {
      for (const entry of isFarEndSeen ? [] : this.#window.trim(way)) this.#drop(entry);
      this.#render();
    };
    if (fresh.length) this.#keepPlace(change);
    else if (page.lookedAt !== null) this.#showProgress(`Nothing more found back to ${dayOf(page.lookedAt)}…`);
    if (way === "before" && this.#follows) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    return fresh.length;
  }

  #drop(entry) {
    entry.row?.remove();
    entry.row = null;
  }

  #checkEdges() {
    if (!this.#scroll.clientHeight) return;
    if (this.#isNear("before")) this.#load("before");
    if (this.#isNear("after")) this.#load("after");
  }

  #isNear(way) {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroll;
    return (way === "before" ? scrollTop : scrollHeight - scrollTop - clientHeight) < AHEAD_PX;
  }

  /** Change rows above or below so that what the user looks at stays where it is. */
  #keepPlace(change) {
    const top = this.#scroll.scrollTop;
    const seen = this.#window.entries.find(({ row }) => row?.isConnected && row.offsetTop + row.offsetHeight > top);
    const before = seen?.row.offsetTop;
    change();
    if (seen?.row && !this.#follows) this.#scroll.scrollTop = top + seen.row.offsetTop - before;
  }

  /** Brings the rows into the order of the entries; rows in their place are not moved. */
  #render() {
    let next = this.#list.firstElementChild;
    let day = null; // that of the first row is above the list already
    for (const entry of this.#window.entries) {
      entry.row ??= makeRow(entry, this.#names, (row) => this.#openStory(row, entry));
      if (entry.row === next) next = next.nextElementSibling;
      else this.#list.insertBefore(entry.row, next);
      entry.row.classList.toggle("new-day", day !== null && entry.row.dataset.day !== day);
      day = entry.row.dataset.day;
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
    this.#showEnds();
    this.#showDay();
  }

  /** The date of the first row in sight stays at the top. */
  #showDay() {
    const top = this.#scroll.scrollTop + this.#day.offsetHeight;
    const seen = this.#window.entries.find(({ row }) => row?.isConnected && row.offsetTop + row.offsetHeight > top);
    this.#day.hidden = !seen;
    if (seen && this.#day.textContent !== seen.row.dataset.day) this.#day.textContent = seen.row.dataset.day;
  }

  /** The story is shown at once, and again when the node has told more of it. */
  async #openStory(row, entry) {
    const make = () => makeStory(entry, this.#names, this.#onSearch);
    const isOpen = toggleStory(row, make);
    this.#follows = !isOpen && this.#isAtEnd() && this.#window.ends.after; // what is read stays in its place
    if (isOpen) row.scrollIntoView({ block: "nearest" });
    if (!isOpen || entry.isWaiting) return;
    try {
      const page = await this.#read?.(new URLSearchParams({ id: entry.id }));
      if (!page?.entries.length) return;
      entry.meta = page.entries[0].meta;
      markRow(row, entry);
      row.querySelector(".facts")?.replaceWith(make().querySelector(".facts")); // its JSON may be open by now
      row.scrollIntoView({ block: "nearest" });
    } catch {} // what is known already stays
  }

  #showEnds() {
    this.#older.hidden = this.#window.ends.before;
    if (!this.#window.ends.after && this.#newest.hidden) this.#showUnread(0);
    const isEmpty = !this.#window.entries.length && this.#window.ends.before;
    this.#list.dataset.empty = !isEmpty ? "" : this.#search.isEmpty ? "No events yet." : "No event fits this search.";
  }

  #showProgress(text) {
    if (this.#progress.textContent !== text) this.#progress.textContent = text;
    this.#showEnds();
  }

  #showFresh() {
    this.#renderPause = 0;
    if (this.#follows) {
      for (const entry of this.#window.trim("after")) this.#drop(entry);
      this.showNewest();
    } else {
      this.#keepPlace(() => this.#render());
      this.#showUnread(this.#fresh);
    }
    this.#fresh = 0;
  }

  #noteScroll() {
    if (this.#size !== this.#currentSize()) return; // the browser scrolled it after a change of size
    if (this.#isAtEnd() && this.#window.ends.after) this.#forgetUnread();
    else this.#follows = false;
    this.#showDay();
    this.#checkEdges();
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #noteSize() {
    this.#size = this.#currentSize();
    if (this.#follows) this.showNewest();
    this.#checkEdges();
  }

  #currentSize() {
    return `${this.#scroll.clientWidth} ${this.#scroll.clientHeight}`;
  }

  #showUnread(number) {
    this.#unread += number;
    this.#newest.textContent = this.#unread ? `${counted(this.#unread, "new event")} ↓` : "Newest events ↓";
    this.#newest.hidden = false;
  }

  #forgetUnread() {
    this.#follows = true;
    this.#unread = 0;
    this.#newest.hidden = true;
  }
}
