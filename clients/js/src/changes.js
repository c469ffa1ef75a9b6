// What events make of a message: the members that are others afterwards.

/** Events about one message, and what they are told as. */
export const KINDS = {
  'chat:message:edited': 'edited',
  'chat:message:deleted': 'deleted',
  'chat:reaction:added': 'reaction',
  'chat:reaction:removed': 'reaction',
  'chat:message:pinned': 'pinned',
  'chat:message:unpinned': 'unpinned',
};

/** What is left of a message. When exactly it was deleted, no event says. */
export function stub(old, { deletedBy, reason }) {
  const nothing = { content: '', mentions: [], attachments: [], reactions: {}, deletedAt: new Date().toISOString(), deletedBy };
  const gone = { ownReactions: undefined, metadata: undefined, pinnedAt: undefined, pinnedBy: undefined };
  return { ...nothing, ...gone, ...(reason === undefined ? {} : { deleteReason: reason }) };
}

/** Everything but deletion. */
export function changes(event, data, old, me) {
  switch (event) {
    case 'chat:message:edited':
      return { content: data.content, mentions: data.mentions, editedAt: data.editedAt, editCount: data.editCount };
    case 'chat:message:pinned':
      return { pinnedAt: new Date().toISOString(), pinnedBy: data.by };
    case 'chat:message:unpinned':
      return { pinnedAt: undefined, pinnedBy: undefined };
    default:
      return { reactions: data.counts, ...(data.userId === me ? { ownReactions: own(event, data.emoji, old.ownReactions) } : {}) };
  }
}

function own(event, emoji, before = []) {
  const others = before.filter((other) => other !== emoji);
  return event === 'chat:reaction:added' ? [...others, emoji] : others;
}
