// Looks at a server as Socket.IO's Admin UI does: with its options, its events and its commands.
// Usage: node admin.cjs URL PASSWORD TOKEN
// Prints a line for each step and exits with 0, or with 1 at the first step that fails.
const assert = require('node:assert/strict');
const { io } = require('socket.io-client-newest');

const [url, password, token] = process.argv.slice(2);
const LIMIT = 20_000;

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), LIMIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The arguments of the next event of this name.
function heard(socket, event) {
  return within(event, new Promise((resolve) => socket.once(event, (...args) => resolve(args))));
}

function dial(auth, wsOnly = false) {
  return io(`${url}/admin`, {
    forceNew: true,
    reconnection: false,
    withCredentials: true,
    transports: wsOnly ? ['websocket'] : ['polling', 'websocket'],
    path: '/socket.io',
    parser: null,
    auth,
  });
}

function done(step) {
  console.log(`ok ${step}`);
}

async function main() {
  const stale = dial({ sessionId: null });
  const [refused] = await heard(stale, 'connect_error');
  assert.equal(refused.message, 'invalid credentials');
  stale.disconnect();
  done('a page without a session is asked for the password');

  const wrong = dial({ username: 'admin', password: `${password}!` });
  assert.equal((await heard(wrong, 'connect_error'))[0].message, 'invalid credentials');
  wrong.disconnect();
  done('a wrong password is refused');

  const admin = dial({ username: 'admin', password });
  const first = ['session', 'config', 'all_sockets', 'server_stats'].map((event) => heard(admin, event));
  await heard(admin, 'connect');
  const [[session], [config], [sockets], [stats]] = await Promise.all(first);
  assert.deepEqual(config.supportedFeatures, ['AGGREGATED_EVENTS', 'ALL_EVENTS', 'DISCONNECT']);
  assert.deepEqual(sockets, []);
  assert.equal(stats.clientsCount, 1);
  done('the password opens');

  const again = dial({ sessionId: session }, true);
  await heard(again, 'server_stats');
  again.disconnect();
  done('the session opens again');

  const coming = heard(admin, 'all_sockets');
  const alice = io(`${url}/chat`, { auth: { token }, forceNew: true, transports: ['polling', 'websocket'] });
  const [[came]] = await coming;
  assert.equal(came.clientId, 'alice');
  assert.ok(came.rooms.includes('general'));
  assert.ok(!Number.isNaN(new Date(came.handshake.issued).getTime()));
  assert.notEqual(came.id, alice.id);
  done('the first who connects is listed, by another id than the engine has');

  const [ended, going] = [heard(alice, 'disconnect'), heard(admin, 'socket_disconnected')];
  admin.emit('_disconnect', came.nsp, true, came.id);
  assert.equal((await ended)[0], 'io server disconnect');
  const [namespace, id] = await going;
  assert.deepEqual([namespace, id], ['/chat', came.id]);
  done('who is disconnected is gone');

  admin.disconnect();
  alice.disconnect();
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
