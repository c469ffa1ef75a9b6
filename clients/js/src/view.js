// What is known of one room, from events, answers to sync, and pages of history: the same whichever way it came.
//
// A message is replaced, never written to, so that whoever rendered it sees by identity that it changed. Every state of a
// message has a number, its `rev`, and only a higher one replaces it: so nothing can be applied twice.

import { KINDS, changes, stub } from './changes.js';
import { Feed } from './feed.js';

/** The server counts no further. */
const MOST_UNREAD = 1_000;

export class RoomView {
  #who;
  #most;
  #unsent;
  /** What happened while a page is being loaded, for what the page has and we do not. */
  #log;
  #loads = 0;
  /** How often our read marker was told of: an answer that was under way then does not know it. */
  #marks = 0;

  /**
   * @param {() => string} me      who we are
   * @param {number} cursor        the number up to which all is known
   * @param {number} most          so many messages are kept
   * @param {() => object[]} unsent  what waits to be said here
   */
  constructor(me, id, cursor, most, unsent = () => []) {
    this.#who = me;
    this.#most = most;
    this.#unsent = unsent;
    this.feed = new Feed(cursor);
    this.id = id;
    this.slug = null;
    this.type = 'group';
    this.name = null;
    this.topic = null;
    this.archivedAt = null;
    this.createdBy = null;
    this.createdAt = null;
    this.memberCount = 0;
    this.membership = null;
    this.can = [];
    this.lastMessage = null;
    this.unread = 0;
    this.unreadCapped = false;
    this.mentions = 0;
    this.readSeq = 0;
    this.deliveredSeq = 0;
    /** The newest messages, ascending, without holes. */
    this.messages = [];
    this.hasOlder = true;
    this.members = new Map();
    this.typing = new Map();
    /** How far others have read. */
    this.reads = new Map();
    /** Whether a page of history and members was loaded. */
    this.isOpen = false;
    /** Grows with every change, for frameworks that compare. */
    this.version = 0;
  }

