// Tokens, plain requests, and what an application would keep of the events that it is handed.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';

const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A token as the surrounding system would mint it. */
export function mint(secret, user, seconds = 3_600) {
  const now = Math.floor(Date.now() / 1_000);
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, iat: now, exp: now + seconds, jti: `${user}-${now}-${seconds}` })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** The answer to a request past all proxies, asked again while the server is being started anew. */
export async function ask(base, token, path, { headers, ...options } = {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      const response = await fetch(`${base()}/api/v1${path}`, { headers: { authorization: `Bearer ${token}`, ...headers }, ...options });
      return { status: response.status, body: await response.json() };
    } catch (error) {
      if (tries > 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** What there is at a path. */
export async function get(base, token, path) {
  const { status, body } = await ask(base, token, path);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** All messages of a room. */
export async function history(base, token, room) {
  const all = [];
  for (let after = 0; ; ) {
    const { messages, page } = await get(base, token, `/rooms/${room}/messages?after=${after}&limit=100`);
    all.push(...messages);
    if (!page.hasNewer) return all;
    after = page.newestSeq;
  }
}

/** A message without what no event tells: when it was deleted or pinned. */
export function plain({ deletedAt, pinnedAt, duplicate, ownReactions = [], ...rest }) {
  const message = { ...rest, deleted: Boolean(deletedAt), pinned: Boolean(pinnedAt), ownReactions: [...ownReactions].sort() };
  return JSON.parse(JSON.stringify(message));
}

/** What an application that keeps a store of its own makes of what it is told. */
export class Store {
  constructor(name) {
    this.name = name;
    this.rooms = new Map();
    this.errors = [];
    this.resets = 0;
  }

  listen(chat) {
    chat.on('ready', (session) => session.rooms.forEach((room) => this.begin(room.id, room.lastSeq)));
    chat.on('joined', (room) => this.begin(room.id, room.lastSeq, true));
    chat.on('left', ({ roomId }) => this.rooms.delete(roomId));
    chat.on('reset', () => (this.resets += 1));
    chat.on('message', (message) => {
      const room = this.#at(message.roomId, message.seq);
      assert.ok(message.seq > (room.heard.at(-1) ?? room.since), `${this.name}: message ${message.seq} after ${room.heard.at(-1)}`);
      room.heard.push(message.seq);
      room.messages.set(message.id, message);
    });
    chat.on('changed', ({ roomId, seq, messageId, message }) => {
      const room = this.#at(roomId, seq);
      room.changes += 1;
      if (message) room.messages.set(messageId, message);
    });
    chat.on('member', ({ roomId, seq, member }) => {
      const room = this.#at(roomId, seq);
      const known = room.members.get(member.userId);
      assert.ok(!known || known.seq < seq, `${this.name}: a member is told twice`);
      room.members.set(member.userId, member);
    });
    chat.on('error', (error) => this.errors.push(error.code));
  }

  begin(id, since, isAnew = false) {
    if (isAnew || !this.rooms.has(id)) this.rooms.set(id, { since, last: since, heard: [], messages: new Map(), members: new Map(), changes: 0 });
  }

  /** The room, if this number may come now. */
  #at(roomId, seq) {
    const room = this.rooms.get(roomId);
    assert.ok(room, `${this.name}: something of a room that was not told of`);
    assert.ok(seq >= room.last && seq > room.since, `${this.name}: ${seq} after ${room.last}`);
    room.last = seq;
    return room;
  }
}
