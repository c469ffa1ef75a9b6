// The types of ires-chat-client. What comes from the server is in events.d.ts.

import type { ClientToServerEvents, ErrorBody, Message, Room, User } from './events.js';

export type { Ack, ClientToServerEvents, ErrorBody, Message, Room, ServerToClientEvents, User } from './events.js';

/** How a client comes by access tokens: one of these. */
export type Credentials =
  /** A token that another system issued. When it ends, the client stops. */
  | { token: string }
  /** Asked for a token at the beginning, before the last one ends, and when the server would not have it. */
  | { getToken: () => Promise<string | null> | string | null }
  /** An account of the server's own: the client logs in, and refreshes. */
  | { login: { username: string; password: string } }
  /** The same, from what an earlier `session` event told. */
  | { session: { refreshToken: string; accessToken?: string } };

/** `localStorage`, React Native's `AsyncStorage`, or whatever has these two. */
export interface OutboxStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
}

/** How far everything was handed on: what `cursors()` gives. */
export interface Cursors {
  epoch: string | undefined;
  rooms: Record<string, number>;
}

export interface Settings {
  /** Where unsent messages outlive the page. Clients that run at the same time need a `storageKey` each. */
  storage?: OutboxStorage;
  /** Begins the name under which they are kept; our user's id ends it. */
  storageKey?: string;
  /** Goes on where an earlier life of the application stopped: what happened since then is told as if it had been heard. */
  resume?: Cursors;
  /** Most messages that are kept of a room: 200, and those that `loadOlder` brought. */
  windowSize?: number;
  /** More changes than this are not brought one by one: 10,000. The room is `reset`. */
  gapLimit?: number;
  /** Most changes of one room in one answer; the server's own 1,000 if it is not said. */
  syncLimit?: number;
  /** Without an answer for so long the connection is taken for dead: 10,000. */
  ackTimeoutMs?: number;
  /** How long connecting may take until `ready`: 30,000. */
  readyTimeoutMs?: number;
  /** How long `request` and all that is made of it go on trying: 60,000. `send` goes on until it is answered. */
  requestTimeoutMs?: number;
  /** The first pause before another try, and the longest: 500 and 15,000. Half of each is chance. */
  reconnectMinMs?: number;
  reconnectMaxMs?: number;
  /** False: nothing happens until `connect()`. */
  autoConnect?: boolean;
  /** `/chat`. */
  namespace?: string;
  /** Further options of socket.io-client, such as `transports`. */
  socketOptions?: Record<string, unknown>;
  /** socket.io-client's `io`, where it is not imported. */
  io?: (url: string, options: Record<string, unknown>) => unknown;
  fetch?: typeof globalThis.fetch;
  /** Numbers from 0 to 1, for tests. */
  random?: () => number;
}

export type Options = Settings & Credentials;

export type ConnectionState = 'idle' | 'connecting' | 'ready' | 'waiting' | 'stopped' | 'closed';

/** Why something was refused, or did not come about. */
export declare class ChatError extends Error {
  constructor(body: Partial<ErrorBody>);
  /** The contract's, or `DISCONNECTED`, `TIMEOUT`, `NETWORK`, `CLOSED`, `CANCELLED`. */
  readonly code: string;
  /** The HTTP status; 0 for the client's own codes. */
  readonly status: number;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly event?: string;
  readonly ref?: string;
  readonly fields?: ErrorBody['fields'];
  /** Under which the server's log has it. */
  readonly traceId?: string;
}

/** Where a user stands with a room, and since which number. */
export interface Member {
  userId: string;
  state: 'joined' | 'left' | 'banned';
  role: string;
  mutedUntil: string | null;
  joinedAt?: string | null;
  seq: number;
  user?: User;
}

/** A message that waits to be stored. */
export interface Pending {
  clientMsgId: string;
  roomId: string;
  content: string;
  [more: string]: unknown;
}