  get #me() {
    return this.#who();
  }

  /** What was said here and is not stored yet, in its order. */
  get pending() {
    return this.#unsent();
  }

  get lastSeq() {
    return this.feed.cursor;
  }

  get marks() {
    return this.#marks;
  }

  // ── the room as in a list ──────────────────────────────────────────────────────────────────────────────────

  /** Takes the room as a list or an answer shows it; `marks` is what it was when that was asked for. */
  overview(room, marks = this.#marks) {
    for (const name of ['slug', 'type', 'name', 'topic', 'archivedAt', 'createdBy', 'createdAt', 'memberCount', 'membership', 'can']) {
      if (room[name] !== undefined) this[name] = room[name];
    }
    if (room.lastMessage !== undefined) this.#setLast(room.lastMessage);
    if (room.unread !== undefined && room.read && marks === this.#marks) {
      [this.readSeq, this.deliveredSeq] = [room.read.seq, room.read.deliveredSeq];
      this.#counts(room);
    }
    this.version += 1;
  }

  #counts({ unread, unreadCapped = false, mentions }) {
    [this.unread, this.unreadCapped, this.mentions] = [unread, unreadCapped, mentions];
  }

  #count(unread, mentions) {
    this.unreadCapped ||= this.unread + unread > MOST_UNREAD;
    this.unread = Math.min(this.unread + unread, MOST_UNREAD);
    this.mentions += mentions;
  }

  #setLast(message) {
    if (!message || !this.lastMessage || message.id !== this.lastMessage.id || message.rev >= this.lastMessage.rev) {
      this.lastMessage = message && (this.#find(message.id)?.rev >= message.rev ? this.#find(message.id) : message);
    }
  }

  // ── messages ───────────────────────────────────────────────────────────────────────────────────────────────

  #place(id) {
    // From the end: most that happens, happens to what is new.
    for (let place = this.messages.length - 1; place >= 0; place -= 1) if (this.messages[place].id === id) return place;
    return -1;
  }

  #find(id) {
    return this.messages[this.#place(id)];
  }

  /** Puts messages, each in its newest state; those that are not here and up to `since` stay out. */
  #put(messages, since = -1) {
    const byId = new Map(this.messages.map((message) => [message.id, message]));
    for (const message of messages) {
      const known = byId.get(message.id);
      if (known ? message.rev > known.rev : message.seq > since) byId.set(message.id, message);
      if (this.lastMessage?.id === message.id && message.rev > this.lastMessage.rev) this.lastMessage = message;
    }
    this.messages = [...byId.values()].sort((one, other) => one.seq - other.seq);
  }

  #trim() {
    // A page that is on its way reaches to what is oldest now.
    if (this.messages.length > this.#most && this.#loads === 0) {
      this.messages = this.messages.slice(-this.#most);
      this.hasOlder = true;
    }
  }

  /** Changes a message that is known in an older state; gives it as it is now. */
  #change(id, seq, change) {
    const place = this.#place(id);
    const known = place >= 0 ? this.messages[place] : this.lastMessage?.id === id ? this.lastMessage : undefined;
    if (!known || known.rev >= seq) return known;
    const message = { ...known, ...change(known), rev: seq };
    if (place >= 0) this.messages = this.messages.with ? this.messages.with(place, message) : this.messages.map((old) => (old === known ? message : old));
    if (this.lastMessage?.id === id) this.lastMessage = message;
    return message;
  }

  // ── events ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Applies the next event of the room; gives what there is to tell: [name, …what]. */
  apply(event, data) {
    this.#log?.push([event, data]);
    this.version += 1;
    if (data.memberCount !== undefined) this.memberCount = data.memberCount;
    switch (event) {
      case 'chat:message':
        return this.#said(data);
      case 'chat:message:deleted':
        return data.messageIds.flatMap((id) => this.#deleted(id, data));
      case 'chat:room:joined':
        return [this.#came(data)];
      case 'chat:room:left':
        return [this.#stands(data.reason, { userId: data.userId, state: data.reason === 'banned' ? 'banned' : 'left', joinedAt: null }, data)];
      case 'chat:room:member':
        return [data.membership, ...(data.formerOwner ? [data.formerOwner] : [])].map((member) => this.#stands(data.reason, member, data));
      case 'chat:room:updated':
        this.overview(data.room);
        return [['room', this]];
      default:
        return event in KINDS ? this.#changed(event, data) : [];
    }
  }

  #said(message) {
    this.typing.delete(message.senderId);
    const root = message.threadRootId ? this.#counted(message) : undefined;
    this.#put([message]);
    this.#trim();
    this.lastMessage = this.#find(message.id) ?? message;
    if (this.#isUnread(message)) this.#count(1, this.#mentionsMe(message));
    return [['message', message, this], ...(root ? [change(this, 'thread', message.seq, root.id, root)] : [])];
  }

  /** The root of a reply's thread, with the reply counted. */
  #counted(reply) {
    return this.#change(reply.threadRootId, reply.seq, ({ thread = { replyCount: 0, participants: [] } }) => {
      const isNew = !thread.participants.includes(reply.senderId) && thread.participants.length < 50;
      const participants = isNew ? [...thread.participants, reply.senderId] : thread.participants;
      return { thread: { replyCount: thread.replyCount + 1, lastReplyAt: reply.createdAt, participants } };
    });
  }

  #deleted(id, data) {
    const known = this.#find(id);
    const wasUnread = data.messageSeqs[data.messageIds.indexOf(id)] > this.readSeq && known?.senderId !== this.#me;
    // Whose it was is not known, or whom it mentioned, or how many more are unread than are counted.
    const isUncertain = wasUnread && (!known || known.deletedAt || this.unreadCapped);
    if (wasUnread && !isUncertain) this.#count(-1, -this.#mentionsMe(known));
    const { message, root } = this.#tookBack(id, data);
    const told = [change(this, 'deleted', data.seq, id, message, data)];
    if (root) told.push(change(this, 'thread', data.seq, root.id, root));
    return isUncertain ? [...told, ['uncertain', this.id]] : told;
  }

  #tookBack(id, data) {
    const message = this.#change(id, data.seq, (old) => stub(old, data));
    return { message, root: message?.threadRootId ? this.#uncounted(message, data.seq) : undefined };
  }

  #uncounted(reply, seq) {
    const last = this.messages.filter((other) => other.threadRootId === reply.threadRootId && !other.deletedAt).pop();
    return this.#change(reply.threadRootId, seq, ({ thread }) => ({
      thread: { ...thread, replyCount: thread.replyCount - 1, lastReplyAt: last?.createdAt ?? null },
    }));
  }

  #changed(event, data) {
    const before = this.#find(data.messageId);
    const message = this.#change(data.messageId, data.seq, (old) => changes(event, data, old, this.#me));
    const told = [change(this, KINDS[event], data.seq, data.messageId, message, data)];
    if (event !== 'chat:message:edited' || data.messageSeq <= this.readSeq || before?.senderId === this.#me) return told;
    // Whom it mentioned before is known if we have it as it was before.
    if (!before || before.rev >= data.seq) return [...told, ['uncertain', this.id]];
    this.#count(0, this.#mentionsMe(message) - this.#mentionsMe(before));
    return told;
  }

  #came(data) {
    const { userId, role, user, timestamp } = data;
    // A mute outlasts an absence, but owners are not muted.
    const mutedUntil = role === 'owner' ? null : (this.members.get(userId)?.mutedUntil ?? null);
    return this.#stands('joined', { userId, state: 'joined', role, user, mutedUntil, joinedAt: timestamp }, data);
  }

  #stands(reason, member, data) {
    const now = { ...this.members.get(member.userId), ...member, seq: data.seq };
    this.members.set(member.userId, now);
    if (now.state !== 'joined') this.typing.delete(member.userId);
    return ['member', { roomId: this.id, seq: data.seq, reason, member: now, isMe: member.userId === this.#me, event: data }, this];
  }

  #isUnread(message) {
    return message.seq > this.readSeq && message.senderId !== this.#me && !message.deletedAt;
  }

  #mentionsMe(message) {
    return message.mentions.includes(this.#me) ? 1 : 0;
  }

  // ── what has no number ─────────────────────────────────────────────────────────────────────────────────────

  /** A read marker, our own or somebody's: `chat:read`, or the answer to one. Says whether it leaves in doubt what is unread. */
  marked(data) {
    this.version += 1;
    if (data.userId !== undefined && data.userId !== this.#me) {
      this.reads.set(data.userId, Math.max(this.reads.get(data.userId) ?? 0, data.readSeq));
      return false;
    }
    this.#marks += 1;
    [this.readSeq, this.deliveredSeq] = [data.readSeq, data.deliveredSeq];
    // The server may have counted what has not come here yet, so what is here counts, if it is enough.
    const isHere = this.readSeq >= this.feed.cursor || !this.hasOlder || this.messages[0]?.seq <= this.readSeq + 1;
    if (this.feed.isStale || !isHere) {
      if (data.unread !== undefined) this.#counts(data);
      return true;
    }
    const unread = this.messages.filter((message) => message.seq <= this.feed.cursor && this.#isUnread(message));
    this.#counts({ unread: 0, mentions: 0 });
    this.#count(unread.length, unread.filter((message) => this.#mentionsMe(message)).length);
    return false;
  }

  typed({ userId, user, isTyping }) {
    this.version += 1;
    if (isTyping) this.typing.set(userId, user);
    else this.typing.delete(userId);
  }

  // ── answers ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes everything that changed since the cursor, as it is now; gives what there is to tell, in the order of its numbers: a
   * message that is new here under its own, whatever else became of it, and all else under that of its last change.
   */
  caughtUp({ messages, members, room, toSeq }, marks) {
    const since = this.feed.cursor;
    const told = [];
    for (const message of messages) {
      const isNew = message.seq > since;
      const tell = isNew ? ['message', message, this] : change(this, 'synced', message.rev, message.id, message);
      told.push([isNew ? message.seq : message.rev, isNew ? 0 : 1, tell]);
    }
    for (const member of members) {
      this.members.set(member.userId, member);
      const about = { roomId: this.id, seq: member.seq, reason: 'synced', member, isMe: member.userId === this.#me };
      told.push([member.seq, 2, ['member', about, this]]);
    }
    told.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    this.#put(messages, since);
    this.#trim();
    this.#log?.push(...messages.map((message) => ['synced', message]));
    this.overview(room, marks);
    this.feed.cursor = toSeq;
    return told.map(([, , tell]) => tell);
  }

  /** Begins again at a number, with the messages after another one: between what was known and these there is a hole. */
  restart({ toSeq, room, messages = [] }, after = toSeq) {
    this.feed.restart(toSeq);
    this.messages = [];
    this.hasOlder = true;
    this.lastMessage = null;
    this.isOpen = false;
    this.members = new Map();
    this.reads = new Map();
    this.#log = undefined;
    this.#loads = 0;
    this.#put(messages, after);
    this.#trim();
    this.overview(room);
  }

  // ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** A page is being loaded: what happens meanwhile is remembered until `loaded`, or until it is given up. */
  loading() {
    this.#loads += 1;
    this.#log ??= [];
    return this.#log;
  }

  gaveUp(log) {
    if (log !== this.#log) return;
    this.#loads -= 1;
    if (this.#loads === 0) this.#log = undefined;
  }

  /** A page of history that reaches to what is here, and members. What was loaded for another history is no use. */
  loaded(log, { messages, page }, members = []) {
    if (log !== this.#log) return false;
    this.#put(messages);
    const touched = new Set();
    for (const [event, data] of log) {
      for (const member of [data, data.membership, data.formerOwner]) if (member?.userId) touched.add(member.userId);
      this.#again(event, data);
    }
    for (const { user, role, joinedAt, mutedUntil } of members) {
      const seq = this.members.get(user.id)?.seq ?? 0;
      if (!touched.has(user.id)) this.members.set(user.id, { userId: user.id, state: 'joined', role, joinedAt, mutedUntil, seq, user });
    }
    if (page.oldestSeq === null || page.oldestSeq <= (this.messages[0]?.seq ?? 0)) this.hasOlder = page.hasOlder;
    this.#most = Math.max(this.#most, this.messages.length);
    this.gaveUp(log);
    this.version += 1;
    return true;
  }

  /** What happened while a page was on its way happens to its messages too; those that know it already know a higher number. */
  #again(event, data) {
    if (event === 'synced') this.#put([data], Infinity);
    else if (event === 'chat:message' && data.threadRootId) this.#counted(data);
    else if (event === 'chat:message:deleted') data.messageIds.forEach((id) => this.#tookBack(id, data));
    else if (event in KINDS) this.#change(data.messageId, data.seq, (old) => changes(event, data, old, this.#me));
  }

  /** Keeps only so many of the newest messages, from now on. */
  keep(most) {
    this.#most = most;
    this.#trim();
    this.version += 1;
  }
}

function change(room, kind, seq, messageId, message, event) {
  return ['changed', { roomId: room.id, seq, kind, messageId, message, event }, room];
}
