// The chat as an application sees it: rooms that are as the server has them, and messages that arrive.
//
// Everything that has a number goes through its room's feed, which lets it pass once and in order; what was missed comes
// through the syncer and is told in the same words as what was heard.

import { io as officialIo } from 'socket.io-client';
import { Acts } from './acts.js';
import { ChatError, closed, timedOut } from './errors.js';
import { Connection } from './connection.js';
import { uniqueId } from './ids.js';
import { Kept } from './kept.js';
import { Outbox } from './outbox.js';
import { Rest } from './rest.js';
import { Syncer } from './syncer.js';
import { Timers, backoff } from './timers.js';
import { tokensFrom } from './tokens.js';
import { RoomView } from './view.js';

const DEFAULTS = {
  namespace: '/chat',
  io: officialIo,
  autoConnect: true,
  windowSize: 200,
  gapLimit: 10_000,
  ackTimeoutMs: 10_000,
  readyTimeoutMs: 30_000,
  requestTimeoutMs: 60_000,
  reconnectMinMs: 500,
  reconnectMaxMs: 15_000,
  random: Math.random,
};

export class IresChat extends Acts {
  #options;
  #wait;
  #timers = new Timers();
  #rest;
  #connection;
  #outbox;
  #kept;
  #tokens;
  #syncer;
  /** All rooms, also those of which only a number is known so far. */
  #all = new Map();
  /** Of these an event was heard before anything else. */
  #heardOf = new WeakSet();
  #epoch;
  #isRestored = false;
  #waiting = new Set();
  #over;

  /** Who we are, from the first `ready` on. */
  me = null;
  /** The `data` of the last `session.ready`. */
  session = null;
  rooms = new Map();
  presence = new Map();

  constructor(url, options = {}) {
    super();
    const settings = { ...DEFAULTS, ...options };
    const base = url.replace(/\/+$/, '');
    const [timers, random] = [this.#timers, settings.random];
    this.#options = settings;
    this.#kept = new Kept(settings.storage, settings.storageKey ?? `ires-chat:${base}`, (error) => this.emit('error', error));
    this.#wait = { base: settings.reconnectMinMs, max: settings.reconnectMaxMs };
    const wait = this.#wait;
    const [timeoutMs, patienceMs] = [settings.ackTimeoutMs, settings.requestTimeoutMs];
    this.#rest = new Rest({ url: base, fetch: settings.fetch, timers, wait, random, timeoutMs, patienceMs });
    const tokens = tokensFrom(settings, { rest: this.#rest, timers, wait, tell: (session) => this.emit('session', session) });
    this.#tokens = this.#rest.tokens = tokens;
    this.#connection = new Connection({ ...settings, url: base + settings.namespace, tokens, timers, wait });
    this.#outbox = new Outbox({
      send: (payload) => this.#connection.request('chat:message', payload),
      resolve: (room) => this.#named(room)?.id ?? room,
      tell: (...told) => this.emit(...told),
      save: () => (this.#isRestored && !this.#over ? this.#kept.save(this.me.id, this.#outbox.entries()) : undefined),
      timers,
      wait,
      random,
    });
    this.#syncer = new Syncer({
      request: (event, payload) => this.#connection.request(event, payload),
      get: (path) => this.#rest.call('GET', path),
      isSameHistory: (epoch) => epoch === this.#epoch || this.#connection.reconnect(),
      caughtUp: (room, changes, marks) => this.#caughtUp(room, changes, marks),
      restart: (room, changes, reason) => this.#restart(room, changes, reason),
      gone: (room) => this.#left(room, { reason: 'gone' }),
      error: (error) => this.emit('error', error),
      rooms: this.#all,
      limit: settings.syncLimit,
      most: settings.gapLimit,
      timers,
      wait,
      random,
    });
    this.#resume(settings.resume);
    this.#listen();
    if (settings.autoConnect) this.connect();
  }

  get state() {
    return this.#connection.state;
  }

  connect() {
    if (this.state === 'idle') this.#connection.open();
  }

