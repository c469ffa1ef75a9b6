// A chat server as somebody would build it who knows Node well and wants speed: socket.io without a framework, node:http,
// a pool of Postgres connections, prepared statements. What it promises: a message is committed before it is seen or acked.
//
// GROUP_COMMIT=1 changes one thing, how messages are written: see `storeTogether`.

import { createSecretKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import jwt from 'jsonwebtoken';
import pg from 'pg';
import { Server } from 'socket.io';

const { PORT = '3000', HOST = '127.0.0.1', DATABASE_URL, JWT_SECRET, FRONTEND_URL = 'http://localhost:3000', GROUP_COMMIT } = process.env;

// ---- storage -------------------------------------------------------------------------------------------------------

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

// idleTimeoutMillis 0: connections stay open, so that no burst waits for new ones.
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 16, idleTimeoutMillis: 0 });
pool.on('error', (error) => console.error('an idle Postgres connection broke:', error.message));

// A statement with a name is prepared once per connection and only bound and executed from then on.
const join = (roomId, userId) =>
  pool.query({
    name: 'join',
    text: 'INSERT INTO bench_members (room_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    values: [roomId, userId],
  });

async function page(roomId, userId, before, limit) {
  const { rows } = await pool.query({
    name: 'page',
    text: `SELECT id, seq, sender_id, sender_name, content, type, created_at FROM bench_messages
            WHERE room_id = $1 AND seq < $2 AND EXISTS (SELECT FROM bench_members WHERE room_id = $1 AND user_id = $3)
            ORDER BY seq DESC LIMIT $4`,
    values: [roomId, before, userId, limit + 1],
  });
  const hasOlder = rows.length > limit;
  const messages = rows.slice(0, limit).reverse().map((row) => ({
    id: row.id,
    roomId,
    seq: row.seq,
    sender: { id: row.sender_id, name: row.sender_name },
    content: row.content,
    createdAt: row.created_at,
    type: row.type,
  }));
  return { messages, page: { oldestSeq: messages[0]?.seq ?? null, newestSeq: messages.at(-1)?.seq ?? null, hasOlder } };
}

// One INSERT, one commit a message; as many at a time as the pool has connections.
async function storeAlone({ id, roomId, sender, content, createdAt }) {
  const { rows } = await pool.query({
    name: 'store',
    text: `INSERT INTO bench_messages (id, room_id, sender_id, sender_name, content, created_at)
           VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq`,
    values: [id, roomId, sender.id, sender.name, content, createdAt],
  });
  return rows[0].seq;
}

// While one commit is in flight, the messages that arrive wait; all of them are the next commit. Promises are settled in the
// order of arrival, which is the order of `seq`, so members of a room see its messages in that order.
let waiting = [];
let writing = false;

function storeTogether(message) {
  return new Promise((resolve, reject) => {
    waiting.push({ message, resolve, reject });
    if (writing) return;
    writing = true;
    setImmediate(writeAll); // not at once: what other sockets sent is read in this turn of the event loop
  });
}

async function writeAll() {
  while (waiting.length) {
    const batch = waiting;
    waiting = [];
    const column = (of) => batch.map(({ message }) => of(message));
    try {
      const { rows } = await pool.query({
        name: 'store-together',
        text: `INSERT INTO bench_messages (id, room_id, sender_id, sender_name, content, created_at)
               SELECT id, room_id, sender_id, sender_name, content, created_at
                 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) WITH ORDINALITY
                      AS new (id, room_id, sender_id, sender_name, content, created_at, place)
                ORDER BY place
               RETURNING seq`,
        values: [
          column((m) => m.id),
          column((m) => m.roomId),
          column((m) => m.sender.id),
          column((m) => m.sender.name),
          column((m) => m.content),
          column((m) => m.createdAt),
        ],
      });
      batch.forEach(({ resolve }, i) => resolve(rows[i].seq));
    } catch (error) {
      batch.forEach(({ reject }) => reject(error));
    }
  }
  writing = false;
}

const store = GROUP_COMMIT === '1' ? storeTogether : storeAlone;

// ---- identity ------------------------------------------------------------------------------------------------------

const secret = createSecretKey(Buffer.from(JWT_SECRET));

function userOf(token) {
  const { sub, name } = jwt.verify(token, secret, { algorithms: ['HS256'] });
  if (!sub) throw new Error('the token names nobody');
  return { id: sub, name: name ?? sub };
}

// ---- sockets -------------------------------------------------------------------------------------------------------

const http = createServer({ keepAliveTimeout: 65_000 });
const io = new Server(http, {
  cors: { origin: FRONTEND_URL, credentials: true },
  pingInterval: 25_000,
  pingTimeout: 60_000,
  maxHttpBufferSize: 1e6,
  perMessageDeflate: false,
  serveClient: false,
});
// The first request of a connection is needed no more once it is open: socket.io's own advice for less memory.
io.engine.on('connection', (raw) => (raw.request = null));
const chat = io.of('/chat');

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Postgres cannot store a NUL.
const isText = (value, max) => typeof value === 'string' && value.length >= 1 && value.length <= max && !value.includes('\0');

