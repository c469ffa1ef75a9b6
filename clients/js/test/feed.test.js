import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Feed } from '../src/feed.js';

test('what is next passes, what was there before does not', () => {
  const feed = new Feed(4);

  const passed = [5, 5, 4, 6, 1, 7].map((seq) => feed.hear(seq, `${seq}`));

  assert.deepEqual(passed, [true, false, false, true, false, true]);
  assert.deepEqual([feed.cursor, feed.isStale], [7, false]);
});

test('after a gap everything waits, and is handed on behind what the sync brought', () => {
  const feed = new Feed(4);
  assert.deepEqual([6, 7, 8].map((seq) => feed.hear(seq, `${seq}`)), [false, false, false]);
  assert.equal(feed.isStale, true);

  assert.deepEqual(feed.caughtUp(6), ['7', '8'], 'the sixth was in the answer');

  assert.deepEqual([feed.cursor, feed.isStale], [8, false]);
});

test('another gap behind the answer is found', () => {
  const feed = new Feed(0);
  [2, 5].forEach((seq) => feed.hear(seq, `${seq}`));

  assert.deepEqual(feed.caughtUp(3), []);

  assert.equal(feed.isStale, true);
  assert.deepEqual(feed.caughtUp(4), ['5']);
});

test('what waits has a limit, beyond which another sync is due', () => {
  const feed = new Feed(0);
  feed.isStale = true;
  for (let seq = 1; seq <= 2_001; seq += 1) feed.hear(seq, seq);

  assert.deepEqual(feed.caughtUp(1_500), []);

  assert.equal(feed.isStale, true, 'some were forgotten');
  assert.deepEqual(feed.caughtUp(2_000), [2_001]);
  assert.equal(feed.isStale, false);
});
