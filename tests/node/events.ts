// Compiles only if the declarations are what socket.io-client takes, and say what they should: see tests/it/node.rs.
import { io, type Socket } from 'socket.io-client-newest';
import type { Ack, ClientToServerEvents, Message, ServerToClientEvents } from './events-d.js';

const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io('http://localhost:3000/chat');

socket.on('chat:message', (message) => {
  const same: Message = message;
  console.log(same.seq, same.sender.name?.length, same.thread?.replyCount);
});
socket.on('system:notification', (notification) => {
  if (notification.type === 'session.ready') console.log(notification.data.rooms[0]?.unread);
  if (notification.type === 'auth.expiring') console.log(notification.data.inMs);
});
socket.on('chat:room:joined', (joined) => {
  if ('self' in joined) console.log(joined.messages.length);
  else console.log(joined.user.name);
});

socket.emit('chat:message', { content: 'Hello', roomId: 'general' }, (ack) => {
  if (ack.ok) console.log(ack.data.seq);
  else if (ack.error.code === 'MUTED') console.log(ack.error.message);
  // @ts-expect-error There is no such code.
  else if (ack.error.code === 'NONSENSE') console.log(ack.error.message);
});
socket.emit('chat:room:join', 'general', (ack) => ack.ok && console.log(ack.data.members[0]?.role));
socket.emit('chat:room:join', { roomId: 'general', since: 5 }, () => {});
socket.emit('auth:logout', null, () => {});
// @ts-expect-error A misspelt field.
socket.emit('chat:message', { contnt: 'Hello' }, () => {});
// @ts-expect-error No such event.
socket.emit('chat:nonsense', {}, () => {});

export async function ask(): Promise<Message | undefined> {
  const typed: Ack<object> = await socket.emitWithAck('status:typing', { isTyping: true });
  const synced = await socket.timeout(1000).emitWithAck('chat:sync', { rooms: { general: 1 } });
  if (synced.ok) console.log(typed.ok, synced.data.rooms[0]?.messages.length);
  const said = await socket.emitWithAck('chat:message', { content: 'Hello' });
  return said.ok ? said.data : undefined;
}
