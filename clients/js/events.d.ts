// The events of the contract and their payloads: see the README of ires-chat. Provisional, until it is made from the server's schemas.

export type UserType = 'user' | 'admin' | 'bot';
export type Role = 'owner' | 'admin' | 'moderator' | 'member' | 'guest';
export type RoomType = 'group' | 'public' | 'direct';

export interface User {
  id: string;
  username: string | null;
  name: string | null;
  avatarUrl: string | null;
  userType: UserType;
}

export interface Message {
  id: string;
  roomId: string;
  seq: number;
  rev: number;
  sender: { id: string; name: string | null; avatarUrl: string | null; userType: UserType };
  senderId: string;
  content: string;
  type: string;
  replyTo: string | null;
  threadRootId: string | null;
  thread?: { replyCount: number; lastReplyAt: string | null; participants: string[] };
  mentions: string[];
  attachments: Record<string, unknown>[];
  reactions: Record<string, number>;
  ownReactions?: string[];
  metadata?: Record<string, unknown>;
  createdAt: string;
  timestamp: string;
  editedAt: string | null;
  editCount?: number;
  deletedAt: string | null;
  deletedBy?: 'author' | 'moderator';
  deleteReason?: string;
  pinnedAt?: string;
  pinnedBy?: string;
  clientMsgId?: string;
  duplicate?: boolean;
}

export interface Room {
  id: string;
  slug: string | null;
  type: RoomType;
  name: string | null;
  topic: string | null;
  createdBy: string | null;
  createdAt: string;
  archivedAt: string | null;
  memberCount: number;
  lastSeq: number;
  lastMessage: Message | null;
}

export interface ErrorBody {
  code: string;
  message: string;
  status: number;
  retryable: boolean;
  retryAfterMs?: number;
  event?: string;
  ref?: string;
  fields?: Record<string, { code: string; message: string }[]>;
  traceId: string;
  timestamp: string;
}

export type Ack<T> = { ok: true; data: T; warnings?: string[] } | { ok: false; error: ErrorBody };

export interface NewMessage {
  content: string;
  roomId?: string;
  clientMsgId?: string;
  type?: string;
  replyTo?: string;
  threadRootId?: string;
  mentions?: string[];
  attachments?: Record<string, unknown>[];
  metadata?: Record<string, unknown>;
}

export interface Status {
  userId: string;
  isOnline: boolean;
  status: string;
  lastSeenAt: string | null;
  timestamp: string;
  serverTime: string;
}

export interface Typing {
  roomId: string;
  userId: string;
  user: { id: string; name: string | null };
  isTyping: boolean;
  ttlMs: number;
  timestamp: string;
}

export interface ClientToServerEvents {
  'chat:message': (payload: NewMessage, ack: (ack: Ack<Message>) => void) => void;
  'chat:room:join': (payload: string | { roomId: string; since?: number }, ack: (ack: Ack<{ room: Room; messages: Message[]; lastSeq: number }>) => void) => void;
  'status:typing': (payload: { isTyping: boolean; roomId?: string }, ack: (ack: Ack<object>) => void) => void;
}

export interface ServerToClientEvents {
  'chat:message': (message: Message) => void;
  'status:online': (status: Status) => void;
  'status:offline': (status: Status) => void;
  'status:typing': (typing: Typing) => void;
  'system:error': (error: ErrorBody) => void;
}