function roomOf(socket, payload) {
  const roomId = payload?.roomId;
  if (!isText(roomId, 128)) throw new Refusal('VALIDATION_ERROR', 'roomId is missing');
  if (!socket.rooms.has(roomId)) throw new Refusal('NOT_A_MEMBER', 'join the room first');
  return roomId;
}

const events = {
  async 'chat:room:join'(socket, payload) {
    const roomId = typeof payload === 'string' ? payload : payload?.roomId;
    if (!isText(roomId, 128)) throw new Refusal('VALIDATION_ERROR', 'roomId is missing');
    await join(roomId, socket.data.user.id);
    socket.join(roomId);
    return { roomId };
  },

  async 'chat:message'(socket, payload) {
    const roomId = roomOf(socket, payload);
    const { content } = payload;
    if (!isText(content, 4000)) throw new Refusal('VALIDATION_ERROR', 'content must be a string of 1 to 4000 characters');
    const message = { id: randomUUID(), roomId, seq: 0, sender: socket.data.user, content, createdAt: new Date().toISOString(), type: 'text' };
    message.seq = await store(message);
    chat.to(roomId).emit('chat:message', message);
    return message;
  },

  async 'status:typing'(socket, payload) {
    const roomId = roomOf(socket, payload);
    const { user } = socket.data;
    socket.to(roomId).volatile.emit('status:typing', { roomId, userId: user.id, user, isTyping: payload.isTyping === true });
    return {};
  },

  async 'status:update'(socket, payload) {
    tellPresence(socket, payload?.isOnline === true);
    return {};
  },
};

// To those who share a room, but not in rooms of more than 200, as ires-chat does.
function tellPresence(socket, isOnline) {
  const rooms = [...socket.rooms].filter((room) => room !== socket.id && chat.adapter.rooms.get(room).size <= 200);
  if (rooms.length) socket.to(rooms).emit(isOnline ? 'status:online' : 'status:offline', { userId: socket.data.user.id, isOnline });
}

const live = new Map(); // user id → number of open sockets

chat.on('connection', (socket) => {
  try {
    socket.data.user = userOf(socket.handshake.auth.token);
  } catch (error) {
    socket.emit('system:error', { code: 'AUTH_TOKEN_INVALID', message: error.message });
    socket.disconnect(true);
    return;
  }
  const { id } = socket.data.user;
  live.set(id, (live.get(id) ?? 0) + 1);
  // A new socket is in no room yet, so that there is nobody to tell; the last one's end is told while it still is in its rooms.
  socket.on('disconnecting', () => {
    const others = live.get(id) - 1;
    if (others) {
      live.set(id, others);
    } else {
      live.delete(id);
      tellPresence(socket, false);
    }
  });

  for (const [event, handle] of Object.entries(events)) {
    socket.on(event, async (payload, ack) => {
      let answer;
      try {
        answer = { ok: true, data: await handle(socket, payload) };
      } catch (error) {
        const known = error instanceof Refusal;
        if (!known) console.error(event, error);
        answer = { ok: false, error: known ? { code: error.code, message: error.message } : { code: 'INTERNAL_ERROR', message: 'try again' } };
        socket.emit('system:error', { event, ...answer.error });
      }
      if (typeof ack === 'function') ack(answer);
    });
  }
});

// ---- REST ----------------------------------------------------------------------------------------------------------

const HISTORY = /^\/api\/v1\/rooms\/([^/]+)\/messages$/;

http.on('request', async (request, response) => {
  if (request.url.startsWith('/socket.io/')) return;
  const answer = (status, body) => {
    const json = JSON.stringify(body);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(json) }).end(json);
  };
  try {
    const url = new URL(request.url, 'http://localhost');
    const room = HISTORY.exec(url.pathname)?.[1];
    if (url.pathname === '/readyz') return answer(200, { status: 'ready' });
    if (request.method !== 'GET' || !room) return answer(404, { code: 'NOT_FOUND' });
    let user;
    try {
      user = userOf(request.headers.authorization?.replace(/^Bearer /, ''));
    } catch {
      return answer(401, { code: 'AUTH_TOKEN_INVALID' });
    }
    const before = Number(url.searchParams.get('before') ?? Number.MAX_SAFE_INTEGER);
    const limit = Number(url.searchParams.get('limit') ?? 50);
    if (!Number.isSafeInteger(before) || !(Number.isInteger(limit) && limit >= 1 && limit <= 100)) return answer(400, { code: 'VALIDATION_ERROR' });
    answer(200, await page(decodeURIComponent(room), user.id, before, limit));
  } catch (error) {
    if (error instanceof URIError) return answer(400, { code: 'VALIDATION_ERROR' });
    console.error(request.url, error);
    answer(500, { code: 'INTERNAL_ERROR' });
  }
});

await pool.query(readFileSync(new URL('../schema.sql', import.meta.url), 'utf8'));
http.listen(Number(PORT), HOST, () => console.log(`listening on http://${HOST}:${PORT}`));
