import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../src/connection.js';
import { tokensFrom } from '../src/tokens.js';
import { FakeSocket, FakeTimers, settle } from './support.js';

/** A connection on fake sockets; `tokens` are given out one after the other. */
async function connection(given = ['one', 'two', 'three'], credentials) {
  const [sockets, timers, told] = [[], new FakeTimers(), []];
  const io = (_, options) => {
    sockets.push(new FakeSocket(options));
    return sockets.at(-1);
  };
  const tokens = tokensFrom(credentials ?? { getToken: async () => given.shift() }, {});
  const parts = { url: 'http://chat', tokens, timers, random: () => 0, wait: { base: 1_000, max: 8_000 }, ackTimeoutMs: 5_000, readyTimeoutMs: 20_000 };
  const link = new Connection({ io, ...parts });
  for (const name of ['ready', 'down', 'state', 'stopped', 'error']) link.on(name, (what) => told.push([name, what?.code ?? what]));
  link.open();
  await settle();
  const names = () => told.map(([name, what]) => (name === 'ready' ? name : `${name} ${what ?? ''}`.trim()));
  return { link, sockets, timers, told, names };
}

function body(code, more = {}) {
  return { code, message: code, status: 401, retryable: false, ...more };
}

test('a token is at hand before the first try, and answers come to their questions', async () => {
  const { link, sockets: [socket] } = await connection();
  assert.deepEqual([socket.auth, socket.options.reconnection, socket.isDialled], [{ token: 'one' }, false, true]);
  socket.ready();

  const answers = [link.request('a', 1), link.request('b', 2)];
  socket.emitted[1].ok('second');
  socket.emitted[0].fail(body('MUTED', { fields: { content: [] }, traceId: 't' }));

  assert.equal(await answers[1], 'second');
  await assert.rejects(answers[0], { name: 'ChatError', code: 'MUTED', traceId: 't', fields: { content: [] } });
});

test('nothing is emitted on a socket that is not ready', async () => {
  const { link, sockets: [socket] } = await connection();

  await assert.rejects(link.request('chat:message', {}), { code: 'DISCONNECTED', retryable: true });

  assert.deepEqual(socket.emitted, []);
});

test('it comes back after a pause that doubles, whoever ended the connection', async () => {
  const { sockets, timers, names } = await connection();
  for (const [nth, reason] of [[0, 'transport close'], [1, 'io server disconnect'], [2, 'ping timeout']]) {
    sockets[nth].ready();
    sockets[nth].breaks(reason);
    assert.deepEqual(timers.set, [500 * 2 ** nth], reason);
    await timers.next();
  }

  assert.equal(sockets.length, 4);
  assert.deepEqual(names().slice(0, 8), ['state connecting', 'state ready', 'ready', 'state waiting', 'down', 'error DISCONNECTED', 'state connecting', 'state ready']);
});

test('what waits for an answer when the connection breaks may be tried again', async () => {
  const { link, sockets: [socket] } = await connection();
  socket.ready();
  const answer = link.request('chat:message', {});

  socket.breaks();

  await assert.rejects(answer, { code: 'DISCONNECTED', retryable: true });
  socket.emitted[0].ok('too late');
  socket.says('chat:message', {});
});

test('a connection without answers is taken for dead', async () => {
  const { link, sockets, timers, names } = await connection();
  sockets[0].ready();
  const [one, other] = [link.request('a'), link.request('b')];
  [one, other].forEach((answer) => answer.catch(() => {}));

  await timers.next();

  await assert.rejects(one, { code: 'TIMEOUT', retryable: true });
  await assert.rejects(other, { code: 'DISCONNECTED', retryable: true });
  assert.equal(names().at(-1), 'error TIMEOUT');
  await timers.next();
  assert.equal(sockets.length, 2);
});

test('a connection that does not become ready is given up', async () => {
  const { sockets, timers } = await connection();
  assert.deepEqual(timers.set, [20_000]);

  await timers.next();
  await timers.next();

  assert.equal(sockets.length, 2);
});

