// What one does in a chat, each in a line: translation into events and routes.

import { Emitter } from './emitter.js';
import { uniqueId } from './ids.js';

/** Rooms of up to this size tell who is there. */
const QUIET = 200;

export class Acts extends Emitter {
  #subscribed = new Map();
  #isOnline = true;

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────

  edit(messageId, content, more = {}) {
    return this.request('chat:message:edit', { ...more, messageId, content });
  }

  delete(messageId, reason) {
    return this.request('chat:message:delete', given({ messageId, reason }));
  }

  react(messageId, emoji) {
    return this.request('chat:reaction:add', { messageId, emoji });
  }

  unreact(messageId, emoji) {
    return this.request('chat:reaction:remove', { messageId, emoji });
  }

  pin(messageId) {
    return this.request('chat:message:pin', { messageId });
  }

  unpin(messageId) {
    return this.request('chat:message:unpin', { messageId });
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Everything up to a message has been read; without a number everything that was heard. */
  async read(roomId, seq = this.room(roomId)?.lastSeq, visibility) {
    return this.#mark('chat:read', given({ roomId, seq, visibility }));
  }

  async markUnread(roomId, seq) {
    return this.#mark('chat:unread:mark', { roomId, seq });
  }

  async #mark(event, payload) {
    const marked = await this.request(event, payload);
    const room = this.room(marked.roomId);
    if (room) this.marked(room, marked);
    return marked;
  }

  typing(roomId, isTyping = true) {
    this.whisper('status:typing', { roomId, isTyping });
  }

  /** A page of history; without an anchor the newest. */
  history(roomId, anchor = {}) {
    return this.rest('GET', `/rooms/${at(roomId)}/messages${query(anchor)}`);
  }

  changes(roomId, since, more = {}) {
    return this.rest('GET', `/rooms/${at(roomId)}/changes${query({ since, ...more })}`);
  }

  /** Loads the newest messages, the first hundred members and who is there, and keeps them as they are from then on. */
  async open(roomId, limit = 50) {
    const room = this.#mine(roomId);
    if (room.isOpen) return room;
    const load = async () => {
      const [page, members] = await Promise.all([this.history(room.id, { limit }), this.rest('GET', `/rooms/${room.id}/members?limit=100`)]);
      return [page, members.items];
    };
    if (await this.#load(room, load)) room.isOpen = true;
    await this.#seeWho(room);
    return room;
  }

  /** Loads the messages before those that are there; says how many came. */
  async loadOlder(roomId, limit = 50) {
    const room = this.#mine(roomId);
    const before = room.messages[0]?.seq;
    const size = room.messages.length;
    await this.#load(room, async () => [await this.history(room.id, given({ limit, before }))]);
    return Math.max(0, room.messages.length - size);
  }

  async #load(room, load) {
    const log = room.loading();
    let isLoaded = false;
    try {
      isLoaded = room.loaded(log, ...(await load()));
    } finally {
      if (!isLoaded) room.gaveUp(log);
    }
    this.emit('room', room);
    return isLoaded;
  }

  #mine(roomId) {
    const room = this.room(roomId);
    if (!room) throw new TypeError(`${roomId} is none of the rooms that are known; join it first.`);
    return room;
  }

  // ── rooms ──────────────────────────────────────────────────────────────────────────────────────────────────

  async createRoom(room) {
    const made = await this.request('chat:room:create', { clientRoomId: uniqueId(), ...room });
    return this.room(made.id) ?? this.entered(made.id, made, made.lastSeq);
  }

  async join(roomId) {
    const { room, membership, lastSeq } = await this.request('chat:room:join', { roomId });
    return this.room(room.id) ?? this.entered(room.id, { ...room, membership }, lastSeq);
  }

  leave(roomId) {
    return this.request('chat:room:leave', { roomId });
  }

  updateRoom(roomId, changes) {
    return this.request('chat:room:update', { ...changes, roomId });
  }

  invite(roomId, userId, role) {
    return this.request('chat:room:invite', given({ roomId, userId, role }));
  }

  kick(roomId, userId, reason) {
    return this.request('chat:room:kick', given({ roomId, userId, reason }));
  }

  ban(roomId, userId, reason) {
    return this.request('chat:room:ban', given({ roomId, userId, reason }));
  }

  unban(roomId, userId) {
    return this.request('chat:room:unban', { roomId, userId });
  }

  /** For so long; 0 ends it. */
  mute(roomId, userId, durationMs) {
    return this.request('chat:room:mute', { roomId, userId, durationMs });
  }

  setRole(roomId, userId, role) {
    return this.request('chat:room:role', { roomId, userId, role });
  }

  // ── presence ───────────────────────────────────────────────────────────────────────────────────────────────

  setOnline(isOnline) {
    this.#isOnline = isOnline;
    return this.request('status:update', { isOnline });
  }

  /** Hears of these users from now on, also after a reconnect. */
  async watch(userIds) {
    userIds.forEach((userId) => this.#subscribed.set(userId, true));
    return this.#subscribe(userIds);
  }

  async #subscribe(userIds) {
    const { users } = await this.request('status:subscribe', { userIds });
    this.#present(users);
    return users;
  }

  async #seeWho(room) {
    if (room.memberCount > QUIET) return;
    const { items } = await this.rest('GET', `/rooms/${room.id}/presence`);
    this.#present(items);
  }

  #present(statuses) {
    for (const status of statuses) {
      this.presence.set(status.userId, status);
      this.emit('presence', status);
    }
  }

  /** What the server forgets with a connection is told to the next one. */
  onReady() {
    const ignore = () => {};
    if (!this.#isOnline) this.request('status:update', { isOnline: false }).catch(ignore);
    if (this.#subscribed.size > 0) this.#subscribe([...this.#subscribed.keys()]).catch(ignore);
    for (const room of this.rooms.values()) if (room.isOpen) this.#seeWho(room).catch(ignore);
  }

  /** Ends the session on the server, here or on all devices, and closes. */
  async logout(allDevices = false) {
    try {
      await this.request('auth:logout', { allDevices });
    } catch (error) {
      // The answer was lost, and the next try came too late.
      if (error.code !== 'AUTH_REVOKED') throw error;
    }
    this.close();
  }
}

function given(payload) {
  return Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined));
}

function at(roomId) {
  return encodeURIComponent(roomId);
}

function query(parameters) {
  const names = { firstUnread: 'first_unread' };
  const text = new URLSearchParams(Object.entries(given(parameters)).map(([name, value]) => [names[name] ?? name, String(value)])).toString();
  return text && `?${text}`;
}
