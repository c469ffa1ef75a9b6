import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rest } from '../src/rest.js';
import { tokensFrom } from '../src/tokens.js';
import { FakeTimers, settle } from './support.js';

const json = (status, body) => ({ ok: status < 400, status, text: async () => JSON.stringify(body) });

/** What is asked is answered by `answers`, one after the other; a function throws, as where there is no network. */
function rest(answers, credentials = { getToken: () => 'one' }) {
  const [asked, timers] = [[], new FakeTimers()];
  const fetch = async (url, { method, headers, body }) => {
    asked.push([method, url, headers.authorization, body]);
    const answer = answers.shift();
    return typeof answer === 'function' ? answer() : answer;
  };
  const one = new Rest({ url: 'http://chat', fetch, timers, wait: { base: 100, max: 1_000 }, random: () => 0, timeoutMs: 5_000, patienceMs: 60_000 });
  one.tokens = tokensFrom(credentials, { rest: one, timers, wait: { base: 100, max: 1_000 }, tell: (told) => asked.push(['told', told.refreshToken]) });
  return { rest: one, asked, timers };
}

const down = () => {
  throw new TypeError('fetch failed');
};

test('what passes is tried again, when the server said; what stays is an error with all that the server said', async () => {
  const { rest: one, timers, asked } = rest([
    json(503, { code: 'UNAVAILABLE', message: 'away', status: 503, retryable: true, retryAfterMs: 1_000 }),
    down,
    json(404, { code: 'ROOM_NOT_FOUND', message: 'no', status: 404, retryable: false, traceId: 't' }),
  ]);

  const answer = one.call('GET', '/rooms/x');
  answer.catch(() => {});
  await settle();
  assert.deepEqual(timers.set, [1_050]);
  await timers.next();
  assert.deepEqual(timers.set, [100]);
  await timers.next();

  await assert.rejects(answer, { name: 'ChatError', code: 'ROOM_NOT_FOUND', status: 404, traceId: 't' });
  assert.equal(asked.length, 3);
  assert.deepEqual(timers.set, []);
});

test('a proxy’s page is an error, too', async () => {
  const page = (status) => ({ ok: status < 400, status, text: async () => '<html>' });
  await assert.rejects(rest([page(404)]).rest.call('GET', '/x'), { code: 'INTERNAL_ERROR', status: 404, retryable: false });
  await assert.rejects(rest([page(502)]).rest.once('GET', '/x'), { code: 'UNAVAILABLE', status: 502, retryable: true });
});

test('a token that has ended is renewed once for all who ask', async () => {
  const tokens = ['old', 'new'];
  const expired = { code: 'AUTH_TOKEN_EXPIRED', message: 'old', status: 401, retryable: false };
  const { rest: one, asked } = rest([json(401, expired), json(401, expired), json(200, 1), json(200, 2)], { getToken: async () => tokens.shift() });

  assert.deepEqual(await Promise.all([one.call('GET', '/a'), one.call('GET', '/b')]), [1, 2]);

  assert.deepEqual(asked.map(([, url, token]) => `${url.at(-1)} ${token}`), ['a Bearer old', 'b Bearer old', 'a Bearer new', 'b Bearer new']);
});

test('an account is logged in to once, and refreshed once, for all who ask', async () => {
  const session = (number) => json(200, { accessToken: `access ${number}`, refreshToken: `refresh ${number}` });
  const expired = json(401, { code: 'AUTH_TOKEN_EXPIRED', message: 'old', status: 401, retryable: false });
  const { rest: one, asked } = rest([session(1), json(200, 1), expired, session(2), json(200, 2)], { login: { username: 'carol', password: 'secret' } });

  await one.call('GET', '/a');
  await one.call('GET', '/b');

  const words = asked.map(([method, url, token, body]) => (method === 'told' ? `told ${url}` : `${url.split('/v1')[1]} ${token ?? body}`));
  assert.deepEqual(words, [
    '/auth/login {"username":"carol","password":"secret"}', 'told refresh 1', '/a Bearer access 1',
    '/b Bearer access 1', '/auth/refresh {"refreshToken":"refresh 1"}', 'told refresh 2', '/b Bearer access 2',
  ]);
});

test('a session that ended because an answer was lost is begun anew with the password, one that was revoked is not', async () => {
  const revoked = json(401, { code: 'AUTH_REVOKED', message: 'over', status: 401, retryable: false });
  const session = json(200, { accessToken: 'access', refreshToken: 'refresh 2' });
  const login = { username: 'carol', password: 'secret' };

  const lost = rest([down, revoked, session, json(200, 'in')], { login, session: { refreshToken: 'refresh 1' } });
  const answer = lost.rest.call('GET', '/a');
  await settle();
  await lost.timers.next();
  assert.equal(await answer, 'in');

  await assert.rejects(rest([revoked], { login, session: { refreshToken: 'refresh 1' } }).rest.call('GET', '/a'), { code: 'AUTH_REVOKED' });
});

test('closing ends what is under way and what waits', async () => {
  const hanging = rest([() => new Promise(() => {})]);
  hanging.rest.close();
  await assert.rejects(hanging.rest.call('GET', '/a'), { code: 'CLOSED' });

  const waiting = rest([down]);
  const answer = waiting.rest.call('GET', '/a');
  answer.catch(() => {});
  await settle();
  waiting.rest.close();
  await assert.rejects(answer, { code: 'CLOSED' });
});