test('a token that the server would not have is exchanged for another one', async () => {
  for (const code of ['AUTH_TOKEN_EXPIRED', 'AUTH_TOKEN_INVALID']) {
    const { sockets, timers } = await connection();
    sockets[0].connected = true;
    sockets[0].says('system:error', body(code));
    sockets[0].breaks('io server disconnect');
    await timers.next();
    assert.deepEqual(sockets[1].auth, { token: 'two' }, code);
  }
});

test('so it is where the server refuses in the handshake', async () => {
  const { sockets, timers } = await connection();

  sockets[0].refuses('AUTH_TOKEN_EXPIRED: The token has expired.');
  await timers.next();

  assert.deepEqual(sockets[1].auth, { token: 'two' });
});

test('five tokens that are refused in a row are enough', async () => {
  const { sockets, timers, names } = await connection(['1', '2', '3', '4', '5', '6']);
  for (let nth = 0; nth < 5; nth += 1) {
    sockets[nth].refuses('AUTH_TOKEN_INVALID: no');
    await timers.next();
  }

  assert.equal(sockets.length, 5);
  assert.equal(names().at(-1), 'stopped AUTH_TOKEN_INVALID');
});

test('a revoked session is the end, and so is a given token that ends', async () => {
  const revoked = await connection();
  revoked.sockets[0].ready();
  revoked.sockets[0].says('system:error', body('AUTH_REVOKED'));
  assert.equal(revoked.names().at(-1), 'stopped AUTH_REVOKED');
  assert.deepEqual(revoked.timers.set, []);

  const ended = await connection([], { token: 'given' });
  ended.sockets[0].says('system:error', body('AUTH_TOKEN_EXPIRED'));
  ended.sockets[0].breaks('io server disconnect');
  await ended.timers.next();
  assert.equal(ended.names().at(-1), 'stopped AUTH_TOKEN_EXPIRED');
  assert.equal(ended.sockets.length, 1);
});

test('an error that answers an event ends nothing', async () => {
  const { link, sockets: [socket] } = await connection();
  socket.ready();

  socket.says('system:error', body('AUTH_REVOKED', { event: 'auth:login' }));

  assert.equal(link.state, 'ready');
});

test('a token is renewed before it ends, and when the server says that it will, on the same connection', async () => {
  const { sockets: [socket], timers } = await connection();
  socket.ready();
  const [ahead] = timers.set;
  assert.ok(Math.abs(ahead - 3_540_000) < 1_000, `${ahead}`);

  await timers.next();
  const [login] = socket.emitted;
  assert.deepEqual([login.name, login.payload], ['auth:login', { token: 'two' }]);
  login.ok({ tokenExpiresAt: new Date(Date.now() + 7_200_000).toISOString() });
  await settle();
  assert.equal(timers.set.length, 1);
  assert.ok(Math.abs(timers.set[0] - 7_140_000) < 1_000, `${timers.set}`);

  socket.says('system:notification', { type: 'auth.expiring', data: { inMs: 60_000 } });
  await settle();
  assert.deepEqual(socket.emitted[1].payload, { token: 'three' });
});

test('a server that closes down says when to come back', async () => {
  const { sockets: [socket], timers } = await connection();
  socket.ready();

  socket.says('system:notification', { type: 'server.draining', data: { reconnectInMs: 4_321 } });
  socket.breaks('transport close');

  assert.deepEqual(timers.set, [4_321]);
});

test('a getToken that fails is asked again, one that gives nothing is not', async () => {
  let tries = 0;
  const failing = async () => {
    tries += 1;
    if (tries < 3) throw new Error('no network');
    return 'at last';
  };
  const { sockets, timers } = await connection([], { getToken: failing });
  await timers.next();
  await timers.next();
  assert.deepEqual(sockets[0].auth, { token: 'at last' });

  const { names } = await connection([], { getToken: () => null });
  assert.equal(names().at(-1), 'stopped AUTH_TOKEN_MISSING');
});

test('closing leaves no timer and says nothing more', async () => {
  const { link, sockets: [socket], timers, names } = await connection();
  socket.ready();
  const answer = link.request('a');
  answer.catch(() => {});
  const before = names().length;

  link.close();

  assert.deepEqual(timers.set, []);
  assert.equal(socket.connected, false);
  await assert.rejects(answer, { code: 'DISCONNECTED' });
  assert.deepEqual(names().slice(before), ['state closed', 'down']);
});
