// Several people who go on talking over a restart of the server, and what every client knows in the end.
//
// Usage: node draining.js BASE SECRET. Prints `e2e restart` where the server is to be restarted in order, and `e2e done` in the end.

import assert from 'node:assert/strict';
import { IresChat } from 'ires-chat-client';
import { io } from 'socket.io-client';
import { Store, get, history, mint, plain } from './world.js';

const [url, secret] = process.argv.slice(2);
const base = () => url;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const names = ['ann', 'ben', 'cid', 'dan', 'eve'];

class Person {
  constructor(name, transports) {
    this.name = name;
    this.sent = [];
    /** When the connection that was told to wait ended, and for how long. */
    this.pauses = [];
    this.store = new Store(name);
    this.chat = new IresChat(url, { getToken: () => mint(secret, name), socketOptions: { transports }, io: this.#listening(), windowSize: 5_000 });
    this.store.listen(this.chat);
    this.chat.on('state', (state) => this.#became(state));
  }

  /** The official client, and what it was told of the server's end. */
  #listening() {
    return (address, options) => {
      const socket = io(address, options);
      socket.on('system:notification', ({ type, data }) => {
        if (type === 'server.draining') this.pauses.push({ told: data.reconnectInMs });
      });
      return socket;
    };
  }

  #became(state) {
    const pause = this.pauses.at(-1);
    if (!pause) return;
    if (state === 'waiting') pause.since ??= Date.now();
    if (state === 'connecting' && pause.since) pause.took ??= Date.now() - pause.since;
  }

  async talk(room, until) {
    while (!until()) {
      const said = this.chat.send(room, `${this.name} ${this.sent.length}`);
      this.sent.push(said);
      await Promise.race([said, sleep(20)]);
    }
    return Promise.all(this.sent);
  }
}

async function eventually(what, check) {
  const end = Date.now() + 20_000;
  for (let wrong = check(); wrong; wrong = check()) {
    if (Date.now() > end) assert.fail(`waited in vain for ${what}: ${wrong}`);
    await sleep(10);
  }
}

for (const name of names) await get(base, mint(secret, name), '/users/me');
const people = names.map((name, place) => new Person(name, [['websocket'], ['polling'], ['polling', 'websocket']][place % 3]));
await Promise.all(people.map(({ chat }) => new Promise((resolve) => chat.once('ready', resolve))));
const room = (await people[0].chat.createRoom({ name: 'over a restart', type: 'group', participants: names.slice(1) })).id;
await eventually('the room', () => people.some(({ chat }) => !chat.rooms.has(room)));
await Promise.all(people.map(({ chat }) => chat.open(room)));

let isBack = false;
const talking = people.map((person) => person.talk(room, () => isBack));
await eventually('the first messages', () => people[0].chat.rooms.get(room).lastSeq < 30);
console.log('e2e restart');
await eventually('the restart', () => people.some(({ pauses, chat }) => !pauses[0]?.took || chat.state !== 'ready'));
isBack = true;
const said = (await Promise.all(talking)).flat();

const all = await history(base, mint(secret, names[0]), room);
assert.equal(all.length, said.length, 'everything that was said is stored once');
assert.deepEqual(new Set(all.map(({ id }) => id)), new Set(said.map(({ id }) => id)));
for (const { name, chat, store, pauses } of people) {
  await eventually(`the view of ${name}`, () => chat.rooms.get(room).lastSeq < all.at(-1).seq);
  assert.deepEqual(chat.rooms.get(room).messages.map(plain), all.map(plain), `${name}: the view`);
  assert.deepEqual(store.rooms.get(room).heard, all.map(({ seq }) => seq), `${name}: each message was told once, in order`);
  // Timers may be a little early.
  assert.ok(pauses[0].took >= pauses[0].told - 5, `${name}: was told to wait ${pauses[0].told} ms and came after ${pauses[0].took}`);
  chat.close();
}
console.log(`e2e ${all.length} messages over a restart, pauses ${people.map(({ pauses }) => pauses[0].told)} ms`);
console.log('e2e done');
