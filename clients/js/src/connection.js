// The life of the connection: a token before each try, a pause after each failure, and an answer to every question.
//
// Each try is a socket of its own, so that nothing of an earlier one can be sent or heard later. Whoever ends the connection,
// coming back goes one way: socket.io-client's own reconnecting knows neither of tokens nor of ends by the server.

import { ChatError, asChatError, disconnected, timedOut } from './errors.js';
import { Emitter } from './emitter.js';
import { backoff } from './timers.js';

/** A connection that lasted so long was a good one: the next failure is a first one. */
const STEADY_MS = 5_000;
/** A token is renewed so long before its end, or when a fifth of its life is left. */
const AHEAD_MS = 60_000;

/** Tells: ('event', name, payload), ('ready', data), ('down'), ('state', state), ('stopped', error), ('error', error). */
export class Connection extends Emitter {
  #io;
  #url;
  #options;
  #tokens;
  #timers;
  #random;
  #socket;
  #token;
  #pending = new Set();
  #cancels = new Set();
  #failures = 0;
  #readyAt = 0;
  /** How far the server's clock is ahead of ours. */
  #skew = 0;
  #try = 0;
  #ending;
  #pauseMs;
  #renewing = false;
  #cancelAgain = () => {};
  #cancelRenewal = () => {};

  state = 'idle';

  constructor({ io, url, socketOptions, tokens, timers, random, wait, ackTimeoutMs, readyTimeoutMs }) {
    super();
    this.#io = io;
    this.#url = url;
    this.#options = { wait, ackTimeoutMs, readyTimeoutMs, socketOptions };
    this.#tokens = tokens;
    this.#timers = timers;
    this.#random = random;
  }

  get isReady() {
    return this.state === 'ready';
  }

