import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoomView } from '../src/view.js';
import { message, overview } from './support.js';

function den({ most = 200, more = {} } = {}) {
  const room = new RoomView(() => 'me', 'den', 0, most);
  room.overview(overview(more));
  return room;
}

/** Hands over the next event, as the feed would. */
function hear(room, name, data) {
  const told = { roomId: 'den', seq: room.lastSeq + 1, ...data };
  assert.equal(room.feed.hear(told.seq, told), true);
  return room.apply(name, told);
}

function say(room, more) {
  const said = message(room.lastSeq + 1, more);
  hear(room, 'chat:message', said);
  return said;
}

const page = (messages, hasOlder = false) => ({ messages, page: { oldestSeq: messages[0]?.seq ?? null, newestSeq: messages.at(-1)?.seq ?? null, hasOlder, hasNewer: false } });

test('every change of a message makes another object of it, with the number of the change', () => {
  const room = den();
  const { id } = say(room);
  const before = room.messages[0];

  hear(room, 'chat:message:edited', { messageId: id, messageSeq: 1, content: 'better', mentions: ['me'], editedAt: 'now', editCount: 1 });
  hear(room, 'chat:reaction:added', { messageId: id, messageSeq: 1, emoji: '👍', userId: 'me', counts: { '👍': 1 } });
  hear(room, 'chat:message:pinned', { messageId: id, messageSeq: 1, by: 'ann' });

  const [now] = room.messages;
  assert.notEqual(now, before);
  assert.deepEqual([before.content, before.rev], ['number 1', 1]);
  assert.deepEqual([now.content, now.rev, now.reactions, now.ownReactions, now.pinnedBy], ['better', 4, { '👍': 1 }, ['👍'], 'ann']);
  assert.equal(room.lastMessage, now);
  hear(room, 'chat:reaction:removed', { messageId: id, messageSeq: 1, emoji: '👍', userId: 'me', counts: {} });
  hear(room, 'chat:message:unpinned', { messageId: id, messageSeq: 1, by: 'ann' });
  assert.deepEqual([room.messages[0].ownReactions, room.messages[0].pinnedAt], [[], undefined]);
});

test('a deleted message leaves a stub, and its thread one reply less', () => {
  const room = den();
  const root = say(room);
  const [first, second] = [say(room, { threadRootId: root.id, senderId: 'bob' }), say(room, { threadRootId: root.id, senderId: 'me', createdAt: 'later' })];
  assert.deepEqual(room.messages[0].thread, { replyCount: 2, lastReplyAt: 'later', participants: ['bob', 'me'] });

  const told = hear(room, 'chat:message:deleted', { messageIds: [second.id], messageSeqs: [second.seq], deletedBy: 'author', reason: 'oops' });

  assert.deepEqual(told.map(([name, { kind }]) => [name, kind]), [['changed', 'deleted'], ['changed', 'thread']]);
  const [, , stub] = room.messages;
  assert.deepEqual([stub.content, stub.deletedBy, stub.deleteReason, stub.rev], ['', 'author', 'oops', 4]);
  assert.ok(stub.deletedAt);
  assert.deepEqual(room.messages[0].thread, { replyCount: 1, lastReplyAt: first.createdAt, participants: ['bob', 'me'] });
});

test('unread are what others said after the marker and did not take back', () => {
  const room = den();
  const [, mine, third] = [say(room, { mentions: ['me'] }), say(room, { senderId: 'me' }), say(room, { mentions: ['me', 'bob'] })];
  assert.deepEqual([room.unread, room.mentions], [2, 2]);

  hear(room, 'chat:message:deleted', { messageIds: [mine.id], messageSeqs: [2], deletedBy: 'author' });
  assert.deepEqual([room.unread, room.mentions], [2, 2]);
  hear(room, 'chat:message:edited', { messageId: third.id, messageSeq: 3, content: 'x', mentions: [], editedAt: 'now', editCount: 1 });
  assert.deepEqual([room.unread, room.mentions], [2, 1]);
  hear(room, 'chat:message:deleted', { messageIds: [third.id], messageSeqs: [3], deletedBy: 'author' });

  assert.deepEqual([room.unread, room.mentions], [1, 1]);
});

test('a marker counts what is here, for the server may have counted what has not come yet', () => {
  const room = den();
  const first = page([message(1)]);
  room.loaded(room.loading(), page([]));
  room.feed.cursor = 0;
  hear(room, 'chat:message', first.messages[0]);
  say(room);
  say(room);

  assert.equal(room.marked({ roomId: 'den', readSeq: 1, deliveredSeq: 1, unread: 7, mentions: 3 }), false);

  assert.deepEqual([room.unread, room.mentions, room.readSeq], [2, 0, 1]);
});

test('where not enough is here, the server counts, and what is unread is asked for again', () => {
  const room = den({ more: { unread: 40, read: { seq: 2, deliveredSeq: 2 } } });
  room.feed.cursor = 42;
  assert.equal(room.marked({ roomId: 'den', readSeq: 30, deliveredSeq: 30, unread: 10, mentions: 1 }), true);
  assert.deepEqual([room.unread, room.mentions], [10, 1]);

  const told = hear(room, 'chat:message:deleted', { messageIds: ['unknown'], messageSeqs: [35], deletedBy: 'author' });

  assert.deepEqual(told.map(([name]) => name), ['changed', 'uncertain']);
});

