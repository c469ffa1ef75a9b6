// All timers of one client, so that closing it leaves none; and how long to wait before the next try.

/** The longest that setTimeout takes; longer waits are cut into pieces. */
const LONGEST = 2 ** 31 - 1;

export class Timers {
  #ids = new Set();
  #isStopped = false;

  /** Runs something later, unless it is cancelled: what it returns cancels. */
  after(ms, run) {
    if (this.#isStopped) return () => {};
    let id;
    const start = (left) => {
      const piece = Math.min(left, LONGEST);
      id = setTimeout(() => {
        this.#ids.delete(id);
        if (left > piece) start(left - piece);
        else run();
      }, piece);
      this.#ids.add(id);
    };
    start(Math.max(0, ms));
    return () => {
      clearTimeout(id);
      this.#ids.delete(id);
    };
  }

  /** A pause. It never ends once all is stopped: nobody is there to go on. */
  sleep(ms) {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  stop() {
    this.#isStopped = true;
    this.#ids.forEach(clearTimeout);
    this.#ids.clear();
  }

  get count() {
    return this.#ids.size;
  }
}

/** Doubling waits, of which half is chance, so that clients that were cut off together do not come back together. */
export function backoff(tries, { base, max }, random = Math.random) {
  const most = Math.min(max, base * 2 ** Math.min(tries, 30));
  return most / 2 + (random() * most) / 2;
}
