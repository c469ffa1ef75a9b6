// Several people in several rooms over a network that fails, and what every client knows in the end.
//
// Usage: node chaos.js FILE SECRET FIRST_SEED SEEDS AT_ONCE RESTARTS
// FILE holds the server's address, anew after each restart. Prints `e2e restart` where the server is to be killed and started
// again, a line for each seed, and `e2e done` in the end; exits with 1 at the first seed that fails.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ChatError, IresChat } from 'ires-chat-client';
import { io } from 'socket.io-client';
import { Dice } from './dice.js';
import { Proxy } from './proxy.js';
import { Store, ask, get, history, mint, plain } from './world.js';

const [file, secret, firstSeed, seeds, atOnce, restarts] = process.argv.slice(2);
let last;
// The file may just be written.
const base = () => (last = readFileSync(file, 'utf8').trim() || last);
const target = () => {
  const { hostname, port } = new URL(base());
  return { host: hostname, port: Number(port) };
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const EMOJI = ['👍', '🎉', ':shipit:'];
/** What may be answered to an act that came too late. */
const TOO_LATE = new Set(['MESSAGE_NOT_FOUND', 'NOT_A_MEMBER', 'ROOM_NOT_FOUND', 'FORBIDDEN', 'MUTED', 'CONFLICT', 'USER_NOT_FOUND', 'VALIDATION_ERROR']);

/** The official client, but that now and then an event of a room is not heard, as where a server had to leave one out. */
function forgetful(proxy, dice) {
  return (url, options) => {
    const socket = io(url, options);
    const onAny = socket.onAny.bind(socket);
    socket.onAny = (listener) => onAny((name, data) => {
      const isLost = proxy.isRough && typeof data?.seq === 'number' && data.roomId && !data.self && dice.oneIn(10);
      if (isLost) proxy.counts.lost += 1;
      else listener(name, data);
    });
    return socket;
  };
}

class Person {
  constructor(seed, name, dice, proxy, socketOptions) {
    this.dice = dice;
    /** Keeps few messages, and loads older ones when it likes. */
    this.isForgetful = dice.oneIn(3);
    this.name = name;
    this.sent = [];
    this.store = new Store(`${name} (seed ${seed})`);
    // Short lives, so that tokens are renewed in the middle of everything.
    const getToken = async () => mint(secret, name, 5 + dice.below(10));
    this.chat = new IresChat(proxy.url, {
      getToken,
      socketOptions,
      io: forgetful(proxy, dice),
      random: () => dice.fraction(),
      windowSize: 5_000,
      ...dice.pick([{}, { syncLimit: 3 }, { syncLimit: 20 }]),
      ackTimeoutMs: 1_500,
      readyTimeoutMs: 2_000,
      reconnectMinMs: 10,
      reconnectMaxMs: 150,
    });
    this.store.listen(this.chat);
  }

  /** Does something, and does not wait for it. */
  act(rooms) {
    const { chat, dice } = this;
    const room = chat.rooms.get(dice.pick(rooms));
    if (!room) return dice.oneIn(3) ? chat.join(rooms.at(-1)) : undefined;
    const message = room.messages.length > 0 ? dice.pick(room.messages.slice(-12)) : undefined;
    if (this.isForgetful && dice.oneIn(8)) return dice.oneIn(2) ? room.keep(3) : chat.loadOlder(room.id, 1 + dice.below(20));
    if (room.membership?.role === 'owner' && dice.oneIn(15)) return this.rule(room);
    const what = dice.below(message ? 20 : 8);
    if (what < 8) return this.say(room.id, {});
    if (what < 9) return this.say(room.id, { threadRootId: message.id });
    if (what < 10) return this.say(room.id, { mentions: [dice.pick([...room.members.keys(), chat.me.id])] });
    if (what < 12) return message.senderId === chat.me.id ? chat.edit(message.id, `edited ${dice.below(1_000)}`) : undefined;
    if (what < 13) return message.senderId === chat.me.id ? chat.delete(message.id) : undefined;
    if (what < 15) return chat.react(message.id, dice.pick(EMOJI));
    if (what < 16) return chat.unreact(message.id, dice.pick(EMOJI));
    if (what < 17) return dice.oneIn(2) ? chat.pin(message.id) : chat.unpin(message.id);
    if (what < 18) return chat.read(room.id);
    if (what < 19) return dice.oneIn(2) && room.id === rooms.at(-1) ? chat.leave(room.id) : undefined;
    return chat.typing(room.id);
  }

  /** Keeps order, as owners do. */
  rule(room) {
    const { chat, dice } = this;
    const others = [...room.members.keys()].filter((id) => id !== chat.me.id);
    const whom = others.length > 0 ? dice.pick(others) : undefined;
    const deeds = [
      () => chat.updateRoom(room.id, { name: `name ${dice.below(100)}` }),
      () => whom && (room.members.get(whom).state === 'joined' ? chat.kick(room.id, whom) : chat.invite(room.id, whom)),
      () => whom && chat.setRole(room.id, whom, dice.pick(['member', 'moderator'])),
      () => whom && chat.mute(room.id, whom, dice.oneIn(2) ? 60_000 : 0),
    ];
    return dice.pick(deeds)();
  }

  say(roomId, more) {
    const content = `${this.name} ${this.sent.length}`;
    const said = this.chat.send(roomId, content, more);
    this.sent.push({ roomId, content, said });
    return said;
  }
}

async function eventually(what, seed, check) {
  const end = Date.now() + 20_000;
  for (let wrong = check(); wrong; wrong = check()) {
    if (Date.now() > end) assert.fail(`seed ${seed}: waited in vain for ${what}: ${wrong}`);
    await sleep(10);
  }
}

async function live(seed) {
  const dice = new Dice(seed);
  const proxy = await Proxy.before(target, new Dice(dice.roll()));
  const transports = () => dice.pick([['websocket'], ['websocket'], ['polling', 'websocket'], ['polling']]);
  const names = ['ann', 'ben', 'cid'].map((name) => `${name}-${seed}`);
  for (const name of names) await get(base, mint(secret, name), '/users/me');
  const people = [...names, names[0]].map((name) => new Person(seed, name, new Dice(dice.roll()), proxy, { transports: transports() }));
  people.at(-1).name += ' (phone)';
  try {
    const rooms = await begin(people, names);
    proxy.isRough = true;
    const done = [];
    const steps = 60 + dice.below(80);
    const restart = Number(restarts) > 0 && dice.oneIn(2) ? dice.below(steps) : -1;
    for (let step = 0; step < steps; step += 1) {
      for (let count = 1 + dice.below(3); count > 0; count -= 1) {
        done.push(Promise.resolve(dice.pick(people).act(rooms)).catch((error) => assert.ok(TOO_LATE.has(error.code), `seed ${seed}: ${error.stack}`)));
      }
      if (dice.oneIn(8)) proxy.cutSome(2);
      if (step === restart) console.log('e2e restart');
      await sleep(dice.below(25));
    }
    proxy.isRough = false;
    proxy.cutSome(3);
    await Promise.all(done);
    await speakBehindTheirBacks(seed, proxy, names, rooms);
    for (const room of rooms) await agree(seed, people, room);
    return report(seed, people, proxy);
  } finally {
    people.forEach(({ chat }) => chat.close());
    proxy.close();
  }
}

/** Something happens while nobody is there, and nothing after it: whoever comes back must find it without being told. */
async function speakBehindTheirBacks(seed, proxy, names, rooms) {
  proxy.shut();
  for (const room of rooms) {
    for (const name of names) {
      const headers = { 'content-type': 'application/json' };
      await ask(base, mint(secret, name), `/rooms/${room}/messages`, { method: 'POST', headers, body: JSON.stringify({ content: `behind (${seed})` }) });
    }
  }
  proxy.isShut = false;
}

/** Everybody is in, and has the rooms open. */
async function begin(people, names) {
  const [ann] = people;
  await Promise.all(people.map(({ chat }) => new Promise((resolve) => chat.once('ready', resolve))));
  const made = [];
  for (const type of ['group', 'group', 'public']) made.push((await ann.chat.createRoom({ name: `room ${made.length}`, type, participants: names.slice(1) })).id);
  await eventually('the rooms', '', () => people.some(({ chat }) => made.some((id) => !chat.rooms.has(id))));
  await Promise.all(people.flatMap(({ chat }) => made.map((id) => chat.open(id))));
  return made;
}

async function agree(seed, people, room) {
  const token = (person) => mint(secret, person.chat.me.id);
  for (const person of people) {
    const mine = (await get(base, token(person), '/rooms?scope=mine&limit=100')).items.find(({ id }) => id === room);
    const view = () => person.chat.rooms.get(room);
    await eventually('the last number', seed, () => {
      if (person.chat.state !== 'ready' || !mine !== !view()) return `${person.name} is ${person.chat.state}, and ${mine ? '' : 'not '}in ${room}`;
      return mine && (view().lastSeq !== mine.lastSeq || view().feed.isStale) ? `${person.name} is at ${view().lastSeq} of ${mine.lastSeq}` : '';
    });
    if (!mine) continue;
    const all = await history(base, token(person), room);
    assert.equal(new Set(all.map((message) => message.clientMsgId ?? message.id)).size, all.length, `seed ${seed}: something is stored twice`);
    await agreesWith(seed, person, room, all, token(person));
    await saidInOrder(seed, person, room, all);
    await saidOnce(seed, people.filter(({ chat }) => chat.me.id === person.chat.me.id), room, all);
  }
}

async function agreesWith(seed, person, room, all, token) {
  const view = person.chat.rooms.get(room);
  const kept = person.store.rooms.get(room);
  const [overview, members] = [await get(base, token, `/rooms/${room}`), await get(base, token, `/rooms/${room}/members?limit=100`)];
  const name = `seed ${seed}: ${person.name} in ${room}`;
  const first = view.messages[0]?.seq ?? Infinity;
  if (!view.hasOlder) assert.equal(view.messages.length, all.length, `${name}: the whole history`);
  assert.deepEqual(view.messages.map(plain), all.filter((message) => message.seq >= first).map(plain), `${name}: the view`);
  const missed = all.filter((message) => message.seq > kept.since);
  assert.deepEqual(kept.heard, missed.map((message) => message.seq), `${name}: each message was told once, in order`);
  if (!person.isForgetful) assert.deepEqual([...kept.messages.values()].filter((message) => message.seq > kept.since).sort((a, b) => a.seq - b.seq).map(plain), missed.map(plain), `${name}: what it was told`);
  assert.deepEqual([view.name, view.memberCount, view.unread, view.mentions, view.readSeq], [overview.name, overview.memberCount, overview.unread, overview.mentions, overview.read.seq], `${name}: the room`);
  assert.deepEqual(view.can, overview.can, `${name}: what one may`);
  assert.deepEqual(view.lastMessage && { ...plain(view.lastMessage), ownReactions: [] }, overview.lastMessage && plain(overview.lastMessage), `${name}: the last message`);
  const there = (list) => list.map(({ userId, user, role }) => [userId ?? user.id, role]).sort();
  const joined = [...view.members.values()].filter((member) => member.state === 'joined');
  if (view.isOpen) assert.deepEqual(there(joined), there(members.items), `${name}: the members`);
}

/** As many messages of a user are stored as were acknowledged, or may have been stored before they were refused. */
async function saidOnce(seed, devices, room, all) {
  const said = devices.flatMap(({ sent }) => sent).filter(({ roomId }) => roomId === room);
  const refused = (await Promise.allSettled(said.map(({ said: promise }) => promise))).filter(({ status }) => status === 'rejected').length;
  const stored = all.filter(({ senderId, clientMsgId }) => clientMsgId && senderId === devices[0].chat.me.id).length;
  assert.ok(stored <= said.length && stored >= said.length - refused, `seed ${seed}: ${stored} stored of ${said.length}, ${refused} refused`);
}

/** What was acknowledged is stored, and in the order in which it was said. */
async function saidInOrder(seed, person, room, all) {
  let last = 0;
  for (const { roomId, content, said } of person.sent) {
    if (roomId !== room) continue;
    const message = await said.catch((error) => error);
    if (message instanceof ChatError) {
      assert.ok(TOO_LATE.has(message.code), `seed ${seed}: ${message.stack}`);
      continue;
    }
    const stored = all.find((other) => other.id === message.id);
    assert.ok(stored, `seed ${seed}: "${content}" was acknowledged and is lost`);
    assert.ok(stored.seq > last, `seed ${seed}: ${person.name} said "${content}" later than it stands`);
    last = stored.seq;
  }
}

function report(seed, people, proxy) {
  const said = people.reduce((count, { sent }) => count + sent.length, 0);
  const told = people.reduce((count, { store }) => count + [...store.rooms.values()].reduce((sum, { heard, changes }) => sum + heard.length + changes, 0), 0);
  const codes = {};
  for (const { store } of people) for (const code of store.errors) codes[code] = (codes[code] ?? 0) + 1;
  return `${said} said, ${told} told, ${JSON.stringify(proxy.counts)}, ${JSON.stringify(codes)}`;
}

let next = 0;
async function worker() {
  while (next < Number(seeds)) {
    const seed = Number(firstSeed) + next;
    next += 1;
    try {
      const begun = Date.now();
      console.log(`e2e seed ${seed}: ${await live(seed)}, ${Date.now() - begun} ms`);
    } catch (error) {
      console.error(`e2e FAILED seed ${seed}: ${error.stack}`);
      process.exit(1);
    }
  }
}

await Promise.all(Array.from({ length: Number(atOnce) }, worker));
// And now the process ends by itself, for no client leaves anything.
console.log('e2e done');
