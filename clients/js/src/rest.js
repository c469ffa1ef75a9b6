// Requests to the REST side: the token goes with them, an ended one is renewed once, what passes is tried again.

import { ChatError, asChatError, closed, network } from './errors.js';
import { backoff } from './timers.js';

export class Rest {
  #base;
  #fetch;
  #timers;
  #tokens;
  #wait;
  #timeoutMs;
  #patienceMs;
  #random;
  #end = new AbortController();

  constructor({ url, fetch, timers, wait, random, timeoutMs, patienceMs }) {
    this.#base = `${url}/api/v1`;
    this.#fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.#timers = timers;
    this.#wait = wait;
    this.#timeoutMs = timeoutMs;
    this.#patienceMs = patienceMs;
    this.#random = random;
  }

  /** Where tokens come from; they come by this class themselves. */
  set tokens(tokens) {
    this.#tokens = tokens;
  }

  /** What answers the question, or a ChatError. Tried again while that may help: so only for what may be done twice. */
  async call(method, path, body) {
    const until = Date.now() + this.#patienceMs;
    for (let tries = 0; ; tries += 1) {
      let token;
      try {
        token = await this.#tokens.current();
        return await this.once(method, path, body, token);
      } catch (thrown) {
        const error = asChatError(thrown);
        const pause = error.isBadToken ? 0 : (error.retryAfterMs ?? 0) + backoff(tries, this.#wait, this.#random);
        const isOver = error.isFatal || this.#end.signal.aborted || Date.now() + pause >= until;
        if (isOver || !(error.isBadToken || error.retryable)) throw error;
        if (error.isBadToken) this.#tokens.refuse(token, error);
        else await this.#pause(pause);
      }
    }
  }

  /** One try, with this token or with none. */
  async once(method, path, body, token) {
    const headers = {};
    if (token) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    const late = new AbortController();
    const abort = () => late.abort();
    if (this.#end.signal.aborted) throw closed();
    this.#end.signal.addEventListener('abort', abort);
    const cancel = this.#timers.after(this.#timeoutMs, abort);
    let response;
    let text;
    try {
      const request = { method, headers, signal: late.signal, body: body === undefined ? undefined : JSON.stringify(body) };
      response = await this.#fetch(this.#base + path, request);
      text = await response.text();
    } catch (error) {
      throw this.#end.signal.aborted ? closed() : network(error);
    } finally {
      cancel();
      this.#end.signal.removeEventListener('abort', abort);
    }
    return read(response, text);
  }

  close() {
    this.#end.abort();
  }

  #pause(ms) {
    return new Promise((resolve, reject) => {
      const end = () => reject(closed());
      this.#end.signal.addEventListener('abort', end, { once: true });
      this.#timers.after(ms, () => {
        this.#end.signal.removeEventListener('abort', end);
        resolve();
      });
    });
  }
}

function read(response, text) {
  let body;
  try {
    body = text === '' ? undefined : JSON.parse(text);
  } catch (error) {
    // A proxy's page in place of an answer, or half an answer.
    throw response.ok ? network(error) : stranger(response);
  }
  if (response.ok) return body;
  throw body && typeof body.code === 'string' ? new ChatError(body) : stranger(response);
}

/** An error of somebody who stands before the server. */
function stranger({ status }) {
  const retryable = status === 429 || status >= 500;
  return new ChatError({ code: retryable ? 'UNAVAILABLE' : 'INTERNAL_ERROR', message: `HTTP status ${status}`, status, retryable });
}