/** What is known of a room. Kept up to date; read it, and never write to it. */
export interface RoomView {
  readonly id: string;
  readonly slug: string | null;
  readonly type: 'group' | 'public' | 'direct';
  readonly name: string | null;
  readonly topic: string | null;
  readonly archivedAt: string | null;
  readonly createdBy: string | null;
  readonly createdAt: string | null;
  readonly memberCount: number;
  readonly membership: { role: string; joinedAt: string; mutedUntil: string | null; pinned?: boolean } | null;
  /** What we may do: `send`, `pin`, … */
  readonly can: readonly string[];
  readonly lastMessage: Message | null;
  readonly unread: number;
  /** There are more unread than are counted. */
  readonly unreadCapped: boolean;
  readonly mentions: number;
  /** Our own markers. */
  readonly readSeq: number;
  readonly deliveredSeq: number;
  /** The number up to which everything was handed on. */
  readonly lastSeq: number;
  /** The newest messages, ascending, without holes. A message that changes is another object. */
  readonly messages: readonly Message[];
  /** Whether there are messages before these. */
  readonly hasOlder: boolean;
  /** Those of whom something was heard, by user id; `open` loads the first hundred. */
  readonly members: ReadonlyMap<string, Member>;
  /** Who is typing. */
  readonly typing: ReadonlyMap<string, { id: string; name: string | null }>;
  /** How far others have read, as far as it was heard. */
  readonly reads: ReadonlyMap<string, number>;
  /** What we have said here and is not stored yet. */
  readonly pending: readonly Pending[];
  /** Whether `open` has loaded it. */
  readonly isOpen: boolean;
  /** Another number after every change. */
  readonly version: number;
  /** Keeps only so many of the newest messages, from now on. */
  keep(most: number): void;
}

/** What became of a message. */
export interface MessageChange {
  roomId: string;
  seq: number;
  /** `synced`: it happened while we were away; only what came of it is known. `thread`: a reply was said or taken back. */
  kind: 'edited' | 'deleted' | 'reaction' | 'pinned' | 'unpinned' | 'thread' | 'synced';
  messageId: string;
  /** As it is now; undefined for a message that is not among those that are kept. */
  message: Message | undefined;
  /** What the server said, unless it is `thread` or `synced`. */
  event?: unknown;
}

export interface MemberChange {
  roomId: string;
  seq: number;
  /** `joined`, `left`, `removed`, `banned`, `unbanned`, `muted`, `unmuted`, `role`, `owner`, `synced`. */
  reason: string;
  member: Member;
  isMe: boolean;
  event?: unknown;
}

/** What `session` tells: to be kept if the user is to stay logged in. */
export interface LoggedIn {
  user: User;
  accessToken: string;
  refreshToken: string;
  tokenType: 'Bearer';
  expiresIn: number;
  sessionId: string;
}

export interface SessionReady {
  protocol: number;
  user: User;
  sessionId: string;
  tokenExpiresAt: string;
  serverTime: string;
  epoch: string;
  limits: Record<string, unknown>;
  features: Record<string, unknown>;
  defaultRoomId: string;
  rooms: (Room & Record<string, unknown>)[];
}

export interface Presence {
  userId: string;
  isOnline: boolean;
  status: string;
  lastSeenAt: string | null;
}