test('what was missed is told in the order of its numbers, a new message under its own', () => {
  const room = den();
  const [known, quiet] = [say(room), say(room)];
  const [early, late] = [message(3), message(5)];
  const edited = { ...known, content: 'edited', rev: 6 };
  const member = { userId: 'cid', state: 'joined', role: 'member', mutedUntil: null, seq: 4 };

  const told = room.caughtUp({ messages: [late, edited, { ...early, rev: 7, content: 'and edited' }], members: [member], room: overview({ memberCount: 3, unread: 4 }), toSeq: 7 });

  const words = told.map(([name, what]) => [name, what.seq, what.kind ?? what.content ?? what.reason]);
  assert.deepEqual(words, [['message', 3, 'and edited'], ['member', 4, 'synced'], ['message', 5, 'number 5'], ['changed', 6, 'synced']]);
  assert.deepEqual(room.messages.map(({ id }) => id), [known.id, quiet.id, early.id, late.id]);
  assert.deepEqual([room.messages[0].content, room.unread, room.memberCount, room.lastSeq], ['edited', 4, 3, 7]);
});

test('a window has no holes, keeps its size, and grows when older ones are loaded', () => {
  const room = den({ most: 3 });
  const said = [1, 2, 3, 4].map(() => say(room));
  assert.deepEqual(room.messages.map(({ seq }) => seq), [2, 3, 4]);
  assert.equal(room.hasOlder, true);

  room.loaded(room.loading(), page([said[0]]));
  assert.deepEqual([room.messages.map(({ seq }) => seq), room.hasOlder], [[1, 2, 3, 4], false]);
  say(room);

  assert.deepEqual([room.messages.map(({ seq }) => seq), room.hasOlder], [[2, 3, 4, 5], true]);

  // What is on its way reaches to what is oldest now: that stays until it is here.
  const [log, older] = [room.loading(), message(1)];
  say(room);
  assert.deepEqual(room.messages.map(({ seq }) => seq), [2, 3, 4, 5, 6]);
  room.loaded(log, page([older]));
  assert.deepEqual([room.messages.map(({ seq }) => seq), room.hasOlder], [[1, 2, 3, 4, 5, 6], false]);
  room.keep(2);
  assert.deepEqual(room.messages.map(({ seq }) => seq), [5, 6]);
});

test('what happens while a page is on its way happens to its messages too', () => {
  const room = den();
  room.feed.cursor = 10;
  const [old, root, reply] = [message(1), message(2, { thread: { replyCount: 1, lastReplyAt: 'x', participants: ['bob'] }, rev: 3 }), message(3)];
  reply.threadRootId = root.id;
  const log = room.loading();

  hear(room, 'chat:message:edited', { messageId: old.id, messageSeq: 1, content: 'edited', mentions: [], editedAt: 'now', editCount: 1 });
  hear(room, 'chat:message:deleted', { messageIds: [reply.id], messageSeqs: [3], deletedBy: 'author' });
  const said = say(room, { threadRootId: root.id, senderId: 'cid' });
  hear(room, 'chat:room:left', { userId: 'bob', reason: 'left', memberCount: 1 });
  const ahead = { ...message(16), id: 'ahead' };
  room.loaded(log, page([old, root, reply, said, ahead]), [{ user: { id: 'bob' }, role: 'member', joinedAt: 'then', mutedUntil: null }, { user: { id: 'ann' }, role: 'owner', joinedAt: 'then', mutedUntil: null }]);

  assert.deepEqual(room.messages.map(({ content, rev }) => [content, rev]), [['edited', 11], ['number 2', 13], ['', 12], ['number 13', 13], ['number 16', 16]]);
  assert.deepEqual(room.messages[1].thread.replyCount, 1, 'one taken back, one said');
  assert.deepEqual([...room.members.values()].map(({ userId, state }) => [userId, state]), [['bob', 'left'], ['ann', 'joined']]);
  // What is ahead of the events is told when its event comes, and not changed back.
  room.feed.cursor = 15;
  assert.equal(hear(room, 'chat:message', { ...ahead, content: 'older' })[0][0], 'message');
  assert.equal(room.messages.at(-1).content, 'number 16');
});

test('a page that was asked for before everything began anew is no use', () => {
  const room = den();
  const log = room.loading();

  room.restart({ toSeq: 9, room: overview({ name: 'New' }), messages: [message(4), message(8)] }, 6);

  assert.equal(room.loaded(log, page([message(1)])), false);
  assert.deepEqual([room.messages.map(({ seq }) => seq), room.lastSeq, room.name, room.hasOlder], [[8], 9, 'New', true]);
});

test('members come, stand otherwise and go; a mute outlasts an absence, but owners are not muted', () => {
  const room = den();
  hear(room, 'chat:room:joined', { userId: 'bob', user: { id: 'bob' }, role: 'member', memberCount: 3, timestamp: 'then' });
  hear(room, 'chat:room:member', { userId: 'bob', reason: 'muted', membership: { userId: 'bob', state: 'joined', role: 'member', joinedAt: 'then', mutedUntil: 'late' } });
  hear(room, 'chat:room:left', { userId: 'bob', reason: 'left', memberCount: 2 });
  assert.deepEqual([room.members.get('bob').state, room.members.get('bob').seq, room.memberCount], ['left', 3, 2]);

  hear(room, 'chat:room:joined', { userId: 'bob', user: { id: 'bob' }, role: 'member', memberCount: 3 });
  assert.equal(room.members.get('bob').mutedUntil, 'late');
  const former = { userId: 'ann', state: 'joined', role: 'admin', mutedUntil: null };
  const told = hear(room, 'chat:room:member', { userId: 'bob', reason: 'owner', membership: { userId: 'bob', state: 'joined', role: 'owner', mutedUntil: null }, formerOwner: former });

  assert.deepEqual(told.map(([, { member }]) => [member.userId, member.role]), [['bob', 'owner'], ['ann', 'admin']]);
});
