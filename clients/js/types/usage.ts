// What an application may write, and what it may not: compiled by tsc --strict, never run.

import { ChatError, IresChat, type Message, type RoomView } from 'ires-chat-client';

const chat = new IresChat('http://localhost:3000', { getToken: async () => 'token', storage: { getItem: () => null, setItem: () => {} } });
new IresChat('http://localhost:3000', { token: 'token' });
new IresChat('http://localhost:3000', { login: { username: 'carol', password: 'secret' }, windowSize: 50 });
// @ts-expect-error one way to come by tokens is needed
new IresChat('http://localhost:3000', {});
// @ts-expect-error there is no such option
new IresChat('http://localhost:3000', { token: 'token', windowsize: 50 });

const off: () => void = chat.on('message', (message, room) => {
  const text: string = `${message.sender.name}: ${message.content} (${message.seq} of ${room.lastSeq})`;
  console.log(text);
});
off();
chat.on('changed', ({ kind, message }) => console.log(kind === 'deleted', message?.reactions['👍']));
chat.on('stopped', (error) => console.log(error.code, error.fields?.content?.[0]?.message));
chat.on('session', ({ refreshToken }) => console.log(refreshToken));
chat.on('reset', ({ reason, roomId }) => console.log(reason, roomId));
// @ts-expect-error there is no such event
chat.on('messages', () => {});

export async function use(): Promise<void> {
  const room: RoomView = await chat.open('general');
  const message: Message = await chat.send(room.id, 'Hello', { mentions: ['bob'], metadata: { colour: 'red' } });
  await chat.edit(message.id, 'Hello!');
  await chat.react(message.id, '👍');
  await chat.read(room.id, message.seq);
  const { messages, page } = await chat.history(room.id, { before: message.seq, limit: 20 });
  console.log(messages.length, page.hasOlder, room.pending.map(({ content }) => content));
  const stored = await chat.request('chat:message', { content: 'directly' });
  console.log(stored.seq);
  await chat.request('an:event:of:tomorrow', {});
  // @ts-expect-error a view is to be read
  room.unread = 0;
  // @ts-expect-error text is said
  await chat.send(room.id, 5);
  chat.close();
}

export function explain(error: unknown): string {
  return error instanceof ChatError ? `${error.code} (${error.traceId ?? 'here'})` : String(error);
}
