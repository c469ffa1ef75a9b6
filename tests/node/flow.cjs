// Drives the seed's flow with one version of the official client over one way of transport.
// Usage: node flow.cjs CLIENT TRANSPORTS URL TOKEN_A TOKEN_B OLD_TOKEN
// Prints a line for each step and exits with 0, or with 1 at the first step that fails.
const assert = require('node:assert/strict');

const [client, transports, url, tokenA, tokenB, oldToken] = process.argv.slice(2);
const { io } = require(client);

const LIMIT = 20_000;
// Two runs in one server must not meet each other's messages.
const run = `${client} ${transports}`;

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), LIMIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// The next event of this name that fits.
function heard(socket, event, fits = () => true) {
  return within(event, new Promise((resolve) => {
    const listen = (data) => {
      if (fits(data)) {
        socket.off(event, listen);
        resolve(data);
      }
    };
    socket.on(event, listen);
  }));
}

async function emit(socket, event, payload) {
  const ack = await within(`the ack of ${event}`, new Promise((resolve) => socket.emit(event, payload, resolve)));
  assert.equal(ack.ok, true, `${event}: ${JSON.stringify(ack)}`);
  return ack.data;
}

function open(token) {
  const auth = token ? { token } : {};
  return io(`${url}/chat`, { auth, transports: transports.split('+'), forceNew: true, reconnectionDelay: 50 });
}

async function ready(token) {
  const socket = open(token);
  const session = await heard(socket, 'system:notification', (told) => told.type === 'session.ready');
  return { socket, session };
}

function done(step) {
  console.log(`ok ${run}: ${step}`);
}

async function main() {
  const a = await ready(tokenA);
  const online = heard(a.socket, 'status:online');
  const b = await ready(tokenB);
  const idB = b.session.data.user.id;
  assert.equal((await online).userId, idB);
  done('connected, session.ready, status:online');

  const result = heard(a.socket, 'system:notification');
  await emit(a.socket, 'auth:login', { token: tokenA, userType: 'user' });
  assert.equal((await result).success, true);
  done('auth:login');

  const created = heard(b.socket, 'chat:room:created');
  const room = await emit(a.socket, 'chat:room:create', { name: `Support ${run}`, participants: [idB] });
  assert.equal((await created).roomId, room.id);
  done('chat:room:create');

  const joined = heard(b.socket, 'chat:room:joined', (told) => told.self);
  await emit(b.socket, 'chat:room:join', room.id);
  assert.equal((await joined).roomId, room.id);
  done('chat:room:join');

  const typing = heard(b.socket, 'status:typing');
  await emit(a.socket, 'status:typing', { roomId: room.id, isTyping: true });
  assert.equal((await typing).isTyping, true);
  done('status:typing');

  const texts = ['Hello, world!', 'emoji 👩‍👩‍👧‍👦', '\u2028 שלום "quoted" \\', 'x'.repeat(4000)];
  const received = [];
  const all = within('all messages', new Promise((resolve) => {
    b.socket.on('chat:message', (message) => {
      received.push(message);
      if (received.length === texts.length) resolve();
    });
  }));
  const sent = await Promise.all(texts.map((content) => emit(a.socket, 'chat:message', { content, roomId: room.id })));
  await all;
  assert.deepEqual(received, sent);
  assert.deepEqual(received.map((message) => message.content), texts);
  done('chat:message');

  if (transports === 'polling+websocket') {
    const name = () => a.socket.io.engine.transport.name;
    if (name() !== 'websocket') {
      await within('the upgrade', new Promise((resolve) => a.socket.io.engine.once('upgrade', resolve)));
    }
    assert.equal(name(), 'websocket');
    done('upgraded');
  }

  const refused = heard(a.socket, 'system:error');
  const ack = await within('the refusal', new Promise((resolve) => a.socket.emit('chat:message', { content: 5 }, resolve)));
  assert.equal(ack.error.code, 'VALIDATION_ERROR');
  assert.equal((await refused).code, 'VALIDATION_ERROR');
  done('system:error');

  const back = heard(b.socket, 'system:notification', (told) => told.type === 'session.ready');
  b.socket.io.engine.close();
  await back;
  const again = heard(b.socket, 'chat:message');
  await emit(a.socket, 'chat:message', { content: 'after the reconnect', roomId: room.id });
  assert.equal((await again).content, 'after the reconnect');
  done('reconnected by itself');

  const left = heard(a.socket, 'chat:room:left');
  await emit(b.socket, 'chat:room:leave', room.id);
  assert.equal((await left).userId, idB);
  done('chat:room:leave');

  const away = heard(a.socket, 'status:offline', (told) => told.userId === idB);
  await emit(b.socket, 'status:update', { isOnline: false });
  await away;
  const here = heard(a.socket, 'status:online', (told) => told.userId === idB);
  await emit(b.socket, 'status:update', { isOnline: true });
  await here;
  done('status:update');

  const late = open();
  await within('connect', new Promise((resolve) => late.once('connect', resolve)));
  const session = heard(late, 'system:notification', (told) => told.type === 'session.ready');
  await emit(late, 'auth:login', { token: tokenB });
  await session;
  late.disconnect();
  done('auth:login after connecting without a token');

  const expired = open(oldToken);
  const error = await heard(expired, 'system:error');
  assert.equal(error.code, 'AUTH_TOKEN_EXPIRED');
  await within('the disconnect', new Promise((resolve) => {
    if (!expired.connected) return resolve();
    return expired.once('disconnect', resolve);
  }));
  expired.disconnect();
  done('an expired token is told and cut');

  const retrying = io(`${url}/chat`, { auth: { token: tokenA }, transports: transports.split('+'), forceNew: true, retries: 3, ackTimeout: 5000 });
  const queued = await within('queued emits', Promise.all([1, 2, 3].map((number) => new Promise((resolve, reject) => {
    const payload = { content: `queued ${number}`, roomId: room.id };
    retrying.emit('chat:message', payload, (err, answer) => (err ? reject(err) : resolve(answer.data.content)));
  }))));
  assert.deepEqual(queued, ['queued 1', 'queued 2', 'queued 3']);
  retrying.disconnect();
  done('retries never stall');

  const goodbye = heard(b.socket, 'system:notification', (told) => told.type === 'auth.logout');
  const offline = heard(a.socket, 'status:offline', (told) => told.userId === idB);
  const cut = within('the disconnect', new Promise((resolve) => b.socket.once('disconnect', resolve)));
  await emit(b.socket, 'auth:logout', {});
  await Promise.all([goodbye, offline, cut]);
  done('auth:logout');

  b.socket.disconnect();
  a.socket.disconnect();
}

main().then(() => process.exit(0), (error) => {
  console.error(`FAILED ${run}: ${error.stack}`);
  process.exit(1);
});
