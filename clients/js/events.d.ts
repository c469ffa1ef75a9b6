// Made by `ires-chat spec typescript`: do not edit.
//
// const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io('http://localhost:3000/chat', { auth: { token } });

/** What an acknowledgement brings: every event is answered exactly once. */
export type Ack<T> = { ok: true; data: T; warnings?: string[] } | { ok: false; error: ErrorBody };

/** A rate as `session.ready` announces it. */
export interface Announced {
  /** At once. */
  burst: number;
  /** Again, each second. */
  perSecond: number;
}

/** What logging in comes to. */
export interface Authenticated {
  /** The session, to be revoked by. */
  sessionId: string;
  /** When the token ends. */
  tokenExpiresAt: Time;
  /** Who one is. */
  user: User;
}

/** A ban in the list of them. */
export interface Ban {
  /** Since when. */
  bannedAt: Time | null;
  /** By whom. */
  by: UserId | null;
  /** What was given as the reason. */
  reason: string | null;
  /** Who is banned. */
  user: User;
}

/** A page of a list. */
export interface BanPage {
  /** What is on it. */
  items: Ban[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** What happened in one room. */
export interface Changes {
  /** Everything after this number, */
  fromSeq: number;
  /** What is missing. */
  gap?: Gap;
  /** Whether another page follows, where pages were asked for. */
  hasMore?: boolean;
  /** Whether something is missing: see `gap`. */
  limited: boolean;
  /** Memberships that changed, likewise. */
  members: MemberMoved[];
  /** Messages that changed, in their present state, by the number of their last change. */
  messages: Message[];
  /** Whether the client knows of numbers that the room has not reached: what it has is of another history. */
  reset?: boolean;
  /** The room as the caller sees it. */
  room: RoomOverview;
  /** Where. */
  roomId: RoomId;
  /** up to this one. */
  toSeq: number;
}

/** What `chat:room:create` brings. */
export interface CreateRoom {
  /** Makes the call repeatable: the same again answers the first room. */
  clientRoomId?: string | null;
  /** The name shown; a direct room needs none. */
  name?: string | null;
  /** Ids of users, or user names of own accounts: they are in the room at once. A direct room has one. */
  participants?: string[] | null;
  /** A readable name for addresses, one in the whole system. */
  slug?: string | null;
  /** Who may come in: `group` unless said otherwise. */
  type?: RoomType | null;
}

/** What `chat:message:delete` brings. */
export interface DeleteMessage {
  /** Which message. */
  messageId: string;
  /** Why, for all to read. */
  reason?: string | null;
}

/** What a deletion came to. */
export interface Deleted {
  /** Whether it was still there. */
  changed: boolean;
  /** The message. */
  id: MessageId;
  /** The number of the deletion; `null` when it had been deleted before. */
  seq: number | null;
}

/** Whose right it was to delete a message. */
export type DeletedBy = 'author' | 'moderator' | 'retention';

/** What is answered to an event that was dropped, since it would soon be out of date. */
export interface Dropped {
  /** It did nothing. */
  dropped: true;
  /** When the next one counts, in milliseconds. */
  retryAfterMs: number;
}

/** What a message said before one of its edits. */
export interface EarlierText {
  /** The text. */
  content: string;
  /** The ids of the members that it mentioned. */
  mentions: UserId[];
  /** The number of the edit that replaced it, from 1. */
  number: number;
  /** When it was replaced. */
  replacedAt: Time;
  /** By whom. */
  replacedBy: UserId;
  /** When it was said. */
  saidAt: Time;
}

/** A page of a list. */
export interface EarlierTextPage {
  /** What is on it. */
  items: EarlierText[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** What `chat:message:edit` brings. */
export interface EditMessage {
  /** What it says from now on. */
  content: string;
  /** The `rev` that the message must have: otherwise `CONFLICT`. */
  expectedRev?: number | null;
  /** The ids of the users that it mentions from now on; without it they stay. */
  mentions?: string[] | null;
  /** Which message. */
  messageId: string;
}

/** What an edit came to. */
export interface Edited {
  /** Whether it said something else before. */
  changed: boolean;
  /** How often it was edited. */
  editCount: number;
  /** When it was last edited. */
  editedAt: Time | null;
  /** The message. */
  id: MessageId;
  /** The number of the message's last change. */
  rev: number;
  /** The number of the edit; `null` when nothing was changed. */
  seq: number | null;
}

/** Why somebody is in a room no longer. */
export type EndOfMembership = 'left' | 'removed' | 'banned' | 'room_deleted';

/** What becomes of what a user said. */
export type ErasedMessages = 'keep' | 'delete';

/** An erasure that has begun. */
export interface Erasing {
  /** What becomes of what the user said. */
  messages: ErasedMessages;
}

/** The error object of the contract, the same on sockets and over REST. */
export interface ErrorBody {
  /** The stable code. */
  code: ErrorCode;
  /** Which event failed. */
  event?: string;
  /** What is wrong with which field. */
  fields?: Record<string, FieldFault[]>;
  /** A sentence for people. */
  message: string;
  /** The `clientMsgId` or `clientRoomId` of what failed. */
  ref?: string;
  /** When to try again, in milliseconds. */
  retryAfterMs?: number;
  /** Whether the same may work later. */
  retryable: boolean;
  /** The HTTP status that goes with the code. */
  status: number;
  /** When it failed. */
  timestamp: Time;
  /** Under which the server's log has it: the trace of the request's `traceparent`, or else its `X-Request-Id`. */
  traceId: string;
}

/** The stable code of an error: new ones may come, and none changes. */
export type ErrorCode = 'AUTH_REQUIRED' | 'AUTH_TOKEN_MISSING' | 'AUTH_TOKEN_INVALID' | 'AUTH_TOKEN_EXPIRED' | 'AUTH_TIMEOUT' | 'AUTH_REVOKED' | 'AUTH_USER_TYPE_INVALID' | 'AUTH_IDENTITY_MISMATCH' | 'INVALID_CREDENTIALS' | 'VALIDATION_ERROR' | 'PAYLOAD_INVALID' | 'PAYLOAD_TOO_LARGE' | 'UNKNOWN_EVENT' | 'FORBIDDEN' | 'ROOM_NOT_FOUND' | 'NOT_A_MEMBER' | 'BANNED' | 'MUTED' | 'ROOM_ARCHIVED' | 'USER_NOT_FOUND' | 'MESSAGE_NOT_FOUND' | 'EDIT_WINDOW_CLOSED' | 'CONFLICT' | 'IDEMPOTENCY_MISMATCH' | 'RATE_LIMITED' | 'CONNECTION_LIMIT' | 'SERVER_DRAINING' | 'REQUEST_TIMEOUT' | 'SLOW_CONSUMER' | 'UNAVAILABLE' | 'NOT_FOUND' | 'METHOD_NOT_ALLOWED' | 'INTERNAL_ERROR';

/** A page of what is kept of a user. */
export interface Export {
  /** What the user's messages said before they were edited. */
  edits: ExportedEdit[];
  /** Rooms that the user is or was in. */
  memberships: ExportedMembership[];
  /** What the user said; what was deleted has no content. */
  messages: ExportedMessage[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
  /** What the user pinned. */
  pins: ExportedPin[];
  /** Who the user is; on the first page. */
  profile?: ExportedProfile;
  /** What the user reacted with. */
  reactions: ExportedReaction[];
  /** Sessions that stand. */
  sessions: ExportedSession[];
}

/** What a message of the user's said before it was edited. */
export interface ExportedEdit {
  /** The text. */
  content: string;
  /** The ids of the members that it mentioned. */
  mentions: UserId[];
  /** Which message. */
  messageId: MessageId;
  /** The number of the edit that replaced it, from 1. */
  number: number;
  /** When it was replaced. */
  replacedAt: Time;
  /** When it was said. */
  saidAt: Time;
}

/** Where the user stands, or stood, with a room, and the markers there. */
export interface ExportedMembership {
  /** What was given as the reason. */
  banReason: string | null;
  /** Since when the user is banned. */
  bannedAt: Time | null;
  /** How far messages have reached the user. */
  deliveredSeq: number;
  /** Since when, the last time. */
  joinedAt: Time;
  /** Until when the user may not send. */
  mutedUntil: Time | null;
  /** Whether the user keeps the room at the top. */
  pinned: boolean;
  /** How far messages have reached the user, as others may know it. */
  publicDeliveredSeq: number;
  /** How far the user has read, as others may know it. */
  publicReadSeq: number;
  /** When that last moved. */
  readAt: Time | null;
  /** How far the user has read. */
  readSeq: number;
  /** The role, or the last one. */
  role: Role;
  /** The room. */
  roomId: RoomId;
  /** Its name. */
  roomName: string | null;
  /** Whether the user is in it. */
  state: MemberState;
}

/** A message that the user sent. */
export interface ExportedMessage {
  /** As the client described them. */
  attachments: Record<string, unknown>[];
  /** What the sender's client calls it. */
  clientMsgId: string | null;
  /** The text. */
  content: string;
  /** When it was stored. */
  createdAt: Time;
  /** Why, if it was the user who deleted it and said so. */
  deleteReason?: string;
  /** When it was deleted. */
  deletedAt: Time | null;
  /** When it was last edited. */
  editedAt: Time | null;
  /** The id. */
  id: MessageId;
  /** The ids of the members that it mentions. */
  mentions: UserId[];
  /** The frontend's own. */
  metadata: Record<string, unknown> | null;
  /** The message that it answers. */
  replyTo: MessageId | null;
  /** Where. */
  roomId: RoomId;
  /** Its number there. */
  seq: number;
  /** The first message of its thread. */
  threadRootId: MessageId | null;
  /** What the frontend calls it. */
  type: string;
}

/** A message that the user pinned. */
export interface ExportedPin {
  /** Which message. */
  messageId: MessageId;
  /** When. */
  pinnedAt: Time;
  /** Where. */
  roomId: RoomId;
}

/** Who a user is. */
export interface ExportedProfile {
  /** Where the picture is. */
  avatarUrl: string | null;
  /** When the user was first seen. */
  createdAt: Time;
  /** Since when the user may not come in. */
  deactivatedAt: Time | null;
  /** Whether it is an account of the server's own. */
  hasPassword: boolean;
  /** The id. */
  id: UserId;
  /** Whether the user looks offline to others. */
  invisible: boolean;
  /** When the user was last seen. */
  lastSeenAt: Time | null;
  /** The name to show. */
  name: string | null;
  /** When the profile last changed. */
  updatedAt: Time;
  /** `user`, `admin` or `bot`. */
  userType: UserType;
  /** The name to log in with, or the first token's `preferred_username`. */
  username: string | null;
}

/** A reaction of the user's. */
export interface ExportedReaction {
  /** When. */
  createdAt: Time;
  /** The emoji. */
  emoji: string;
  /** To which message. */
  messageId: MessageId;
  /** Where. */
  roomId: RoomId;
}

/** A session, without its tokens. */
export interface ExportedSession {
  /** When it began. */
  createdAt: Time;
  /** When it ends by itself. */
  expiresAt: Time;
  /** Its id. */
  id: string;
  /** When it was last refreshed. */
  lastUsedAt: Time;
}

/** What is served. */
export interface Features {
  /** `chat:room:join` of an unknown slug makes a public room. */
  autoCreateRooms: boolean;
  /** Accounts of the server's own. */
  registration: boolean;
}

/** One reason why a field is not valid. */
export interface FieldFault {
  /** `required`, `type`, `too_short`, `too_long`, `nul`, `surrogate`, `range` or `invalid`; of a new password also `frequent`, `obvious` or `breached`. */
  code: string;
  /** The rule in words. */
  message: string;
}

/** A message that was found. */
export interface Found {
  /** Where in its content the terms are. */
  highlights: Highlight[];
  /** The message, as in history. */
  message: Message;
  /** Where it was said. */
  roomId: RoomId;
}

/** A page of a list. */
export interface FoundPage {
  /** What is on it. */
  items: Found[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** Numbers whose changes are missing. */
export interface Gap {
  /** After this one, */
  since: number;
  /** up to this one. */
  until: number;
}

/** A part of a message's content that a term was found in, in UTF-16 code units, as JavaScript counts them. */
export interface Highlight {
  /** and where what follows it begins. */
  end: number;
  /** Where it begins, */
  start: number;
}

/** A page of history, in ascending order. */
export interface HistoryPage {
  /** The messages. */
  messages: Message[];
  /** Where it lies. */
  page: PageBounds;
}

/** What `chat:room:invite` brings. */
export interface Invite {
  /** In which role: a member's unless said otherwise. */
  role?: Role | null;
  /** The room's id or slug. */
  roomId: string;
  /** The user's id, or the user name of an own account. */
  userId: string;
}

/** What `chat:room:join` brings. */
export interface JoinRoom {
  /** The room's id or slug. */
  roomId: string;
  /** The last number that one knows of: the snapshot has the messages after it, if they are at most 100. */
  since?: number | null;
}

/** What a member is shown of a room on entering: `chat:room:joined` to oneself. */
export interface JoinedSnapshot {
  /** Whether there are messages before these. */
  hasOlder: boolean;
  /** The last number in the room that this knows of. */
  lastSeq: number;
  /** The first 50 members. */
  members: Member[];
  /** The membership. */
  membership: Membership;
  /** The last 30 messages, or all since the number that was asked for. */
  messages: Message[];
  /** Which of these are online. */
  presence: UserId[];
  /** How far the member has read. */
  read: ReadMarkers;
  /** The room. */
  room: Room;
  /** Where. */
  roomId: RoomId;
  /** What tells it from what the others hear. */
  self: true;
  /** When it was read. */
  timestamp: Time;
  /** Who is typing. */
  typing: UserId[];
  /** Who entered: the one who hears it. */
  userId: UserId;
}

/** What `chat:room:leave` brings. */
export interface LeaveRoom {
  /** The room's id or slug. */
  roomId: string;
}

/** How much is allowed. */
export interface Limits {
  /** Attachments of a message. */
  attachments: number;
  /** Connections of a user; `null` is any number. */
  connections: number | null;
  /** Characters of a message. */
  content: number;
  /** For how long a message may be edited; 0 is for ever. */
  editWindowMs: number;
  /** Bytes of an event. */
  eventBytes: number;
  /** Mentions in a message. */
  mentions: number;
  /** Participants of a new room. */
  participants: number;
  /** Pins of a room. */
  pins: number;
  /** Members of a room above which comings and goings are not told one by one. */
  quietRoomSize: number;
  /** How many events of a class, by its name; what is not named is not limited. */
  rates: Record<string, Announced>;
  /** Different emoji at a message. */
  reactions: number;
  /** Characters of a room's name. */
  roomName: number;
  /** Users that one socket hears of by subscription. */
  subscribedUsers: number;
  /** For how long typing holds. */
  typingTtlMs: number;
}

/** What `auth:login` brings. */
export interface LogIn {
  /** An access token, with or without `Bearer`. */
  token: string;
  /** The type that the token must have. */
  userType?: UserType | null;
}

/** What logging out may bring. */
export interface LogOut {
  /** Whether all sessions of the user end. */
  allDevices?: boolean | null;
}

/** What logging in answers. */
export interface LoggedIn {
  /** For the `Authorization` header and for sockets. */
  accessToken: string;
  /** How long the access token lasts, in seconds. */
  expiresIn: number;
  /** For `POST /auth/refresh`, once. */
  refreshToken: string;
  /** What the two tokens belong to. */
  sessionId: string;
  tokenType: 'Bearer';
  /** Who logged in. */
  user: User;
}

/** A session has ended. */
export interface LoggedOut {
  /** Whether all others of the user ended, too. */
  allDevices: boolean;
  /** Which. */
  sessionId: string;
}

/** What `chat:read` brings: one of the two numbers, or both. */
export interface MarkRead {
  /** Everything up to this number has reached this device. */
  deliveredSeq?: number | null;
  /** The room's id or slug. */
  roomId: string;
  /** Everything up to this number was read. */
  seq?: number | null;
  /** Whether others may know: `public` unless said otherwise. */
  visibility?: Visibility | null;
}

/** What `chat:unread:mark` brings. */
export interface MarkUnread {
  /** The room's id or slug. */
  roomId: string;
  /** The number of the first message that is unread again. */
  seq: number;
}

/** Where a member's own markers are now, and what is unread after them. */
export interface Marked {
  /** Everything up to here has reached a device. */
  deliveredSeq: number;
  /** How many of them mention the member. */
  mentions: number;
  /** Everything up to here was read. */
  readSeq: number;
  /** Where. */
  roomId: RoomId;
  /** Messages after the read marker that are neither the member's own nor deleted, up to 1,000. */
  unread: number;
  /** Whether there are, or may be, more than that: only the 10,000 numbers after the marker are looked into. */
  unreadCapped?: boolean;
}

/** `chat:read`. */
export interface MarkersMoved {
  /** When they moved. */
  at: Time;
  /** Everything up to here has reached a device. */
  deliveredSeq: number;
  /** How many of them mention the member. */
  mentions?: number;
  /** Everything up to here was read. */
  readSeq: number;
  /** Where. */
  roomId: RoomId;
  /** Messages after the read marker that are neither the member's own nor deleted, up to 1,000. */
  unread?: number;
  /** Whether there are, or may be, more than that: only the 10,000 numbers after the marker are looked into. */
  unreadCapped?: boolean;
  /** Whose markers. */
  userId: UserId;
}

/** A member in the list of them. */
export interface Member {
  /** Since when. */
  joinedAt: Time;
  /** Until when this member may not send. */
  mutedUntil: Time | null;
  /** The standing. */
  role: Role;
  /** Who. */
  user: User;
}

/** `chat:room:member`. */
export interface MemberChanged {
  /** By whom; `null` when ownership passed on by itself. */
  by: UserId | null;
  /** Where the one stands now who owned the room until now. */
  formerOwner?: Standing;
  /** Where they stand now. */
  membership: Standing;
  /** What became of them. */
  reason: 'banned' | 'unbanned' | 'muted' | 'unmuted' | 'role' | 'owner';
  /** Where. */
  roomId: RoomId;
  /** The number of the change. */
  seq: number;
  /** When. */
  timestamp: Time;
  /** Who. */
  userId: UserId;
}

/** `chat:room:joined` as the other members hear it. */
export interface MemberJoined {
  /** Who brought them in, or themselves. */
  by: UserId;
  /** How many members the room has now. */
  memberCount: number;
  /** In which role. */
  role: Role;
  /** Where. */
  roomId: RoomId;
  /** The number of the change. */
  seq: number;
  /** When. */
  timestamp: Time;
  /** The same, to be shown. */
  user: User;
  /** Who came. */
  userId: UserId;
}

/** `chat:room:left`. */
export interface MemberLeft {
  /** By whom; missing when the room is gone, and when it happened at another server. */
  by?: UserId;
  /** How many members the room has now. */
  memberCount: number;
  /** The reason that was given. */
  note?: string;
  /** Why. */
  reason: EndOfMembership;
  /** Where. */
  roomId: RoomId;
  /** Whether it is the one who hears it. */
  self?: boolean;
  /** The number of the change; `null` in large rooms, where it is told to the leaver only, and when it happened at another server. */
  seq: number | null;
  /** When. */
  timestamp: Time;
  /** Who; `null` when the room is gone. */
  userId: UserId | null;
}

/** Where somebody stands, and since which of the room's numbers. */
export interface MemberMoved {
  /** Since when they are in the room; `null` if they are not. */
  joinedAt: Time | null;
  /** Until when they may not send, also after they came back. */
  mutedUntil: Time | null;
  /** The role, or the last one. */
  role: Role;
  /** The number of the last change of it. */
  seq: number;
  /** Whether they are in the room. */
  state: MemberState;
  /** Who. */
  user: User;
  /** Who. */
  userId: UserId;
}

/** A page of a list. */
export interface MemberPage {
  /** What is on it. */
  items: Member[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** Whether somebody is in a room. */
export type MemberState = 'joined' | 'left' | 'banned';

/** A member's row. */
export interface Membership {
  /** Since when. */
  joinedAt: Time;
  /** Until when this member may not send. */
  mutedUntil: Time | null;
  /** Whether this member keeps the room at the top. */
  pinned: boolean;
  /** The standing. */
  role: Role;
}

/** A message as the contract shows it. */
export interface Message {
  /** As the client described them. */
  attachments: Record<string, unknown>[];
  /** What the sender's client calls it. */
  clientMsgId?: string;
  /** The text; empty once it was deleted. */
  content: string;
  /** When it was stored. */
  createdAt: Time;
  /** Why, in their words. */
  deleteReason?: string;
  /** When it was deleted. */
  deletedAt: Time | null;
  /** Who deleted it. */
  deletedBy?: DeletedBy;
  /** Whether this answers a repeat. */
  duplicate?: boolean;
  /** How often it was edited. */
  editCount?: number;
  /** When it was last edited. */
  editedAt: Time | null;
  /** The id. */
  id: MessageId;
  /** The ids of the members that it mentions. */
  mentions: UserId[];
  /** The frontend's own. */
  metadata?: Record<string, unknown>;
  /** The emoji that the asker reacted with, where there is one asker. */
  ownReactions?: string[];
  /** Since when it is pinned. */
  pinnedAt?: Time;
  /** Who pinned it. */
  pinnedBy?: UserId;
  /** Counts by emoji. */
  reactions: Record<string, number>;
  /** The message that it answers. */
  replyTo: MessageId | null;
  /** The number of its last change. */
  rev: number;
  /** Where it was said. */
  roomId: RoomId;
  /** Who said it. */
  sender: Sender;
  /** The sender's id again, for clients of the seed's gateway. */
  senderId: UserId;
  /** Its number in the room. */
  seq: number;
  /** The thread that it is the root of. */
  thread?: Thread;
  /** The first message of its thread. */
  threadRootId: MessageId | null;
  /** The same again, for clients of the seed's gateway. */
  timestamp: Time;
  /** `text`, or a word of the frontend's own. */
  type: string;
}

/** `chat:message:edited`. */
export interface MessageEdited {
  /** What it says now. */
  content: string;
  /** How often it was edited. */
  editCount: number;
  /** When it was edited. */
  editedAt: Time;
  /** The ids of the members that it mentions now. */
  mentions: UserId[];
  /** Which message. */
  messageId: MessageId;
  /** The number that the message was born with. */
  messageSeq: number;
  /** Where. */
  roomId: RoomId;
  /** The number of the edit, and so the message's `rev`. */
  seq: number;
}

/** A message's id. */
export type MessageId = string;

/** A page of a list. */
export interface MessagePage {
  /** What is on it. */
  items: Message[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** `chat:message:deleted`. */
export interface MessagesDeleted {
  /** Whose right it was. */
  deletedBy: DeletedBy;
  /** Which messages. */
  messageIds: MessageId[];
  /** The numbers that they were born with, in the same order. */
  messageSeqs: number[];
  /** Why, in their words. */
  reason?: string;
  /** Where. */
  roomId: RoomId;
  /** The number of the deletion, and so the messages' `rev`. */
  seq: number;
}

/** What `chat:room:mute` brings: `until` or `durationMs`; `null` or 0 ends the mute. */
export interface Mute {
  /** For how long, in milliseconds. */
  durationMs?: number | null;
  /** The room's id or slug. */
  roomId: string;
  /** Until when, RFC 3339. */
  until?: string | null;
  /** The user's id. */
  userId: string;
}

/** `exception`. */
export interface NestException {
  /** The stable code. */
  code: ErrorCode;
  /** A sentence for people. */
  message: string;
  /** `error`. */
  status: string;
}

/** `{}`. */
export type Nothing = Record<string, unknown>;

/** `system:notification`, by `type`. */
export type Notification = { data: SessionReady; id: string; level: 'success'; /** A sentence for people. */ message: string; success: true; timestamp: Time; type: 'session.ready'; } | { data: Authenticated; id: string; level: 'success'; /** A sentence for people. */ message: string; success: true; timestamp: Time; type: 'auth.login'; } | { data: LoggedOut; id: string; level: 'info'; /** A sentence for people. */ message: string; success: true; timestamp: Time; type: 'auth.logout'; } | { data: VisibilityChanged; id: string; level: 'info'; /** A sentence for people. */ message: string; success: true; timestamp: Time; type: 'presence.visibility'; } | { data: TokenExpiring; id: string; level: 'warning'; /** A sentence for people. */ message: string; success: false; timestamp: Time; type: 'auth.expiring'; } | { data: ServerDraining; id: string; level: 'info'; /** A sentence for people. */ message: string; success: true; timestamp: Time; type: 'server.draining'; };

/** One's own presence. */
export interface OwnStatus {
  /** Whether one looks offline to them whatever one does. */
  invisible: boolean;
  /** Whether they are here. */
  isOnline: boolean;
  /** When they were last seen; `null` is never. */
  lastSeenAt: Time | null;
  /** The server's clock, for clients that show "5 minutes ago". */
  serverTime: Time;
  /** The same as a word: `online` or `offline`. */
  status: 'online' | 'offline';
  /** When this became so, or was asked. */
  timestamp: Time;
  /** Who. */
  userId: UserId;
}

/** The bounds of a page, and whether there is more on either side. */
export interface PageBounds {
  /** Whether there are newer messages. */
  hasNewer: boolean;
  /** Whether there are older messages. */
  hasOlder: boolean;
  /** The number of the last message; `null` for a page without any. */
  newestSeq: number | null;
  /** The number of the first message; `null` for a page without any. */
  oldestSeq: number | null;
}

/** What `chat:message:pin` and `chat:message:unpin` bring. */
export interface PinMessage {
  /** Which message. */
  messageId: string;
}

/** `chat:message:pinned` and `chat:message:unpinned`. */
export interface PinMoved {
  /** By whom. */
  by: UserId;
  /** Which message. */
  messageId: MessageId;
  /** The number that the message was born with. */
  messageSeq: number;
  /** Where. */
  roomId: RoomId;
  /** The number of the change. */
  seq: number;
}

/** What pinning or unpinning came to. */
export interface Pinned {
  /** Whether it was otherwise before. */
  changed: boolean;
  /** The number of the change; `null` when there was none. */
  seq: number | null;
}

/** What `chat:reaction:add` and `chat:reaction:remove` bring. */
export interface React {
  /** An emoji or a `:shortcode:` of up to 64 bytes, without spaces and control characters. */
  emoji: string;
  /** To which message. */
  messageId: string;
}

/** What a reaction came to. */
export interface Reacted {
  /** Whether it was not there before, or was there before it was removed. */
  changed: boolean;
  /** How often each emoji is among the reactions now. */
  counts: Record<string, number>;
  /** The number of the change; `null` when there was none. */
  seq: number | null;
}

/** A reaction in the list of them. */
export interface Reaction {
  /** When. */
  createdAt: Time;
  /** The emoji. */
  emoji: string;
  /** Who. */
  user: User;
}

/** `chat:reaction:added` and `chat:reaction:removed`. */
export interface ReactionMoved {
  /** How often each emoji is among the reactions now. */
  counts: Record<string, number>;
  /** The emoji. */
  emoji: string;
  /** Which message. */
  messageId: MessageId;
  /** The number that the message was born with. */
  messageSeq: number;
  /** Where. */
  roomId: RoomId;
  /** The number of the change. */
  seq: number;
  /** Whose reaction. */
  userId: UserId;
}

/** A page of a list. */
export interface ReactionPage {
  /** What is on it. */
  items: Reaction[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** Who has read a message. */
export interface ReadBy {
  /** How many it has reached. */
  deliveredCount: number;
  /** What is on it. */
  items: Receipt[];
  /** How many members the room has. */
  memberCount: number;
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
  /** How many have read the message and let others know. */
  readCount: number;
}

/** A member's own markers, as shown with a room. */
export interface ReadMarkers {
  /** Everything up to here has reached a device. */
  deliveredSeq: number;
  /** Everything up to here was read. */
  seq: number;
}

/** Somebody who has read a message, as others may know it. */
export interface Receipt {
  /** Since when. */
  readAt: Time | null;
  /** How far they have read. */
  readSeq: number;
  /** Who. */
  userId: UserId;
}

/** What `chat:room:kick` and `chat:room:ban` bring. */
export interface Remove {
  /** Why, for all to read. */
  reason?: string | null;
  /** The room's id or slug. */
  roomId: string;
  /** The user's id. */
  userId: string;
}

/** The last sweep. */
export interface Retention {
  /** `null` if none was ordered since the server started. */
  run: RetentionRun | null;
}

/** A sweep that an administrator ordered. */
export interface RetentionRun {
  /** Messages stored before this go. */
  before: Time;
  /** Who ordered it. */
  by: UserId;
  /** The first 100 of these, by id. */
  byRoom: SweptRoom[];
  /** Whether they are only counted. */
  dryRun: boolean;
  /** When it ended. */
  endedAt: Time | null;
  /** How many messages were too old so far. */
  messages: number;
  /** Only in this room. */
  roomId: RoomId | null;
  /** In how many rooms. */
  rooms: number;
  /** When it began. */
  startedAt: Time;
  /** How it stands. */
  state: RetentionState;
}

/** How a sweep stands. */
export type RetentionState = 'running' | 'finished' | 'interrupted';

/** A member's standing, from the lowest to the highest. */
export type Role = 'guest' | 'member' | 'moderator' | 'admin' | 'owner';

/** A room as the contract shows it. */
export interface Room {
  /** Since when it can only be read. */
  archivedAt: Time | null;
  /** When it was made. */
  createdAt: Time;
  /** Who made it; `null` is the server. */
  createdBy: UserId | null;
  /** The id. */
  id: RoomId;
  /** Its last message, as in `chat:message`; left out in a list whose last messages are large. */
  lastMessage: Message | null;
  /** The number of the last thing that happened in it. */
  lastSeq: number;
  /** How many are in it. */
  memberCount: number;
  /** The name shown. */
  name: string | null;
  /** How many seconds who stands below a moderator waits between two messages; 0: none. */
  slowMode: number;
  /** The readable name, if it has one. */
  slug: string | null;
  /** What it is about. */
  topic: string | null;
  /** `group`, `public` or `direct`. */
  type: RoomType;
}

/** `chat:room:created`. */
export interface RoomCreated {
  /** Who made it. */
  createdBy: UserId;
  /** Who is in it. */
  members: UserId[];
  /** The room. */
  room: Room;
  /** The room's id. */
  roomId: RoomId;
  /** When. */
  timestamp: Time;
}

/** A room's id. */
export type RoomId = string;

/** A room's bare name, as clients of the seed's gateway send it, or an object. */
export type RoomIdOrJoinRoom = string | JoinRoom;

/** A room's bare name, as clients of the seed's gateway send it, or an object. */
export type RoomIdOrLeaveRoom = string | LeaveRoom;

/** `chat:room:joined`, to oneself or to others. */
export type RoomJoined = JoinedSnapshot | MemberJoined;

/** What `chat:room:leave` comes to. */
export interface RoomLeft {
  /** The room. */
  roomId: RoomId;
}

/** A room as one of its members sees it in a list. */
export interface RoomOverview {
  /** Since when it can only be read. */
  archivedAt: Time | null;
  /** What the asker may do. */
  can: string[];
  /** When it was made. */
  createdAt: Time;
  /** Who made it; `null` is the server. */
  createdBy: UserId | null;
  /** The id. */
  id: RoomId;
  /** Its last message, as in `chat:message`; left out in a list whose last messages are large. */
  lastMessage: Message | null;
  /** The number of the last thing that happened in it. */
  lastSeq: number;
  /** How many are in it. */
  memberCount: number;
  /** The asker's membership; `null` in a public room that the asker is not in. */
  membership: Membership | null;
  /** How many of them mention the member. */
  mentions: number;
  /** The name shown. */
  name: string | null;
  /** How far the asker has read. */
  read: ReadMarkers;
  /** How many seconds who stands below a moderator waits between two messages; 0: none. */
  slowMode: number;
  /** The readable name, if it has one. */
  slug: string | null;
  /** What it is about. */
  topic: string | null;
  /** `group`, `public` or `direct`. */
  type: RoomType;
  /** Messages after the read marker that are neither the member's own nor deleted, up to 1,000. */
  unread: number;
  /** Whether there are, or may be, more than that: only the 10,000 numbers after the marker are looked into. */
  unreadCapped?: boolean;
}

/** A page of a list. */
export interface RoomOverviewPage {
  /** What is on it. */
  items: RoomOverview[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** The presence of a room's members. */
export interface RoomPresence {
  /** Each of them, in a room that is not too large. */
  items: Status[];
  /** How many they are. */
  memberCount: number;
  /** How many of them are here. */
  onlineCount: number;
  /** Where. */
  roomId: RoomId;
}

/** Who may come in. */
export type RoomType = 'group' | 'public' | 'direct';

/** `chat:room:updated`. In large rooms it also tells how many are there and online: without `seq` and `by`. */
export interface RoomUpdated {
  /** Who changed it. */
  by?: UserId;
  /** How many of its members are online, where they are counted instead of told. */
  onlineCount?: number;
  /** The room as it is now. */
  room: Room;
  /** The room's id. */
  roomId: RoomId;
  /** The number of the change. */
  seq?: number;
}

/** What `chat:message` brings. */
export interface SendMessage {
  /** Stored as they are. */
  attachments?: Record<string, unknown>[] | null;
  /** Makes the send repeatable: the same again is stored and told once. */
  clientMsgId?: string | null;
  /** The text: counted trimmed, stored as sent. How long it may be can be set; `session.ready` says it. */
  content: string;
  /** The ids of the users that it mentions; who is no member is left out, with a warning. */
  mentions?: string[] | null;
  /** The frontend's own. */
  metadata?: Record<string, unknown> | null;
  /** The message that it answers. */
  replyTo?: string | null;
  /** The room's id or slug; without it the default room is meant. */
  roomId?: string | null;
  /** The thread that it belongs to: its root, or any reply. */
  threadRootId?: string | null;
  /** `text`, or a word of the frontend's own. */
  type?: string | null;
}

/** Who said it, as others see them. */
export interface Sender {
  /** Where the picture is. */
  avatarUrl: string | null;
  /** The user. */
  id: UserId;
  /** The name to show. */
  name: string | null;
  /** `user`, `admin` or `bot`. */
  userType: UserType;
}

/** The server stops. */
export interface ServerDraining {
  /** How long to wait, once the transport is closed, before coming back: at random, so that not all come at once. */
  reconnectInMs: number;
}

/** One session in the list of them. */
export interface Session {
  /** When it began. */
  createdAt: Time;
  /** Whether it is the one that asks. */
  current: boolean;
  /** When it ends by itself. */
  expiresAt: Time;
  /** The id to revoke it by. */
  id: string;
  /** When it was last refreshed. */
  lastUsedAt: Time;
}

/** A page of a list. */
export interface SessionPage {
  /** What is on it. */
  items: Session[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** `session.ready`: what a client needs to begin. */
export interface SessionReady {
  /** The name of this connection. */
  connectionId: string;
  /** The room that is meant where none is named. */
  defaultRoomId: RoomId;
  /** Which history this is: with another one than before, drop what you have. */
  epoch: string;
  /** What is served here. */
  features: Features;
  /** Whether one looks offline to others. */
  invisible: boolean;
  /** How much is allowed here. */
  limits: Limits;
  /** The version of this contract. */
  protocol: number;
  /** One's rooms, the 1,000 most recently active. */
  rooms: RoomOverview[];
  /** The server's clock. */
  serverTime: Time;
  /** The session, to be revoked by. */
  sessionId: string;
  /** When the token ends. */
  tokenExpiresAt: Time;
  /** Who one is. */
  user: User;
}

/** What `chat:room:role` brings. */
export interface SetRole {
  /** The role from now on. */
  role: Role;
  /** The room's id or slug. */
  roomId: string;
  /** The user's id. */
  userId: string;
}

/** Where somebody stands with a room, as all of its members see it. */
export interface Standing {
  /** Since when they are in the room; `null` if they are not. */
  joinedAt: Time | null;
  /** Until when they may not send, also after they came back. */
  mutedUntil: Time | null;
  /** The role, or the last one. */
  role: Role;
  /** Whether they are in the room. */
  state: MemberState;
  /** Who. */
  userId: UserId;
}

/** What is told of a user. */
export interface Status {
  /** Whether they are here. */
  isOnline: boolean;
  /** When they were last seen; `null` is never. */
  lastSeenAt: Time | null;
  /** The server's clock, for clients that show "5 minutes ago". */
  serverTime: Time;
  /** The same as a word: `online` or `offline`. */
  status: 'online' | 'offline';
  /** When this became so, or was asked. */
  timestamp: Time;
  /** Who. */
  userId: UserId;
}

/** What `status:update` comes to. */
export type StatusUpdated = { /** Whether one looks offline to others. */ invisible: boolean; /** What this socket makes its user for others: `online` or `offline`. */ status: 'online' | 'offline'; } | Dropped;

/** The presence of several users. */
export interface Statuses {
  /** In the order of their ids. */
  items: Status[];
}

/** What `status:subscribe` brings: one of the two lists, or both. */
export interface Subscribe {
  /** Ids or slugs of rooms that one is in. */
  roomIds?: string[] | null;
  /** Ids of users. */
  userIds?: string[] | null;
}

/** The presence of all that were named, as it is now. */
export interface Subscribed {
  /** Of the members of each room that was named. */
  rooms: RoomPresence[];
  /** Of each user that was named. */
  users: Status[];
}

/** What was too old in a room. */
export interface SweptRoom {
  /** How many messages. */
  messages: number;
  /** Which room. */
  roomId: RoomId;
}

/** What `chat:sync` brings. */
export interface Sync {
  /** Most changes of a room. */
  limit?: number | null;
  /** The number of the last event that one applied, by the room's id or slug. */
  rooms: Record<string, number>;
}

/** What happened in several rooms. */
export interface Synced {
  /** Which history this is: with another one than before, drop what you have. */
  epoch: string;
  /** Rooms that the caller is not in (any more), as the client named them. */
  gone: string[];
  /** Rooms for which there was no room in this answer, likewise. */
  more: string[];
  /** What happened in each room. */
  rooms: Changes[];
}

/** A thread, as its root shows it. */
export interface Thread {
  /** When the last of them was stored. */
  lastReplyAt: Time | null;
  /** The ids of those who replied, the first 50, in the order in which they came. */
  participants: string[];
  /** How many replies it has; deleted ones do not count. */
  replyCount: number;
}

/** A page of a thread, in ascending order. */
export interface ThreadPage {
  /** The replies; deleted ones stay as stubs. */
  messages: Message[];
  /** Where the page lies. */
  page: PageBounds;
  /** What it all answers. */
  root: Message;
}

/** A time, RFC 3339 in UTC with milliseconds. */
export type Time = string;

/** A token ends soon. */
export interface TokenExpiring {
  /** In how many milliseconds. */
  inMs: number;
  /** When. */
  tokenExpiresAt: Time;
}

/** What `status:typing` comes to. */
export type Typed = Nothing | Dropped;

/** What `status:typing` brings. */
export interface Typing {
  /** Whether one types. */
  isTyping: boolean;
  /** The room's id or slug; without it the default room is meant. */
  roomId?: string | null;
}

/** `status:typing` as others hear it. */
export interface TypingStatus {
  /** Whether they type. */
  isTyping: boolean;
  /** Where. */
  roomId: RoomId;
  /** When this became so. */
  timestamp: Time;
  /** How long this holds unless it is said again, in milliseconds. */
  ttlMs: number;
  /** The same, with a name to show. */
  user: Typist;
  /** Who. */
  userId: UserId;
}

/** Who types. */
export interface Typist {
  id: UserId;
  name: string | null;
}

/** What `chat:room:unban` brings. */
export interface Unban {
  /** The room's id or slug. */
  roomId: string;
  /** The user's id. */
  userId: string;
}

/** What `chat:room:update` brings; what is missing stays. */
export interface UpdateRoom {
  /** Whether it can only be read. */
  archived?: boolean | null;
  /** The name shown. */
  name?: string | null;
  /** The room's id or slug. */
  roomId: string;
  /** How many seconds a member waits between two messages; 0 is no time. */
  slowMode?: number | null;
  /** What it is about. */
  topic?: string | null;
}

/** What `status:update` brings: one of the two, or both. */
export interface UpdateStatus {
  /** Whether one looks offline to others, whatever one's sockets say, until one says otherwise. */
  invisible?: boolean | null;
  /** Whether this socket counts. */
  isOnline?: boolean | null;
}

/** A user as others see them. */
export interface User {
  /** Where the picture is. */
  avatarUrl: string | null;
  /** The id. */
  id: UserId;
  /** The name to show. */
  name: string | null;
  /** `user`, `admin` or `bot`. */
  userType: UserType;
  /** The name to log in with, or the first token's `preferred_username`. */
  username: string | null;
}

/** The `sub` of a user's tokens: free text of 1 to 128 characters, as the surrounding system spells it. */
export type UserId = string;

/** A page of a list. */
export interface UserPage {
  /** What is on it. */
  items: User[];
  /** Where the next page begins; `null` after the last one. */
  nextCursor: string | null;
}

/** What the whole system lets a user do. */
export type UserType = 'user' | 'admin' | 'bot';

/** Who may know how far one has read. */
export type Visibility = 'public' | 'private';

/** What one's other sockets are told: `presence.visibility`. */
export interface VisibilityChanged {
  /** Whether one looks offline to everybody else. */
  invisible: boolean;
}

/** What the server tells. */
export interface ServerToClientEvents {
  /** Something was said. To all sockets of all members of the room, the sender's included. */
  'chat:message': (payload: Message) => void;
  /** A message says something else. To the members of the room. */
  'chat:message:edited': (payload: MessageEdited) => void;
  /** Messages were deleted. To the members of the room. */
  'chat:message:deleted': (payload: MessagesDeleted) => void;
  /** A message was pinned. To the members of the room. */
  'chat:message:pinned': (payload: PinMoved) => void;
  /** A message is no longer pinned. To the members of the room. */
  'chat:message:unpinned': (payload: PinMoved) => void;
  /** Somebody reacted. To the members of the room. */
  'chat:reaction:added': (payload: ReactionMoved) => void;
  /** Somebody took a reaction back. To the members of the room. */
  'chat:reaction:removed': (payload: ReactionMoved) => void;
  /** Somebody came. To who shares a room of up to 200 members, or subscribed. */
  'status:online': (payload: Status) => void;
  /** Somebody went. To who shares a room of up to 200 members, or subscribed. */
  'status:offline': (payload: Status) => void;
  /** Somebody is typing, or no longer is. To the other members of the room; the first to be left out under load. */
  'status:typing': (payload: TypingStatus) => void;
  /** Somebody's markers moved. To the member's other sockets at once, with what is unread; to the other members at most once a second. */
  'chat:read': (payload: MarkersMoved) => void;
  /** A room was made. To all sockets of its maker and of every participant. */
  'chat:room:created': (payload: RoomCreated) => void;
  /** Somebody entered a room: a snapshot to who did, a note to the other members if the membership is new. */
  'chat:room:joined': (payload: RoomJoined) => void;
  /** A membership ended. To the members and, with `self`, to all sockets of who is out. */
  'chat:room:left': (payload: MemberLeft) => void;
  /** A room changed. To its members. In rooms of more than 200 also its new size, at most every 5 s. */
  'chat:room:updated': (payload: RoomUpdated) => void;
  /** Somebody's standing changed: a role, a mute, a ban of an outsider. To the members. */
  'chat:room:member': (payload: MemberChanged) => void;
  /** Something that this socket should know of itself. The first event is `session.ready`. */
  'system:notification': (payload: Notification) => void;
  /** An event failed (its acknowledgement says the same), or the connection is closed. */
  'system:error': (payload: ErrorBody) => void;
  /** Every `system:error` again, as NestJS has it, where `CHAT_COMPAT_NEST_EXCEPTION` is on. */
  'exception': (payload: NestException) => void;
}

/** What clients emit. */
export interface ClientToServerEvents {
  /** Says something in a room. It is committed before it is told and answered. */
  'chat:message': (payload: SendMessage, ack: (answer: Ack<Message>) => void) => void;
  /** Says something else in place of what one said. To say the same again is no change. */
  'chat:message:edit': (payload: EditMessage, ack: (answer: Ack<Edited>) => void) => void;
  /** Deletes a message, one's own or as a moderator. A stub without content stays. */
  'chat:message:delete': (payload: DeleteMessage, ack: (answer: Ack<Deleted>) => void) => void;
  /** Pins a message. A second time is no change. */
  'chat:message:pin': (payload: PinMessage, ack: (answer: Ack<Pinned>) => void) => void;
  /** Takes the pin off a message. Without one it is no change. */
  'chat:message:unpin': (payload: PinMessage, ack: (answer: Ack<Pinned>) => void) => void;
  /** Reacts to a message. A second time is no change. */
  'chat:reaction:add': (payload: React, ack: (answer: Ack<Reacted>) => void) => void;
  /** Takes a reaction back. One that is not there is no change. */
  'chat:reaction:remove': (payload: React, ack: (answer: Ack<Reacted>) => void) => void;
  /** Tells the other members of a room that one is typing. It ends by itself after 7 s, or with a message. */
  'status:typing': (payload: Typing, ack: (answer: Ack<Typed>) => void) => void;
  /** Tells this socket from now on when these users come and go, though no room be shared, and answers who is here now. */
  'status:subscribe': (payload: Subscribe, ack: (answer: Ack<Subscribed>) => void) => void;
  /** Shows or hides this socket: a user is online while one of their sockets is shown. Or makes the user invisible, on all devices. */
  'status:update': (payload: UpdateStatus, ack: (answer: Ack<StatusUpdated>) => void) => void;
  /** Says how far one has read a room, or how far its messages have arrived. Markers only move on. */
  'chat:read': (payload: MarkRead, ack: (answer: Ack<Marked>) => void) => void;
  /** Makes a message and all after it unread for oneself; what others know stays. */
  'chat:unread:mark': (payload: MarkUnread, ack: (answer: Ack<Marked>) => void) => void;
  /** Makes a room, with its maker and participants in it at once. */
  'chat:room:create': (payload: CreateRoom, ack: (answer: Ack<Room>) => void) => void;
  /** Enters a public room, or a room that one is in already: that is silent, and answers the same snapshot. */
  'chat:room:join': (payload: RoomIdOrJoinRoom, ack: (answer: Ack<JoinedSnapshot>) => void) => void;
  /** Leaves a room: the membership ends. */
  'chat:room:leave': (payload: RoomIdOrLeaveRoom, ack: (answer: Ack<RoomLeft>) => void) => void;
  /** Renames a room, changes what it is about, archives it or opens it again, makes its members wait between messages. */
  'chat:room:update': (payload: UpdateRoom, ack: (answer: Ack<Room>) => void) => void;
  /** Brings somebody in, or gives a member another role. */
  'chat:room:invite': (payload: Invite, ack: (answer: Ack<Standing>) => void) => void;
  /** Takes a member out of a room. */
  'chat:room:kick': (payload: Remove, ack: (answer: Ack<Standing>) => void) => void;
  /** Keeps somebody out of a room, a member or anybody else, until the ban is lifted. */
  'chat:room:ban': (payload: Remove, ack: (answer: Ack<Standing>) => void) => void;
  /** Lifts a ban. Its user may come in again, and is not in. */
  'chat:room:unban': (payload: Unban, ack: (answer: Ack<Standing>) => void) => void;
  /** Silences a member until a time, or no longer. */
  'chat:room:mute': (payload: Mute, ack: (answer: Ack<Standing>) => void) => void;
  /** Gives a member another role; that of the owner passes the room on. */
  'chat:room:role': (payload: SetRole, ack: (answer: Ack<Standing>) => void) => void;
  /** Asks what happened in rooms since the numbers that one knows, however long ago. */
  'chat:sync': (payload: Sync, ack: (answer: Ack<Synced>) => void) => void;
  /** Says who one is, or brings a new token before the old one expires. A socket stays that of one user. */
  'auth:login': (payload: LogIn, ack: (answer: Ack<Authenticated>) => void) => void;
  /** Ends the session, or all sessions of the user, and closes their sockets. */
  'auth:logout': (payload: LogOut | null, ack: (answer: Ack<Nothing>) => void) => void;
}
