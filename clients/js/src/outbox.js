// What is to be said: each message once, in the order in which its author said it, however often it must be sent.
//
// One message of a room is under way at a time. Were several, and the first refused for a moment while the second was stored,
// they would stand in history the wrong way round. Rooms do not wait for one another.

import { ChatError, CANCELLED, asChatError } from './errors.js';
import { backoff } from './timers.js';

export class Outbox {
  #send;
  #resolve;
  #timers;
  #wait;
  #random;
  #tell;
  #save;
  #queues = new Map();
  #isOpen = false;
  #next = 0;

  /**
   * @param parts.send      sends a payload once, and gives the stored message
   * @param parts.resolve   the id of a room that is named by its slug, if known
   * @param parts.tell      is told: ('sent', message), ('refused', entry, error), ('outbox')
   * @param parts.save      keeps the entries; what it returns is waited for before they are sent
   */
  constructor({ send, resolve = (room) => room, timers, wait, random, tell = () => {}, save = () => {} }) {
    this.#send = send;
    this.#resolve = resolve;
    this.#timers = timers;
    this.#wait = wait;
    this.#random = random;
    this.#tell = tell;
    this.#save = save;
  }

  /** Queues a message; the promise is for the message as it was stored. */
  add(payload) {
    return new Promise((resolve, reject) => {
      this.#queue(payload, { resolve, reject });
      this.#changed();
      this.#pump();
    });
  }

  /** Queues what an earlier life of this client left, before all else. */
  restore(payloads) {
    const known = new Set(this.entries().map((entry) => entry.clientMsgId));
    const first = -payloads.length;
    payloads.forEach((payload, place) => {
      if (!known.has(payload.clientMsgId)) this.#queue(payload, {}, first + place);
    });
    this.#changed();
    this.#pump();
  }

  #queue(payload, settle, number = (this.#next += 1)) {
    const room = this.#resolve(payload.roomId);
    const queue = this.#queues.get(room) ?? { entries: [], isRunning: false };
    this.#queues.set(room, queue);
    queue.entries.push({ payload, ...settle, number, tries: 0, isUnderWay: false });
    // What is under way stays first.
    queue.entries.sort((one, other) => other.isUnderWay - one.isUnderWay || one.number - other.number);
  }

  /** What waits, in the order in which it was said. */
  entries(room) {
    const queues = room === undefined ? [...this.#queues.values()] : [this.#queues.get(room)];
    const entries = queues.flatMap((queue) => queue?.entries ?? []);
    return entries.sort((one, other) => one.number - other.number).map((entry) => entry.payload);
  }

  /** The connection is ready. */
  open() {
    this.#isOpen = true;
    this.#regroup();
    this.#pump();
  }

  /** The connection is gone. */
  shut() {
    this.#isOpen = false;
  }

  /** Takes a message back, if it is still here. It may have been stored all the same, if it was sent before. */
  cancel(clientMsgId) {
    for (const queue of this.#queues.values()) {
      const entry = queue.entries.find(({ payload }) => payload.clientMsgId === clientMsgId);
      if (entry) {
        this.#settle(queue, entry, (taken) => taken.reject?.(new ChatError({ code: CANCELLED, message: 'The message was taken back.', ref: clientMsgId })));
        return true;
      }
    }
    return false;
  }

  /** Nothing is sent any more; whoever waits is told why. */
  end(error) {
    this.#isOpen = false;
    for (const queue of this.#queues.values()) queue.entries.splice(0).forEach((entry) => entry.reject?.(error));
  }

  /** Rooms that were named by their slugs are known by now. */
  #regroup() {
    const entries = [...this.#queues].filter(([room]) => this.#resolve(room) !== room);
    for (const [room, queue] of entries) {
      if (queue.isRunning) continue;
      this.#queues.delete(room);
      for (const { payload, resolve, reject, number } of queue.entries) this.#queue(payload, { resolve, reject }, number);
    }
  }

  #pump() {
    if (this.#isOpen) for (const queue of this.#queues.values()) this.#run(queue);
  }

  async #run(queue) {
    if (queue.isRunning) return;
    queue.isRunning = true;
    while (this.#isOpen && queue.entries.length > 0) await this.#try(queue, queue.entries[0]);
    queue.isRunning = false;
  }

  async #try(queue, entry) {
    entry.isUnderWay = true;
    try {
      await this.#save();
      const message = await this.#send(entry.payload);
      this.#settle(queue, entry, () => {
        this.#tell('sent', message);
        entry.resolve?.(message);
      });
    } catch (thrown) {
      const error = asChatError(thrown);
      if (!error.isPassing) {
        this.#settle(queue, entry, () => {
          this.#tell('refused', entry.payload, error);
          entry.reject?.(error);
        });
      } else if (this.#isOpen) {
        const wait = backoff(entry.tries, this.#wait, this.#random);
        entry.tries += 1;
        // Not all at the moment that the server named.
        await this.#timers.sleep((error.retryAfterMs ?? 0) + wait);
      }
    }
  }

  #settle(queue, entry, settle) {
    const place = queue.entries.indexOf(entry);
    if (place < 0) return;
    queue.entries.splice(place, 1);
    this.#changed();
    settle(entry);
  }

  #changed() {
    this.#tell('outbox');
    // Whoever sends waits for it and learns of its failure; here nobody does.
    Promise.resolve(this.#save()).catch(() => {});
  }
}
