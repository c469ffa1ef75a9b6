// Tokens against the real server: renewed on the connection, refreshed for an own account, refused, and revoked.
//
// Usage: node tokens.js URL SECRET, of a server whose own access tokens last 6 s, with a grace of 2 s after that.

import assert from 'node:assert/strict';
import { IresChat } from 'ires-chat-client';
import { mint } from './world.js';

const [url, secret] = process.argv.slice(2);
const LIMIT = 30_000;

/** The next time that something is told. */
function told(chat, name, fits = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${name}`)), LIMIT);
    const off = chat.on(name, (...what) => {
      if (!fits(...what)) return;
      off();
      clearTimeout(timer);
      resolve(what[0]);
    });
  });
}

async function post(path, body, token) {
  const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) };
  return (await fetch(`${url}/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}

const scenes = {
  async 'an account outlives its access tokens on one connection, and its refresh tokens change'() {
    const chat = new IresChat(url, { login });
    const states = [];
    chat.on('state', (state) => states.push(state));
    const sessions = [await told(chat, 'session'), await told(chat, 'session'), await told(chat, 'session')];
    await chat.send('general', 'still here');
    assert.equal(new Set(sessions.map(({ refreshToken }) => refreshToken)).size, 3);
    assert.deepEqual(states, ['connecting', 'ready'].slice(states[0] === 'connecting' ? 0 : 1));
    return chat;
  },

  async 'a refresh whose answer is lost is asked for again, and gives what it gave'() {
    let lost;
    const losing = async (...request) => {
      const response = await fetch(...request);
      if (lost || !request[0].endsWith('/auth/refresh')) return response;
      lost = await response.json();
      throw new TypeError('the answer is lost');
    };
    const chat = new IresChat(url, { login, fetch: losing });
    await told(chat, 'session');
    const again = await told(chat, 'session');
    assert.equal(again.refreshToken, lost.refreshToken);
    assert.equal(again.sessionId, lost.sessionId);
    return chat;
  },

  async 'a session goes on in a later life'() {
    const { refreshToken, sessionId } = await post('/auth/login', login);
    const chat = new IresChat(url, { session: { refreshToken } });
    assert.equal((await told(chat, 'session')).sessionId, sessionId);
    await told(chat, 'ready');
    return chat;
  },

  async 'a session that is revoked elsewhere stops the client, and rejects what waits'() {
    const chat = new IresChat(url, { login });
    const { accessToken } = await told(chat, 'session');
    await told(chat, 'ready');
    const stopped = told(chat, 'stopped');
    await fetch(`${url}/api/v1/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${accessToken}` } });
    assert.equal((await stopped).code, 'AUTH_REVOKED');
    assert.equal(chat.state, 'stopped');
    await assert.rejects(chat.send('general', 'too late'), { code: 'AUTH_REVOKED' });
    return chat;
  },

  async 'another password ends the sessions elsewhere, and this one goes on past its next refreshes'() {
    const account = { username: `dora-${process.pid}`, password: 'correct horse' };
    await post('/auth/register', account);
    const [chat, other] = [new IresChat(url, { login: account }), new IresChat(url, { login: account })];
    await Promise.all([told(chat, 'ready'), told(other, 'ready')]);
    const stopped = told(other, 'stopped');
    await assert.rejects(chat.changePassword('wrong horse', 'battery staple'), { code: 'INVALID_CREDENTIALS' });
    await chat.changePassword(account.password, 'battery staple');
    assert.equal((await stopped).code, 'AUTH_REVOKED');
    other.close();
    await told(chat, 'session');
    await told(chat, 'session');
    await chat.send('general', 'still here');
    return chat;
  },

  async 'logging out closes'() {
    const chat = new IresChat(url, { login });
    await chat.logout();
    assert.equal(chat.state, 'closed');
    return chat;
  },

  async 'a wrong password stops the client'() {
    const chat = new IresChat(url, { login: { ...login, password: 'wrong password' } });
    assert.equal((await told(chat, 'stopped')).code, 'INVALID_CREDENTIALS');
    return chat;
  },

  async 'a token that has ended is exchanged for another one, for sockets and for REST'() {
    const tokens = [mint(secret, 'eve', -3_600), mint(secret, 'eve')];
    const chat = new IresChat(url, { getToken: async () => tokens.shift() });
    await told(chat, 'ready');
    assert.deepEqual(tokens, []);
    assert.ok((await chat.history('general')).messages);

    const forged = [mint('another secret that is long enough to be one', 'eve'), mint(secret, 'eve')];
    const rest = new IresChat(url, { getToken: () => forged.shift(), autoConnect: false });
    assert.equal((await rest.rest('GET', '/users/me')).id, 'eve');
    rest.close();
    return chat;
  },

  async 'a given token that has ended stops the client'() {
    const chat = new IresChat(url, { token: mint(secret, 'eve', -3_600) });
    assert.equal((await told(chat, 'stopped')).code, 'AUTH_TOKEN_EXPIRED');
    return chat;
  },
};

const login = { username: `carol-${process.pid}`, password: 'correct horse' };
await post('/auth/register', login);
await Promise.all(Object.entries(scenes).map(async ([name, scene]) => {
  const chat = await scene();
  chat.close();
  console.log(`ok ${name}`);
}));
console.log('tokens done');
