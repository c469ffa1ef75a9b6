// The token comes behind the # of the address that `ires-chat dev` prints: it never leaves this browser but to the chat.
const token = location.hash.slice(1);
const $ = (id) => document.getElementById(id);
const rooms = new Map();   // id → { room, name, messages: Map(seq → message), typing: Map(user → name), unread }
let me, current;

const api = async (path) => (await fetch('/api/v1' + path, { headers: { Authorization: 'Bearer ' + token } })).json();
const socket = io('/chat', { auth: { token }, autoConnect: token !== '' });
if (!token) $('state').textContent = 'Open one of the two addresses that `ires-chat dev` printed.';
addEventListener('hashchange', () => location.reload());

socket.on('connect_error', (error) => $('state').textContent = error.message);
// After a disconnect by the server the client stays away, and the error before it said why.
socket.on('disconnect', (reason) => { if (reason !== 'io server disconnect') $('state').textContent = 'disconnected, coming back…' });
socket.on('system:error', (error) => { $('state').textContent = error.message });
socket.on('system:notification', async ({ type, data }) => {
  if (type !== 'session.ready') return;
  me = data.user; $('me').textContent = me.name || me.id; $('state').textContent = 'online';
  for (const entry of data.rooms) add(entry).unread = entry.unread;
  await Promise.all([...rooms.keys()].map(load));
  show(current && rooms.has(current) ? current : data.defaultRoomId);
});
socket.on('chat:room:created', async ({ room }) => { add(room); await load(room.id); draw() });
socket.on('chat:room:joined', async (joined) => { if (joined.self) { add(joined.room); await load(joined.roomId); draw() } });
socket.on('chat:room:left', ({ roomId, self }) => { if (self) { rooms.delete(roomId); if (current === roomId) show(rooms.keys().next().value); draw() } });
socket.on('chat:message', (message) => {
  const room = rooms.get(message.roomId); if (!room) return;
  room.messages.set(message.seq, message); room.typing.delete(message.senderId); room.waiting.delete(message.clientMsgId);
  if (message.roomId !== current && message.senderId !== me.id) room.unread++;
  draw();
});
socket.on('status:typing', ({ roomId, userId, user, isTyping }) => {
  const typing = rooms.get(roomId)?.typing; if (!typing) return;
  isTyping ? typing.set(userId, user.name || userId) : typing.delete(userId); draw();
});
socket.on('status:online', ({ userId }) => { $('hint').textContent = userId + ' is online' });
socket.on('status:offline', ({ userId }) => { $('hint').textContent = userId + ' went offline' });

function add(room) {
  const known = rooms.get(room.id) ?? { messages: new Map(), waiting: new Map(), typing: new Map(), unread: 0 };
  rooms.set(room.id, Object.assign(known, { room, name: room.name || 'Direct conversation' }));
  return known;
}
async function load(id) {
  const { messages } = await api(`/rooms/${id}/messages?limit=50`), entry = rooms.get(id);
  for (const message of messages ?? []) entry?.messages.set(message.seq, message);
  if (entry?.room.type !== 'direct') return;
  const { items } = await api(`/rooms/${id}/members`), other = items?.find(({ user }) => user.id !== me.id)?.user;
  if (other) entry.name = other.name || other.id;
}
function show(id) { current = id; if (rooms.has(id)) rooms.get(id).unread = 0; draw() }
function element(tag, text, parent, more = {}) { const node = Object.assign(document.createElement(tag), more); node.textContent = text; parent.append(node); return node }
function draw() {
  $('rooms').replaceChildren();
  for (const [id, { name, unread }] of rooms) {
    const button = element('button', name, $('rooms'), { onclick: () => show(id) });
    button.setAttribute('aria-current', id === current);
    if (unread) element('b', unread, button);
  }
  const room = rooms.get(current); if (!room) return;
  $('title').textContent = room.name; $('log').replaceChildren();
  for (const message of [...room.messages.values()].sort((a, b) => a.seq - b.seq)) line(message);
  for (const message of room.waiting.values()) line(message).className = 'waiting';
  $('log').scrollTop = $('log').scrollHeight;
  $('hint').textContent = room.typing.size ? [...room.typing.values()].join(', ') + ' is typing…' : '';
}
function line({ sender, content, createdAt }) {
  const item = element('li', '', $('log'));
  element('strong', (sender.name || sender.id) + ' ', item); item.append(content);
  if (createdAt) element('span', new Date(createdAt).toLocaleTimeString(), item);
  return item;
}
let typed = 0;
$('text').oninput = () => { if (current && Date.now() - typed > 3000) { typed = Date.now(); socket.emit('status:typing', { roomId: current, isTyping: true }) } };
$('form').onsubmit = (event) => {
  event.preventDefault();
  const content = $('text').value, room = rooms.get(current); if (!content.trim() || !room) return;
  // The client's own id makes a second try harmless: the server stores it once.
  const clientMsgId = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
  room.waiting.set(clientMsgId, { sender: me, content });
  const send = () => socket.timeout(8000).emit('chat:message', { roomId: room.room.id, content, clientMsgId }, (late, ack) => {
    if (late || ack?.error?.retryable) return setTimeout(send, 1000);
    room.waiting.delete(clientMsgId); if (ack.ok) { room.messages.set(ack.data.seq, ack.data); $('state').textContent = 'online' } draw();
  });
  send(); typed = 0; $('text').value = ''; draw();
};