/** What one may listen to. */
export interface ChatEvents {
  /** A message that is new here: each once, and those of a room by ascending `seq`, whatever happened to the connection. */
  message: [message: Message, room: RoomView];
  /** Something became of a message, in the same order. */
  changed: [change: MessageChange, room: RoomView];
  /** Somebody came, went, or stands otherwise, in the same order. */
  member: [change: MemberChange, room: RoomView];
  /** Something that a room shows is another. */
  room: [room: RoomView];
  /** A room is ours from now on. */
  joined: [room: RoomView];
  /** A room is ours no more. `reason`: `left`, `removed`, `banned`, `room_deleted`; `gone` when it happened while we were away. */
  left: [left: { roomId: string; reason: string; by?: string; note?: string; room: RoomView }];
  /** What was known is of no use: of everything (`epoch`), or of one room (`gap`: too much was missed; `history`). Load anew what you show. */
  reset: [reset: { reason: 'epoch' | 'gap' | 'history'; roomId?: string; room?: RoomView }];
  typing: [typing: { roomId: string; userId: string; isTyping: boolean }, room: RoomView];
  read: [read: { roomId: string; userId: string; readSeq: number; deliveredSeq: number }, room: RoomView];
  presence: [presence: Presence];
  /** A message of ours is stored; also one of an earlier life, from `storage`. */
  sent: [message: Message];
  /** A message of ours will not be stored. */
  refused: [pending: Pending, error: ChatError];
  /** What waits to be stored is another. */
  outbox: [];
  state: [state: ConnectionState];
  /** Connected, and let in. */
  ready: [session: SessionReady];
  /** New tokens of an own account. */
  session: [session: LoggedIn];
  /** For good: the session was revoked, the account or the token is no use. Let the user log in again. */
  stopped: [error: ChatError];
  /** Something went wrong; what can be done about it is being done. */
  error: [error: ChatError];
  notification: [notification: { id: string; type: string; level: string; message: string; data: unknown; timestamp: string }];
  /** An event that this version does not know. */
  event: [name: string, payload: unknown];
}

/** What else a message may have. */
export interface More {
  clientMsgId?: string;
  type?: string;
  replyTo?: string;
  threadRootId?: string;
  mentions?: string[];
  attachments?: Record<string, unknown>[];
  metadata?: Record<string, unknown>;
}

export interface HistoryPage {
  messages: Message[];
  page: { oldestSeq: number | null; newestSeq: number | null; hasOlder: boolean; hasNewer: boolean };
}

export interface Changes {
  roomId: string;
  fromSeq: number;
  toSeq: number;
  limited: boolean;
  gap?: { since: number; until: number };
  reset?: boolean;
  hasMore?: boolean;
  room: Room & Record<string, unknown>;
  messages: Message[];
  members: Member[];
}

export interface Standing {
  userId: string;
  state: 'joined' | 'left' | 'banned';
  role: string;
  joinedAt: string | null;
  mutedUntil: string | null;
}

export interface Marked {
  roomId: string;
  readSeq: number;
  deliveredSeq: number;
  unread: number;
  unreadCapped?: boolean;
  mentions: number;
}

type Answer<F> = F extends (...told: infer A) => unknown ? Extract<A[number], (...answer: never[]) => unknown> : never;
type DataOf<F> = Answer<F> extends (ack: infer K) => unknown ? (K extends { ok: true; data: infer D } ? D : never) : unknown;
type PayloadOf<F> = F extends (payload: infer P, ...more: never[]) => unknown ? P : unknown;

export declare class IresChat {
  constructor(url: string, options: Options);

  readonly state: ConnectionState;
  readonly me: User | null;
  readonly session: SessionReady | null;
  /** Our rooms, by id. */
  readonly rooms: ReadonlyMap<string, RoomView>;
  /** Who is there, as far as it was heard, by user id. */
  readonly presence: ReadonlyMap<string, Presence>;

  /** Listens; what it returns stops listening. */
  on<E extends keyof ChatEvents>(event: E, listener: (...told: ChatEvents[E]) => void): () => void;
  once<E extends keyof ChatEvents>(event: E, listener: (...told: ChatEvents[E]) => void): () => void;
  off<E extends keyof ChatEvents>(event: E, listener: (...told: ChatEvents[E]) => void): void;

  connect(): void;
  /** Ends everything: no timer, no connection, no listener is left. */
  close(): void;