  async open() {
    if (this.#isOver) return;
    this.#cancelAgain();
    this.#try += 1;
    const mine = this.#try;
    this.#become('connecting');
    try {
      const token = await this.#tokens.current();
      if (mine === this.#try && !this.#isOver) this.#dial(token);
    } catch (thrown) {
      if (mine !== this.#try || this.#isOver) return;
      const error = asChatError(thrown);
      if (error.isFatal) this.stop(error);
      else this.#down(error);
    }
  }

  #dial(token) {
    const { socketOptions, readyTimeoutMs } = this.#options;
    this.#token = token;
    this.#ending = undefined;
    const socket = this.#io(this.#url, { ...socketOptions, auth: { token }, forceNew: true, reconnection: false, autoConnect: false, retries: 0 });
    this.#socket = socket;
    const mine = (listener) => (...told) => this.#socket === socket && listener(...told);
    socket.onAny(mine((name, payload) => this.#hear(name, payload)));
    socket.on('disconnect', mine((reason) => this.#down(this.#ending ?? new ChatError({ code: 'DISCONNECTED', message: reason, retryable: true }))));
    socket.on('connect_error', mine((error) => this.#down(refusal(error))));
    this.#later(readyTimeoutMs, () => this.#down(timedOut('session.ready', readyTimeoutMs)));
    socket.connect();
  }

  #hear(name, payload) {
    if (name === 'system:notification') this.#notified(payload);
    else if (name === 'system:error') this.#failed(payload);
    this.emit('event', name, payload);
  }

  #notified({ type, data }) {
    if (type === 'session.ready') this.#ready(data);
    else if (type === 'auth.expiring') this.#renew();
    // The server says when to come back, so that not all of its clients come at once.
    else if (type === 'server.draining') this.#pauseMs = data?.reconnectInMs;
  }

  #failed(body) {
    // What answers an event of ours is in its ack, too.
    if (body.event) return;
    const error = new ChatError(body);
    if (error.isBadToken || error.isFatal || error.code === 'AUTH_TIMEOUT') this.#ending = error;
    if (error.isFatal) this.stop(error);
  }

  #ready(data) {
    this.#clearTimers();
    this.#readyAt = Date.now();
    this.#skew = Date.parse(data.serverTime) - Date.now();
    this.#expects(data.tokenExpiresAt, Date.now() + this.#skew);
    this.#become('ready');
    this.emit('ready', data);
  }

  /** Lets go of the present try and of all that belongs to it. */
  #drop(next) {
    const [socket, wasReady] = [this.#socket, this.isReady];
    this.#socket = undefined;
    this.#try += 1;
    this.#clearTimers();
    this.#cancelAgain();
    if (socket) letGo(socket);
    this.#become(next);
    this.#reject(disconnected());
    if (wasReady) this.emit('down');
  }

  #down(error) {
    if (this.#isOver) return;
    if (this.isReady && Date.now() - this.#readyAt >= STEADY_MS) this.#failures = 0;
    if (error.isBadToken) this.#tokens.refuse(this.#token, error);
    this.#drop('waiting');
    this.emit('error', error);
    if (error.isFatal) this.stop(error);
    else this.#again();
  }

  #again() {
    const pause = this.#pauseMs ?? backoff(this.#failures, this.#options.wait, this.#random);
    this.#pauseMs = undefined;
    this.#failures += 1;
    this.#cancelAgain = this.#timers.after(pause, () => this.open());
  }

  /** Comes back at once if it waits to: the network is there again, say. */
  hurry() {
    if (this.state === 'waiting') this.open();
  }

  /** Begins anew. */
  reconnect() {
    this.#down(disconnected());
  }

  /** For good, and why. */
  stop(error) {
    if (this.#isOver) return;
    this.#drop('stopped');
    this.emit('stopped', error);
  }

  close() {
    if (this.#isOver) this.#become('closed');
    else this.#drop('closed');
    this.silence();
  }

  // ── tokens ─────────────────────────────────────────────────────────────────────────────────────────────────

  #expects(expiresAt, now) {
    const life = Date.parse(expiresAt) - now;
    if (!(life > 0)) return;
    this.#tokens.lasts(life);
    this.#cancelRenewal();
    if (this.#tokens.canRenew) this.#cancelRenewal = this.#later(life - Math.min(AHEAD_MS, life / 5), () => this.#renew());
  }

  /** Gets another token, and tells the server: the connection goes on. */
  async #renew() {
    if (this.#renewing || !this.#tokens.canRenew) return;
    this.#renewing = true;
    const mine = this.#try;
    const isMine = () => mine === this.#try && this.isReady;
    for (let tries = 0; isMine(); tries += 1) {
      try {
        const token = await this.#tokens.renew();
        if (!isMine()) break;
        const { tokenExpiresAt } = await this.request('auth:login', { token });
        this.#token = token;
        this.#expects(tokenExpiresAt, Date.now() + this.#skew);
        break;
      } catch (thrown) {
        const error = asChatError(thrown);
        if (!isMine()) break;
        this.emit('error', error);
        if (error.isFatal) this.stop(error);
        else await this.#timers.sleep(Math.max(error.retryAfterMs ?? 0, backoff(tries, this.#options.wait, this.#random)));
      }
    }
    this.#renewing = false;
  }

  // ── questions ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Emits once, and gives the ack's data. Without an answer in time the connection is taken for dead. */
  request(event, payload) {
    const socket = this.#socket;
    if (!this.isReady || !socket?.connected) return Promise.reject(disconnected());
    const { ackTimeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = this.#timers.after(ackTimeoutMs, () => {
        this.#pending.delete(fail);
        const error = timedOut(event, ackTimeoutMs);
        reject(error);
        if (this.#socket === socket) this.#down(error);
      });
      const fail = (error) => {
        cancel();
        reject(error);
      };
      this.#pending.add(fail);
      socket.emit(event, payload, (ack) => {
        if (!this.#pending.delete(fail)) return;
        cancel();
        if (ack?.ok) resolve(ack.data);
        else reject(new ChatError(ack?.error ?? { code: 'INTERNAL_ERROR', message: 'The answer is not one of this server.' }));
      });
    });
  }

  /** Emits what need not arrive. */
  whisper(event, payload) {
    if (this.isReady && this.#socket?.connected) this.#socket.volatile.emit(event, payload, () => {});
  }

  #reject(error) {
    const pending = [...this.#pending];
    this.#pending.clear();
    pending.forEach((fail) => fail(error));
  }

  // ── its own business ───────────────────────────────────────────────────────────────────────────────────────

  get #isOver() {
    return this.state === 'stopped' || this.state === 'closed';
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  /** Something of this connection, which ends with it. */
  #later(ms, run) {
    const cancel = this.#timers.after(ms, run);
    this.#cancels.add(cancel);
    return cancel;
  }

  #clearTimers() {
    this.#cancels.forEach((cancel) => cancel());
    this.#cancels.clear();
  }
}

/** Nothing is heard of a socket any more. It says goodbye, and where that is possible (in Node) does not wait for the answer. */
function letGo(socket) {
  socket.offAny();
  socket.off();
  const ws = socket.io?.engine?.transport?.ws;
  socket.disconnect();
  ws?.terminate?.();
}

/** With strict authentication the message of a refusal begins with its code. */
function refusal(error) {
  const code = /^([A-Z][A-Z_]+): (.*)$/.exec(error?.message ?? '');
  return code ? new ChatError({ code: code[1], message: code[2], retryable: code[1] === 'UNAVAILABLE' }) : asChatError(error);
}
