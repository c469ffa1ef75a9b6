import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../src/outbox.js';
import { disconnected } from '../src/errors.js';
import { FakeTimers, refusal, settle } from './support.js';

/** An outbox whose server answers as the test says. */
function outbox(more = {}) {
  const [sent, told, timers] = [[], [], new FakeTimers()];
  const send = (payload) => new Promise((resolve, reject) => sent.push({ payload, resolve: () => resolve({ id: payload.clientMsgId }), reject }));
  const box = new Outbox({ send, timers, wait: { base: 100, max: 1_000 }, random: () => 0, tell: (...what) => what[0] !== 'outbox' && told.push(what), ...more });
  const say = (clientMsgId, roomId = 'den') => {
    const promise = box.add({ clientMsgId, roomId, content: clientMsgId });
    promise.catch(() => {});
    return promise;
  };
  return { box, sent, told, timers, say, ids: () => sent.map(({ payload }) => payload.clientMsgId) };
}

test('one message of a room is under way at a time, and rooms do not wait for one another', async () => {
  const { box, sent, say, ids } = outbox();
  ['1', '2'].forEach((id) => say(id));
  say('3', 'attic');
  assert.deepEqual(ids(), [], 'nothing is sent without a connection');

  box.open();
  await settle();
  assert.deepEqual(ids(), ['1', '3']);
  sent[0].resolve();
  await settle();

  assert.deepEqual(ids(), ['1', '3', '2']);
});

test('a message that is refused for a moment is sent again before those after it, when the server said', async () => {
  const { box, sent, timers, say, ids } = outbox();
  const first = say('1');
  say('2');
  box.open();
  await settle();

  sent[0].reject(refusal('RATE_LIMITED', { retryable: true, retryAfterMs: 2_000 }));
  await settle();
  assert.deepEqual(timers.set, [2_050], 'the time that the server named, and a little');
  await timers.next();

  assert.deepEqual(ids(), ['1', '1']);
  sent[1].resolve();
  assert.deepEqual(await first, { id: '1' });
  await settle();
  assert.deepEqual(ids(), ['1', '1', '2']);
});

test('a final refusal is told, and the next message goes on', async () => {
  const { box, sent, told, say, ids } = outbox();
  const first = say('1');
  say('2');
  box.open();
  await settle();

  sent[0].reject(refusal('MUTED', { status: 403 }));

  await assert.rejects(first, { code: 'MUTED', status: 403, retryable: false });
  await settle();
  assert.deepEqual(ids(), ['1', '2']);
  assert.equal(told[0][0], 'refused');
});

test('what was under way when the connection broke is sent again, first', async () => {
  const { box, sent, say, ids } = outbox();
  ['1', '2'].forEach((id) => say(id));
  box.open();
  await settle();

  box.shut();
  sent[0].reject(disconnected());
  await settle();
  say('3');
  assert.deepEqual(ids(), ['1']);
  box.open();
  await settle();
  sent[1].resolve();
  await settle();

  assert.deepEqual(ids(), ['1', '1', '2']);
  assert.deepEqual(box.entries('den').map(({ clientMsgId }) => clientMsgId), ['2', '3']);
});

test('a socket that is not let in yet refuses nothing for good', async () => {
  for (const code of ['AUTH_REQUIRED', 'AUTH_TOKEN_EXPIRED', 'UNAVAILABLE', 'SERVER_DRAINING']) {
    const { box, sent, timers, say, ids } = outbox();
    say('1');
    box.open();
    await settle();
    sent[0].reject(refusal(code, { retryable: code === 'UNAVAILABLE' || code === 'SERVER_DRAINING' }));
    await settle();
    await timers.next();
    assert.deepEqual(ids(), ['1', '1'], code);
  }
});

test('it is kept before it is sent, and what was kept is sent before all else', async () => {
  let [kept, release] = [[], () => {}];
  const save = () => new Promise((resolve) => ((kept = box.entries()), (release = resolve)));
  const { box, ids, say } = outbox({ save });
  say('new');
  box.restore([{ clientMsgId: 'old 1', roomId: 'den' }, { clientMsgId: 'old 2', roomId: 'den' }]);
  box.open();
  await settle();
  assert.deepEqual(ids(), []);
  assert.deepEqual(kept.map(({ clientMsgId }) => clientMsgId), ['old 1', 'old 2', 'new']);

  release();
  await settle();

  assert.deepEqual(ids(), ['old 1']);
});

test('what was taken back is not sent, and is rejected', async () => {
  const { box, sent, say, ids } = outbox();
  say('1');
  const second = say('2');
  box.open();
  await settle();

  assert.equal(box.cancel('2'), true);

  await assert.rejects(second, { code: 'CANCELLED' });
  sent[0].resolve();
  await settle();
  assert.deepEqual(ids(), ['1']);
  assert.equal(box.cancel('2'), false);
});

test('a room that was named by its slug is the same room', async () => {
  let isKnown = false;
  const { box, say, ids } = outbox({ resolve: (room) => (isKnown && room === 'general' ? 'den' : room) });
  say('1', 'general');
  isKnown = true;
  say('2', 'den');

  box.open();
  await settle();

  assert.deepEqual(ids(), ['1'], 'the second waits for the first');
});

test('whoever waits when it ends is told why', async () => {
  const { box, say } = outbox();
  const first = say('1');

  box.end(refusal('AUTH_REVOKED'));

  await assert.rejects(first, { code: 'AUTH_REVOKED' });
});
