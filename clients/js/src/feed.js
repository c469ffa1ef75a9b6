// The order of one room's events: each once, in the order of its number, and none left out.
//
// The cursor is the number up to which everything was handed on. What comes too soon waits until a sync has brought what is
// missing; what is in the sync already is let go.

/** Most events that wait. Beyond that they are forgotten, and another sync brings them. */
const MOST_KEPT = 2_000;

export class Feed {
  #kept = [];
  #hasForgotten = false;

  constructor(cursor) {
    this.cursor = cursor;
    /** Something is missing, or may be: a sync is due. */
    this.isStale = false;
  }

  /** Takes an event, and says whether it is to be handed on now. */
  hear(seq, event) {
    if (seq <= this.cursor) return false;
    if (!this.isStale && seq === this.cursor + 1) {
      this.cursor = seq;
      return true;
    }
    this.isStale = true;
    if (this.#kept.length >= MOST_KEPT) {
      this.#kept = [];
      this.#hasForgotten = true;
    }
    this.#kept.push([seq, event]);
    return false;
  }

  /** Everything up to a number has been handed on; gives what waited and is next. */
  caughtUp(toSeq) {
    const [kept, hasForgotten] = [this.#kept, this.#hasForgotten];
    this.#kept = [];
    this.#hasForgotten = false;
    this.cursor = toSeq;
    this.isStale = false;
    const next = kept.filter(([seq, event]) => this.hear(seq, event)).map(([, event]) => event);
    this.isStale ||= hasForgotten;
    return next;
  }

  /** What is known is of another history: begins again at a number. */
  restart(seq) {
    this.#kept = [];
    this.#hasForgotten = false;
    this.cursor = seq;
    this.isStale = false;
  }
}
