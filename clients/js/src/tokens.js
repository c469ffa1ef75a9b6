// Where access tokens come from: one that is given, a function that is asked, or an account that is logged in to.
//
// `current()` gives a token that is believed good, `renew()` another one; many who ask at once share one renewal.

import { ChatError, asChatError } from './errors.js';
import { backoff } from './timers.js';

/** A token that ends within this time is not begun with. */
const MARGIN_MS = 5_000;
/** So many tokens in a row that the server refuses are enough. */
const REFUSALS = 5;

class Tokens {
  #token;
  #goodUntil = Infinity;
  #renewal;
  #refusals = 0;

  /** Whether there may be another token. */
  canRenew = true;

  async current() {
    return this.#token !== undefined && Date.now() < this.#goodUntil - MARGIN_MS ? this.#token : this.renew();
  }

  renew() {
    this.#renewal ??= this.obtain()
      .then((token) => this.keep(token))
      .finally(() => {
        this.#renewal = undefined;
      });
    return this.#renewal;
  }

  keep(token) {
    this.#token = token;
    this.#goodUntil = lifeOf(token) + Date.now();
    return token;
  }

  /** The server says how long the token lasts, by its own clock. */
  lasts(ms) {
    this.#refusals = 0;
    this.#goodUntil = Date.now() + ms;
  }

  /** Another password came with these tokens: whoever has no password has no use for them. */
  adopt() {}

  /** The server would not have this token. */
  refuse(token, error) {
    if (token !== this.#token) return;
    this.#refusals += 1;
    this.#token = undefined;
    if (!this.canRenew || this.#refusals >= REFUSALS) this.obtain = () => Promise.reject(fatal(error));
  }
}

/** The same error, as one that ends everything. */
function fatal(error) {
  const end = new ChatError({ ...error, message: error.message });
  Object.defineProperty(end, 'isFatal', { value: true });
  return end;
}

class Given extends Tokens {
  constructor(token) {
    super();
    this.canRenew = false;
    this.keep(token);
  }

  obtain() {
    return Promise.reject(fatal(new ChatError({ code: 'AUTH_TOKEN_EXPIRED', message: 'The token has expired.', status: 401 })));
  }
}

class Asked extends Tokens {
  #ask;

  constructor(ask) {
    super();
    this.#ask = ask;
  }

  async obtain() {
    const token = await this.#ask();
    if (typeof token !== 'string' || token === '') {
      throw fatal(new ChatError({ code: 'AUTH_TOKEN_MISSING', message: 'getToken gave no token.', status: 401 }));
    }
    return token;
  }
}

class Account extends Tokens {
  #rest;
  #timers;
  #wait;
  #credentials;
  #refreshToken;
  #tell;
  /** An answer to a refresh was lost, so the server may take the next one with the same token for a theft. */
  #hasLostAnswer = false;

  constructor({ login, session, rest, timers, wait, tell }) {
    super();
    this.#credentials = login;
    this.#refreshToken = session?.refreshToken;
    if (session?.accessToken) this.keep(session.accessToken);
    this.#rest = rest;
    this.#timers = timers;
    this.#wait = wait;
    this.#tell = tell;
  }

  async obtain() {
    for (let tries = 0; ; tries += 1) {
      try {
        return this.#take(await this.#ask());
      } catch (thrown) {
        const error = asChatError(thrown);
        if (this.#canLogInInstead(error)) continue;
        if (!error.retryable) throw fatal(error);
        if (this.#refreshToken) this.#hasLostAnswer = true;
        // Soon: the answer to a refresh can be asked for again for 15 s.
        if (tries >= 4) throw error;
        await this.#timers.sleep(Math.max(error.retryAfterMs ?? 0, backoff(tries, this.#wait)));
      }
    }
  }

  #ask() {
    if (this.#refreshToken) return this.#rest.once('POST', '/auth/refresh', { refreshToken: this.#refreshToken });
    return this.#rest.once('POST', '/auth/login', this.#credentials);
  }

  adopt(loggedIn, password) {
    if (this.#credentials) this.#credentials = { ...this.#credentials, password };
    this.keep(this.#take(loggedIn));
  }

  /** A session that ended because of an answer that was lost was ended by nobody. */
  #canLogInInstead(error) {
    if (error.retryable || !this.#refreshToken || !this.#credentials) return false;
    if (error.code === 'AUTH_REVOKED' && !this.#hasLostAnswer) return false;
    this.#refreshToken = undefined;
    return true;
  }

  #take(loggedIn) {
    this.#refreshToken = loggedIn.refreshToken;
    this.#hasLostAnswer = false;
    this.#tell(loggedIn);
    return loggedIn.accessToken;
  }
}

/** How long a token lasts from now on, as far as it says: by its own two times, so that a wrong clock here does not matter. */
export function lifeOf(token) {
  try {
    const claims = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
    const life = claims.exp * 1_000 - (claims.iat === undefined ? Date.now() : claims.iat * 1_000);
    return life > 0 ? life : Infinity;
  } catch {
    return Infinity;
  }
}

export function tokensFrom({ token, getToken, login, session }, parts) {
  if (getToken) return new Asked(getToken);
  if (login || session) return new Account({ login, session, ...parts });
  if (token) return new Given(token);
  throw new TypeError('One of token, getToken, login and session is needed.');
}