  /** The room with this id or slug. */
  room(idOrSlug: string): RoomView | undefined;
  /** Says something; resolves with the message as it is stored, however often it must be sent. */
  send(roomId: string, content: string, more?: More): Promise<Message>;
  /** What is not stored yet, in the order in which it was said. */
  pending(roomId?: string): Pending[];
  /** Takes back what is not stored yet; if it was under way, it may be stored all the same. */
  cancel(clientMsgId: string): boolean;

  edit(messageId: string, content: string, more?: { mentions?: string[]; expectedRev?: number }): Promise<{ id: string; changed: boolean; seq: number | null; rev: number; editedAt: string | null; editCount: number }>;
  delete(messageId: string, reason?: string): Promise<{ id: string; changed: boolean; seq: number | null }>;
  react(messageId: string, emoji: string): Promise<{ changed: boolean; counts: Record<string, number>; seq: number | null }>;
  unreact(messageId: string, emoji: string): Promise<{ changed: boolean; counts: Record<string, number>; seq: number | null }>;
  pin(messageId: string): Promise<{ changed: boolean; seq: number | null }>;
  unpin(messageId: string): Promise<{ changed: boolean; seq: number | null }>;

  /** Everything up to a message has been read; without a number everything that was heard. */
  read(roomId: string, seq?: number, visibility?: 'public' | 'private'): Promise<Marked>;
  markUnread(roomId: string, seq: number): Promise<Marked>;
  typing(roomId: string, isTyping?: boolean): void;

  /** Loads the newest messages, the first hundred members and who is there, and keeps them as they are. */
  open(roomId: string, limit?: number): Promise<RoomView>;
  /** Loads the messages before those that are there; says how many came. */
  loadOlder(roomId: string, limit?: number): Promise<number>;
  /** A page of history; without an anchor the newest. */
  history(roomId: string, anchor?: { before?: number; after?: number; around?: number; at?: string; firstUnread?: true; limit?: number }): Promise<HistoryPage>;
  changes(roomId: string, since: number, more?: { until?: number; limit?: number }): Promise<Changes>;

  createRoom(room: { name?: string; participants?: string[]; type?: 'group' | 'public' | 'direct'; slug?: string; clientRoomId?: string }): Promise<RoomView>;
  join(roomId: string): Promise<RoomView>;
  leave(roomId: string): Promise<{ roomId: string }>;
  updateRoom(roomId: string, changes: { name?: string; topic?: string; archived?: boolean }): Promise<Room>;
  invite(roomId: string, userId: string, role?: string): Promise<Standing>;
  kick(roomId: string, userId: string, reason?: string): Promise<Standing>;
  ban(roomId: string, userId: string, reason?: string): Promise<Standing>;
  unban(roomId: string, userId: string): Promise<Standing>;
  /** For so long; 0 ends it. */
  mute(roomId: string, userId: string, durationMs: number): Promise<Standing>;
  setRole(roomId: string, userId: string, role: string): Promise<Standing>;

  setOnline(isOnline: boolean): Promise<{ status: string }>;
  /** Hears of these users from now on, also after a reconnect. */
  watch(userIds: string[]): Promise<Presence[]>;

  /** How far everything was handed on: for `resume` in a later life. */
  cursors(): Cursors;
  /** Emits an event of the contract and gives the ack's data; tried again through disconnections and whatever passes. */
  request<E extends keyof ClientToServerEvents>(event: E, payload: PayloadOf<ClientToServerEvents[E]>): Promise<DataOf<ClientToServerEvents[E]>>;
  request(event: string, payload: unknown): Promise<unknown>;
  /** A REST request below `/api/v1`, with the token; tried again, so for what may be done twice. */
  rest(method: 'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'POST', path: string, body?: unknown): Promise<unknown>;
  /** Gives the account another password: its sessions elsewhere end, and this one goes on. Tried once. */
  changePassword(currentPassword: string, newPassword: string): Promise<void>;
  /** Ends the session on the server, here or on all devices, and closes. */
  logout(allDevices?: boolean): Promise<void>;
}