  /** Ends everything: no timer, no connection, no listener is left. What was not sent is rejected with `CLOSED`. */
  close() {
    globalThis.removeEventListener?.('online', this.#hurry);
    this.#connection.close();
    this.#end(closed());
    this.#rest.close();
    this.#timers.stop();
    this.silence();
  }

  #hurry = () => this.#connection.hurry();

  #listen() {
    globalThis.addEventListener?.('online', this.#hurry);
    this.#connection.on('state', (state) => this.emit('state', state));
    this.#connection.on('error', (error) => this.emit('error', error));
    this.#connection.on('event', (name, payload) => this.#hear(name, payload));
    this.#connection.on('ready', (data) => this.#ready(data));
    this.#connection.on('down', () => this.#down());
    this.#connection.on('stopped', (error) => {
      this.#end(error);
      this.emit('stopped', error);
    });
  }

  #end(error) {
    this.#over = error;
    this.#syncer.shut();
    this.#outbox.end(error);
    this.#waiting.forEach(({ reject }) => reject(error));
    this.#waiting.clear();
  }

  // ── connection ─────────────────────────────────────────────────────────────────────────────────────────────

  #ready(data) {
    if (this.me && this.me.id !== data.user.id) {
      this.#connection.stop(new ChatError({ code: 'AUTH_IDENTITY_MISMATCH', message: 'The new token is somebody else’s.', status: 409 }));
      return;
    }
    const isOther = this.#epoch !== undefined && this.#epoch !== data.epoch;
    const isFirst = this.session === null || isOther;
    this.me = data.user;
    this.session = data;
    this.presence.clear();
    if (isOther) this.#forget();
    this.#epoch = data.epoch;
    const listed = new Set(data.rooms.map((room) => room.id));
    for (const room of data.rooms) this.#listed(room, !isFirst);
    // Not among the most recently active: the answer to a sync says whether they are ours.
    for (const room of this.#all.values()) if (!listed.has(room.id)) this.#syncer.want(room);
    if (isOther) this.emit('reset', { reason: 'epoch' });
    this.emit('ready', data);
    this.#syncer.open();
    this.#waiting.forEach(({ resolve }) => resolve());
    this.#waiting.clear();
    this.#openOutbox();
    this.onReady();
  }

  async #openOutbox() {
    if (!this.#isRestored) {
      this.#isRestored = true;
      const stored = await this.#kept.load(this.me.id);
      if (this.#over) return;
      this.#outbox.restore(stored);
    }
    if (this.#connection.isReady) this.#outbox.open();
  }

  #down() {
    this.#syncer.shut();
    this.#outbox.shut();
    for (const room of this.rooms.values()) {
      if (room.typing.size > 0) {
        room.typing.clear();
        this.emit('room', room);
      }
    }
  }

  #forget() {
    this.#syncer.forget();
    this.#all.clear();
    this.rooms.clear();
  }

  // ── rooms ──────────────────────────────────────────────────────────────────────────────────────────────────

  #named(room) {
    return this.rooms.get(room) ?? [...this.rooms.values()].find((other) => other.slug === room);
  }

  /** The room with this id or slug. */
  room(name) {
    return this.#named(name);
  }

  #resume(saved) {
    if (!saved) return;
    this.#epoch = saved.epoch;
    for (const [id, seq] of Object.entries(saved.rooms)) this.#add(id, seq);
  }

  /** How far everything was handed on: for `resume` in a later life. */
  cursors() {
    return { epoch: this.#epoch, rooms: Object.fromEntries([...this.#all].map(([id, room]) => [id, room.lastSeq])) };
  }

  #add(id, cursor) {
    const room = new RoomView(() => this.me?.id, id, cursor, this.#options.windowSize, () => this.#outbox.entries(id));
    this.#all.set(id, room);
    return room;
  }

  #show(room, isNews) {
    if (this.rooms.has(room.id)) return;
    this.rooms.set(room.id, room);
    if (isNews) this.emit('joined', room);
  }

  /** A room as `session.ready` shows it. */
  #listed(overview, isNews) {
    // Nothing was told of a room that was only heard of: it begins as it is listed, and not before.
    if (!this.rooms.has(overview.id) && this.#heardOf.has(this.#all.get(overview.id))) this.#all.delete(overview.id);
    const known = this.#all.get(overview.id);
    const room = known ?? this.#add(overview.id, overview.lastSeq);
    if (overview.lastSeq !== room.lastSeq) {
      this.#syncer.want(room);
      if (this.rooms.has(room.id)) return;
    }
    room.overview(overview);
    this.#show(room, isNews && !known);
    if (known && room.feed.isStale) this.#syncer.want(room);
    if (known) this.emit('room', room);
  }

  /** A room that we have just come into, or see again. */
  entered(id, view, lastSeq) {
    const known = this.#all.get(id);
    if (known && lastSeq <= known.lastSeq) return known;
    const room = known ?? this.#add(id, lastSeq);
    if (!known) {
      room.overview(view);
      this.#show(room, true);
    }
    // What else we may see of it, and what was missed.
    this.#syncer.want(room);
    return room;
  }

  #left(room, { seq, reason, by, note }) {
    if (this.#all.get(room.id) !== room || (typeof seq === 'number' && seq <= room.lastSeq)) return;
    this.#all.delete(room.id);
    if (this.rooms.delete(room.id)) this.emit('left', { roomId: room.id, reason, by, note, room });
  }

  #caughtUp(room, changes, marks) {
    if (!this.rooms.has(room.id)) {
      // It begins before what is told of it.
      room.overview(changes.room, marks);
      this.#show(room, true);
    }
    const told = room.caughtUp(changes, marks);
    this.#tell(room, told);
    this.emit('room', room);
    for (const [name, data] of room.feed.caughtUp(changes.toSeq)) this.#tell(room, room.apply(name, data));
    if (room.feed.isStale) this.#syncer.want(room);
  }

  #restart(room, changes, reason) {
    room.restart(changes, changes.gap?.until ?? changes.fromSeq);
    this.#show(room, true);
    this.emit('reset', { reason, roomId: room.id, room });
    this.emit('room', room);
    // What waited for this answer was let go.
    this.#syncer.want(room);
  }

  // ── events ─────────────────────────────────────────────────────────────────────────────────────────────────

  #hear(name, data) {
    const room = this.#all.get(data?.roomId);
    if (name === 'system:notification') this.emit('notification', data);
    else if (name === 'system:error') this.emit('error', new ChatError(data));
    else if (name === 'chat:room:created') this.entered(data.roomId, data.room, data.room.lastSeq);
    else if (name === 'chat:room:joined' && data.self) this.entered(data.roomId, { ...data.room, membership: data.membership, read: data.read }, data.lastSeq);
    else if (name === 'chat:room:left' && data.self) room && this.#left(room, data);
    else if (typeof data?.seq === 'number' && data.roomId) this.#numbered(name, data, room);
    else this.#unnumbered(name, data, room);
  }

  #numbered(name, data, known) {
    const room = known ?? this.#add(data.roomId, data.seq - 1);
    if (!known) {
      room.feed.isStale = true;
      this.#heardOf.add(room);
    }
    if (room.feed.hear(data.seq, [name, data])) this.#tell(room, room.apply(name, data));
    else if (room.feed.isStale) this.#syncer.want(room);
  }

  #tell(room, told) {
    for (const [name, ...what] of told) {
      if (name !== 'uncertain') this.emit(name, ...what);
      // What is unread, and what we may do, only the server knows then.
      if (name === 'uncertain' || (name === 'member' && what[0].isMe && what[0].event)) this.#syncer.want(room);
    }
  }

  #unnumbered(name, data, room) {
    if (name === 'status:online' || name === 'status:offline') {
      this.presence.set(data.userId, data);
      this.emit('presence', data);
    } else if (name === 'status:typing' && room) {
      room.typed(data);
      this.emit('typing', data, room);
    } else if (name === 'chat:read' && room) {
      this.marked(room, data);
      this.emit('read', data, room);
    } else if (name === 'chat:room:updated' && room) {
      room.overview({ memberCount: data.room.memberCount });
      this.emit('room', room);
    } else {
      this.emit('event', name, data);
    }
  }

  marked(room, data) {
    if (room.marked(data)) this.#syncer.want(room);
    this.emit('room', room);
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Says something; resolves with the message as it is stored, however often it must be sent. */
  send(roomId, content, more = {}) {
    if (this.#over) return Promise.reject(this.#over);
    const payload = { clientMsgId: uniqueId(), ...more, roomId: this.#named(roomId)?.id ?? roomId, content };
    const stored = this.#outbox.add(payload);
    // Who does not wait for it hears of a refusal by 'refused'.
    stored.catch(() => {});
    return stored;
  }

  pending(roomId) {
    return this.#outbox.entries(roomId === undefined ? undefined : (this.#named(roomId)?.id ?? roomId));
  }

  cancel(clientMsgId) {
    return this.#outbox.cancel(clientMsgId);
  }

  // ── questions ──────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Emits an event of the contract and gives the ack's data; tried again through disconnections and whatever passes, for all
   * events that change something can be repeated.
   */
  async request(event, payload) {
    const until = Date.now() + this.#options.requestTimeoutMs;
    for (let tries = 0; ; tries += 1) {
      await this.#whenReady(event, until);
      try {
        return await this.#connection.request(event, payload);
      } catch (error) {
        if (this.#over) throw this.#over;
        const pause = (error.retryAfterMs ?? 0) + backoff(tries, this.#wait, this.#options.random);
        if (!error.isPassing || Date.now() + pause >= until) throw error;
        if (this.#connection.isReady) await this.#timers.sleep(pause);
      }
    }
  }

  #whenReady(event, until) {
    if (this.#over) return Promise.reject(this.#over);
    if (this.#connection.isReady) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = {};
      const cancel = this.#timers.after(until - Date.now(), () => {
        this.#waiting.delete(waiter);
        reject(timedOut(event, this.#options.requestTimeoutMs));
      });
      const settle = (end) => (result) => {
        cancel();
        end(result);
      };
      Object.assign(waiter, { resolve: settle(resolve), reject: settle(reject) });
      this.#waiting.add(waiter);
    });
  }

  whisper(event, payload) {
    this.#connection.whisper(event, payload);
  }

  /**
   * Gives the account another password; its sessions elsewhere end, and this one goes on. Tried once: if the answer is lost, one of
   * the two passwords is right.
   */
  async changePassword(currentPassword, newPassword) {
    const token = await this.#tokens.current();
    const loggedIn = await this.#rest.once('PUT', '/users/me/password', { currentPassword, newPassword }, token);
    this.#tokens.adopt(loggedIn, newPassword);
  }

  /** A REST request below `/api/v1`, with the token; for what may be done twice. */
  rest(method, path, body) {
    return this.#rest.call(method, path, body);
  }
}
