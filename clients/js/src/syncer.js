// Brings what was missed: asks for all rooms that are behind at once, and pages what is too much for one answer.
//
// One question is under way at a time. A connection that is lost ends it; the next one begins with what is still behind.

import { asChatError } from './errors.js';
import { backoff } from './timers.js';

/** Rooms in one question; their ids fit into one event. */
const ROOMS = 500;

export class Syncer {
  #parts;
  #wanted = new Set();
  /** Grows with every connection: what belongs to an earlier one is let go. */
  #era = 0;
  #isOpen = false;
  #isRunning = false;

  /**
   * @param parts.request   emits an event and gives the ack's data
   * @param parts.get       reads a REST path
   * @param parts.rooms     the rooms, by id
   * @param parts.caughtUp  takes everything that changed in a room since its cursor
   * @param parts.restart   takes a room whose history begins anew, or of which too much was missed
   * @param parts.gone      a room is not ours any more
   * @param parts.error     is told what went wrong
   */
  constructor(parts) {
    this.#parts = parts;
  }

  want(room) {
    this.#wanted.add(room.id);
    room.feed.isStale = true;
    this.#run();
  }

  open() {
    this.#isOpen = true;
    this.#run();
  }

  shut() {
    this.#isOpen = false;
    this.#era += 1;
    this.#isRunning = false;
  }

  forget() {
    this.#wanted.clear();
  }

  async #run() {
    if (this.#isRunning || !this.#isOpen) return;
    this.#isRunning = true;
    const era = this.#era;
    // All that are found to be behind at the same moment go into one question.
    await undefined;
    for (let tries = 0; era === this.#era && this.#wanted.size > 0; ) {
      try {
        await this.#ask(era);
        tries = 0;
      } catch (thrown) {
        if (era !== this.#era) return;
        const error = asChatError(thrown);
        this.#parts.error(error);
        await this.#parts.timers.sleep((error.retryAfterMs ?? 0) + backoff(tries, this.#parts.wait, this.#parts.random));
        tries += 1;
      }
    }
    if (era === this.#era) this.#isRunning = false;
  }

  async #ask(era) {
    const { rooms, limit } = this.#parts;
    const asked = [];
    for (const id of this.#wanted) {
      const room = rooms.get(id);
      if (!room) this.#wanted.delete(id);
      else if (asked.length < ROOMS) asked.push({ room, marks: room.marks, cursor: room.feed.cursor });
    }
    if (asked.length === 0) return;
    const known = Object.fromEntries(asked.map(({ room, cursor }) => [room.id, cursor]));
    const answer = await this.#parts.request('chat:sync', { rooms: known, ...(limit ? { limit } : {}) });
    if (era !== this.#era || !this.#parts.isSameHistory(answer.epoch)) return;

    const gone = new Set(answer.gone);
    const changes = new Map(answer.rooms.map((one) => [one.roomId, one]));
    const limited = [];
    for (const one of asked) {
      // It may have been left, and entered anew, while the answer was on its way.
      if (rooms.get(one.room.id) !== one.room) continue;
      const found = changes.get(one.room.id);
      if (gone.has(one.room.id)) this.#done(one.room, () => this.#parts.gone(one.room));
      else if (found?.limited) limited.push([one, found]);
      else if (found) this.#take(one, found);
    }
    for (const [one, found] of limited) await this.#page(one, found, era);
  }

  #take({ room, marks }, changes) {
    this.#done(room, () => this.#parts.caughtUp(room, changes, marks));
    // Markers that moved while the answer was on its way: what is unread then was counted before or after.
    if (marks !== room.marks && this.#parts.rooms.get(room.id) === room) this.want(room);
  }

  #done(room, tell) {
    this.#wanted.delete(room.id);
    tell();
  }

  /** Fetches what a limited answer left out, and then what was changed meanwhile; all of it is handed on at once, in order. */
  async #page(one, first, era) {
    const { room, cursor } = one;
    const path = `/rooms/${room.id}/changes`;
    const isOurs = () => era === this.#era && this.#parts.rooms.get(room.id) === room;
    const all = { messages: new Map(), members: new Map() };
    const put = ({ messages, members }) => {
      messages.forEach((message) => all.messages.set(message.id, message));
      members.forEach((member) => all.members.set(member.userId, member));
    };
    try {
      for (let changes = first; ; ) {
        if (changes.reset || changes.toSeq - cursor > this.#parts.most) {
          this.#done(room, () => this.#parts.restart(room, changes, changes.reset ? 'history' : 'gap'));
          return;
        }
        put(changes);
        if (!changes.limited) {
          const { roomId, toSeq, room: overview } = changes;
          this.#take(one, { roomId, toSeq, room: overview, messages: [...all.messages.values()], members: [...all.members.values()] });
          return;
        }
        for (let since = changes.gap.since; since < changes.gap.until; ) {
          const page = await this.#parts.get(`${path}?since=${since}&until=${changes.gap.until}${this.#limit}`);
          if (!isOurs()) return;
          put(page);
          since = page.hasMore ? page.toSeq : Infinity;
        }
        changes = await this.#parts.get(`${path}?since=${changes.toSeq}${this.#limit}`);
        if (!isOurs()) return;
      }
    } catch (error) {
      if (!isOurs()) return;
      // We are not in it any more; the next question says so itself.
      if (error.status !== 403 && error.status !== 404) throw error;
      this.#done(room, () => this.#parts.gone(room));
    }
  }

  get #limit() {
    return this.#parts.limit ? `&limit=${this.#parts.limit}` : '';
  }
}
