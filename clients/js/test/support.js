// A network, a server and a clock that do what a test says.

import { ChatError } from '../src/errors.js';

/** Lets everything happen that waits for nothing else. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await undefined;
}

/** Timers that a test lets run. */
export class FakeTimers {
  #waiting = [];

  after(ms, run) {
    const entry = { ms, run };
    this.#waiting.push(entry);
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
    };
  }

  sleep(ms) {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  stop() {
    this.#waiting = [];
  }

  /** For how long each timer was set. */
  get set() {
    return this.#waiting.map(({ ms }) => ms);
  }

  /** Lets the shortest one end. */
  async next() {
    const entry = this.#waiting.reduce((one, other) => (other.ms < one.ms ? other : one));
    this.#waiting = this.#waiting.filter((other) => other !== entry);
    entry.run();
    await settle();
  }
}

/** A socket of socket.io-client, as far as it is used. */
export class FakeSocket {
  connected = false;
  emitted = [];
  #any = () => {};
  #listeners = {};

  constructor(options) {
    this.auth = options.auth;
    this.options = options;
    this.volatile = this;
  }

  onAny(listener) {
    this.#any = listener;
  }

  offAny() {
    this.#any = () => {};
  }

  on(name, listener) {
    this.#listeners[name] = listener;
  }

  off() {
    this.#listeners = {};
  }

  connect() {
    this.isDialled = true;
  }

  disconnect() {
    this.connected = false;
  }

  emit(name, payload, ack) {
    this.emitted.push({ name, payload, ack, ok: (data) => ack({ ok: true, data }), fail: (error) => ack({ ok: false, error }) });
  }

  // ── what the server does ───────────────────────────────────────────────────────────────────────────────────

  says(name, payload) {
    this.#any(name, payload);
  }

  ready(more = {}) {
    this.connected = true;
    const now = Date.now();
    const data = { user: { id: 'me' }, epoch: 'one', rooms: [], serverTime: new Date(now).toISOString(), tokenExpiresAt: new Date(now + 3_600_000).toISOString(), ...more };
    this.says('system:notification', { type: 'session.ready', data });
  }

  breaks(reason = 'transport close') {
    this.connected = false;
    this.#listeners.disconnect?.(reason);
  }

  refuses(message) {
    this.#listeners.connect_error?.(new Error(message));
  }
}

export function refusal(code, more = {}) {
  return new ChatError({ code, message: code, status: 400, retryable: false, ...more });
}

let number = 0;

/** A message as the server tells it. */
export function message(seq, more = {}) {
  number += 1;
  return {
    id: `id-${seq}-${number}`, roomId: 'den', seq, rev: seq, senderId: 'ann', sender: { id: 'ann' }, content: `number ${seq}`, type: 'text', replyTo: null,
    threadRootId: null, mentions: [], attachments: [], reactions: {}, createdAt: '2026-01-01T00:00:00.000Z', editedAt: null, deletedAt: null, ...more,
  };
}

export function overview(more = {}) {
  return { id: 'den', slug: null, type: 'group', name: 'Den', memberCount: 2, membership: { role: 'member' }, can: ['send'], lastMessage: null, lastSeq: 0, read: { seq: 0, deliveredSeq: 0 }, unread: 0, mentions: 0, ...more };
}
