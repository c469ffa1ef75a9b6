import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { IresChat } from '../src/index.js';
import { FakeSocket, message, overview, settle } from './support.js';

const open = new Set();
// A test that fails must not leave a client that goes on for ever.
afterEach(() => open.forEach((one) => one.close()));

/** Waits for what comes by itself, a little later. */
async function until(check) {
  const end = Date.now() + 10_000;
  while (!check()) {
    assert.ok(Date.now() < end, `waited in vain for ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await settle();
}

/** A chat on fake sockets; `routes` answers REST by path. */
async function chat(options = {}) {
  const [sockets, told, asked] = [[], [], []];
  const io = (_, of) => {
    sockets.push(new FakeSocket(of));
    return sockets.at(-1);
  };
  const routes = {};
  const fetch = async (url) => {
    const path = url.replace('http://chat/api/v1', '');
    asked.push(path);
    const answer = routes[path] ?? { status: 404, body: { code: 'ROOM_NOT_FOUND', message: 'no', status: 404 } };
    const status = answer.status ?? 200;
    return { ok: status < 400, status, text: async () => JSON.stringify(answer.body ?? answer) };
  };
  const one = new IresChat('http://chat/', { token: 'given', io, fetch, random: () => 0, reconnectMinMs: 1, reconnectMaxMs: 2, ...options });
  open.add(one);
  for (const name of ['ready', 'message', 'changed', 'member', 'joined', 'left', 'reset', 'sent', 'refused', 'stopped']) {
    one.on(name, (what) => told.push([name, what.content ?? what.kind ?? what.reason ?? what.code ?? what.name ?? '']));
  }
  await settle();
  const again = async () => {
    const before = sockets.length;
    sockets.at(-1).breaks();
    await until(() => sockets.length > before);
    return sockets.at(-1);
  };
  const take = () => told.splice(0).map((entry) => entry.join(' ').trim());
  return { chat: one, sockets, routes, asked, again, take, socket: () => sockets.at(-1) };
}

const sync = (socket) => socket.emitted.filter(({ name }) => name === 'chat:sync').at(-1);

function changes(more) {
  const { toSeq = 0 } = more;
  return { roomId: 'den', fromSeq: 0, toSeq, limited: false, messages: [], members: [], room: overview({ lastSeq: toSeq }), ...more };
}

test('what was missed while away is told as if it had been heard, and only what was missed is asked for', async () => {
  const { chat: one, sockets: [first], again, take } = await chat();
  first.ready({ rooms: [overview({ lastSeq: 2 }), overview({ id: 'attic', lastSeq: 5 })] });
  first.says('chat:message', message(3));
  assert.deepEqual(take(), ['ready', 'message number 3']);

  const second = await again();
  second.ready({ rooms: [overview({ lastSeq: 5 }), overview({ id: 'attic', lastSeq: 5 })] });
  second.says('chat:message', message(6));
  await settle();
  assert.deepEqual(sync(second).payload, { rooms: { den: 3 } });
  sync(second).ok({ epoch: 'one', rooms: [changes({ toSeq: 5, messages: [message(4), message(5)] })], gone: [], more: [] });
  await settle();

  assert.deepEqual(take(), ['ready', 'message number 4', 'message number 5', 'message number 6']);
  assert.equal(one.rooms.get('den').lastSeq, 6);
  one.close();
});

test('a hole in what is heard is found and filled', async () => {
  const { chat: one, socket, take } = await chat();
  socket().ready({ rooms: [overview({ lastSeq: 2 })] });
  take();

  socket().says('chat:message', message(5));
  await settle();
  assert.deepEqual(sync(socket()).payload, { rooms: { den: 2 } });
  sync(socket()).ok({ epoch: 'one', rooms: [changes({ toSeq: 4, messages: [message(3), message(4)] })], gone: [], more: [] });
  await settle();

  assert.deepEqual(take(), ['message number 3', 'message number 4', 'message number 5']);
  one.close();
});

test('the gap of a limited answer is paged, what changed meanwhile fetched, and all told in order', async () => {
  const { chat: one, socket, take, routes, asked } = await chat({ syncLimit: 2 });
  socket().ready({ rooms: [overview({ lastSeq: 1 })] });
  take();
  const [two, three, four, five, six] = [2, 3, 4, 5, 6].map((seq) => message(seq));
  routes['/rooms/den/changes?since=1&until=4&limit=2'] = changes({ toSeq: 3, hasMore: true, messages: [two, three] });
  routes['/rooms/den/changes?since=3&until=4&limit=2'] = changes({ toSeq: 4, hasMore: false, messages: [] });
  routes['/rooms/den/changes?since=6&limit=2'] = changes({ toSeq: 7, messages: [{ ...four, rev: 7, content: 'moved' }] });

  socket().says('chat:message', message(7));
  await settle();
  sync(socket()).ok({ epoch: 'one', rooms: [changes({ fromSeq: 1, toSeq: 6, limited: true, gap: { since: 1, until: 4 }, messages: [five, six] })], gone: [], more: [] });
  await until(() => one.rooms.get('den').lastSeq === 7);

  assert.equal(asked.length, 3);
  assert.deepEqual(take(), ['message number 2', 'message number 3', 'message moved', 'message number 5', 'message number 6']);
  assert.equal(one.rooms.get('den').lastSeq, 7);
  one.close();
});

test('too much to bring one by one begins the room anew, and says so', async () => {
  const { chat: one, socket, take } = await chat({ gapLimit: 100 });
  socket().ready({ rooms: [overview({ lastSeq: 1 })] });
  take();
  socket().says('chat:message', message(1_000));
  await settle();

  sync(socket()).ok({ epoch: 'one', rooms: [changes({ fromSeq: 1, toSeq: 1_001, limited: true, gap: { since: 1, until: 999 }, messages: [message(1_000)] })], gone: [], more: [] });
  await settle();

  assert.deepEqual(take(), ['reset gap']);
  assert.deepEqual([one.rooms.get('den').lastSeq, one.rooms.get('den').messages.length], [1_001, 1]);
  assert.deepEqual(sync(socket()).payload, { rooms: { den: 1_001 } }, 'what came meanwhile was let go');
  one.close();
});

test('rooms that are ours no more are gone, and those that we came into are there', async () => {
  const { chat: one, sockets: [first], again, take } = await chat();
  first.ready({ rooms: [overview({ lastSeq: 2 }), overview({ id: 'attic', lastSeq: 5 })] });
  const second = await again();
  take();

  second.ready({ rooms: [overview({ lastSeq: 2 }), overview({ id: 'new', name: 'New', lastSeq: 9 })] });
  await settle();
  assert.deepEqual(sync(second).payload, { rooms: { attic: 5 } });
  sync(second).ok({ epoch: 'one', rooms: [], gone: ['attic'], more: [] });
  await settle();

  assert.deepEqual(take(), ['joined New', 'ready', 'left gone']);
  assert.deepEqual([...one.rooms.keys()], ['den', 'new']);
  one.close();
});

test('coming in and going are told as they happen, also more than once', async () => {
  const { chat: one, socket, take } = await chat();
  socket().ready();
  take();
  const joined = (lastSeq) => ({ roomId: 'den', userId: 'me', self: true, room: overview(), membership: { role: 'member' }, lastSeq, read: { seq: 0, deliveredSeq: 0 }, members: [], messages: [] });

  socket().says('chat:room:joined', joined(3));
  assert.deepEqual([one.rooms.get('den').unread, one.rooms.get('den').membership.role], [0, 'member']);
  socket().says('chat:room:left', { roomId: 'den', userId: 'me', self: true, reason: 'removed', seq: 4 });
  socket().says('chat:room:joined', joined(5));
  // Of before: the answer to a sync was quicker.
  socket().says('chat:room:left', { roomId: 'den', userId: 'me', self: true, reason: 'removed', seq: 4 });

  assert.deepEqual(take(), ['joined Den', 'left removed', 'joined Den']);
  one.close();
});

test('an event of a room beyond those that were listed makes it known', async () => {
  const { chat: one, socket, take } = await chat();
  socket().ready();
  take();

  let [begins, name] = [];
  one.on('joined', (room) => ([begins, name] = [room.lastSeq, room.name]));
  socket().says('chat:message', message(8));
  await settle();
  assert.deepEqual([one.rooms.size, sync(socket()).payload], [0, { rooms: { den: 7 } }]);
  sync(socket()).ok({ epoch: 'one', rooms: [changes({ toSeq: 8, messages: [message(8)] })], gone: [], more: [] });
  await settle();

  assert.deepEqual(take(), ['joined Den', 'message number 8']);
  assert.deepEqual([begins, name, one.rooms.get('den').lastSeq], [7, 'Den', 8], 'what is told later is after what it begins with');
  one.close();
});

test('a room of which an event was heard, and no more, begins as it is listed after a reconnect', async () => {
  const { chat: one, sockets: [first], again, take } = await chat();
  first.ready();
  first.says('chat:message', message(8));
  const second = await again();
  take();

  second.ready({ rooms: [overview({ lastSeq: 10 })] });
  second.says('chat:message', message(11));
  await settle();

  // Whoever keeps a store of their own begins with what `ready` lists: nothing up to there may be told.
  assert.deepEqual(take(), ['joined Den', 'ready', 'message number 11']);
  assert.equal(one.rooms.get('den').lastSeq, 11);
  one.close();
});

test('another history is another beginning', async () => {
  const { chat: one, sockets: [first], again, take } = await chat();
  first.ready({ rooms: [overview({ lastSeq: 20 })] });
  const second = await again();
  take();

  second.ready({ epoch: 'two', rooms: [overview({ lastSeq: 3 })] });
  second.says('chat:message', message(4));

  assert.deepEqual(take(), ['reset epoch', 'ready', 'message number 4']);
  assert.equal(one.cursors().rooms.den, 4);
  one.close();
});

test('a later life goes on where an earlier one stopped', async () => {
  const { chat: one, socket, take } = await chat({ resume: { epoch: 'one', rooms: { den: 3 } } });
  socket().ready({ rooms: [overview({ lastSeq: 4 })] });
  await settle();

  assert.deepEqual(sync(socket()).payload, { rooms: { den: 3 } });
  sync(socket()).ok({ epoch: 'one', rooms: [changes({ toSeq: 4, messages: [message(4)] })], gone: [], more: [] });
  await settle();

  assert.deepEqual(take(), ['ready', 'message number 4']);
  assert.deepEqual(one.cursors(), { epoch: 'one', rooms: { den: 4 } });
  one.close();
});

test('what was said and not stored outlives the client, where it is given a storage', async () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => void kept.set(key, value) };
  const first = await chat({ storage });
  first.socket().ready({ rooms: [overview()] });
  await settle();
  first.chat.send('den', 'unheard');
  await settle();
  const { clientMsgId } = first.socket().emitted[0].payload;
  first.chat.close();

  const second = await chat({ storage });
  second.socket().ready({ rooms: [overview()] });
  await settle();
  const [again] = second.socket().emitted;
  assert.deepEqual([again.payload.clientMsgId, again.payload.content], [clientMsgId, 'unheard']);
  again.ok(message(1, { content: 'unheard' }));
  await settle();

  assert.deepEqual(second.take(), ['ready', 'sent unheard']);
  assert.deepEqual([...kept.values()], ['[]']);
  second.chat.close();
});

test('a storage that fails keeps nobody from speaking', async () => {
  const failing = () => {
    throw new Error('full');
  };
  const { chat: one, socket } = await chat({ storage: { getItem: failing, setItem: failing } });
  socket().ready({ rooms: [overview()] });
  await settle();

  one.send('den', 'all the same');
  await settle();

  assert.equal(socket().emitted[0].payload.content, 'all the same');
  one.close();
});

test('a request waits for the connection, is repeated while that may help, and is refused for good', async () => {
  const { chat: one, socket, again } = await chat();
  const pinned = one.pin('id');
  socket().ready();
  await settle();
  assert.deepEqual(socket().emitted[0].payload, { messageId: 'id' });

  const next = await again();
  next.ready();
  await settle();
  next.emitted[0].fail({ code: 'UNAVAILABLE', message: 'away', status: 503, retryable: true, retryAfterMs: 1 });
  await until(() => next.emitted.length === 2);
  next.emitted[1].fail({ code: 'FORBIDDEN', message: 'no', status: 403, retryable: false, traceId: 't' });

  await assert.rejects(pinned, { code: 'FORBIDDEN', traceId: 't' });
  one.close();
});

test('somebody else’s token ends the client, and with it what was to be said', async () => {
  const { chat: one, sockets: [first], again, take } = await chat();
  first.ready({ rooms: [overview()] });
  const second = await again();
  const said = one.send('den', 'as myself');

  second.ready({ user: { id: 'other' }, rooms: [overview()] });

  await assert.rejects(said, { code: 'AUTH_IDENTITY_MISMATCH' });
  assert.equal(take().at(-1), 'stopped AUTH_IDENTITY_MISMATCH');
  one.close();
});

test('after close everything is refused, and nothing is told', async () => {
  const { chat: one, socket, take } = await chat();
  socket().ready({ rooms: [overview()] });
  const waiting = [one.send('den', 'x'), one.pin('id')];
  waiting.forEach((promise) => promise.catch(() => {}));
  take();

  one.close();

  for (const promise of [...waiting, one.send('den', 'y'), one.edit('id', 'z')]) await assert.rejects(promise, { code: 'CLOSED' });
  assert.deepEqual(take(), []);
  one.close();
});

test('everything that the types promise is there', () => {
  const types = readFileSync(new URL('../index.d.ts', import.meta.url), 'utf8').split('declare class IresChat {')[1];
  const one = new IresChat('http://chat', { token: 'given', autoConnect: false });
  const names = [...types.matchAll(/^ {2}(?:readonly )?(\w+)[<(:]/gm)].map(([, name]) => name).filter((name) => name !== 'constructor');
  assert.ok(names.length > 40, `${names}`);
  assert.deepEqual(names.filter((name) => !(name in one)), []);
  one.close();
});
