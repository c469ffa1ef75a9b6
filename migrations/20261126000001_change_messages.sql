-- What may become of a message after it was said. Its row is the final state, and rev the room's number of its last change: a
-- client that was away reads the rows whose rev is beyond what it knows.
ALTER TABLE messages
    ADD COLUMN deleted_by text CONSTRAINT messages_deleted_by_check CHECK (deleted_by IN ('author', 'moderator')),
    ADD COLUMN delete_reason text,
    ADD COLUMN pinned_at timestamptz,
    ADD COLUMN pinned_by text,
    ADD COLUMN reactions jsonb,
    ADD COLUMN reply_count integer,
    ADD COLUMN last_reply_at timestamptz,
    ADD COLUMN last_reply_seq bigint,
    ADD COLUMN thread_participants text[];

-- Threads were allowed before they were counted.
UPDATE messages AS root
SET reply_count = thread.replies,
    last_reply_at = thread.last_at,
    last_reply_seq = thread.last_seq,
    thread_participants = (
        SELECT array_agg(first.author_id ORDER BY first.seq)
        FROM (
            SELECT author_id, min(seq) AS seq
            FROM messages
            WHERE thread_root_id = root.id
            GROUP BY author_id
            ORDER BY min(seq)
            LIMIT 50
        ) AS first
    )
FROM (
    SELECT thread_root_id, count(*) AS replies, max(created_at) AS last_at, max(seq) AS last_seq
    FROM messages
    WHERE thread_root_id IS NOT NULL
    GROUP BY thread_root_id
) AS thread
WHERE root.id = thread.thread_root_id;

-- Serves what changed since a number: WHERE room_id = $1 AND rev > $2 AND rev <> seq ORDER BY rev. What was only said is found
-- by its seq, and has no entry here.
CREATE INDEX messages_changed_idx ON messages (room_id, rev) WHERE rev <> seq;
-- Serves a page of a thread: WHERE thread_root_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3, and its last reply.
CREATE INDEX messages_thread_idx ON messages (thread_root_id, seq) WHERE thread_root_id IS NOT NULL;
-- Serves the list of a room's threads: WHERE room_id = $1 AND reply_count > 0 AND last_reply_seq < $2 ORDER BY last_reply_seq DESC.
CREATE INDEX messages_threads_idx ON messages (room_id, last_reply_seq) WHERE reply_count > 0;
-- Serves the list of a room's pins, and counts them: WHERE room_id = $1 AND pinned_at IS NOT NULL ORDER BY pinned_at DESC, seq DESC.
CREATE INDEX messages_pins_idx ON messages (room_id, pinned_at, seq) WHERE pinned_at IS NOT NULL;

COMMENT ON COLUMN messages.content IS 'The text, as sent or last edited. Empty once it was deleted.';
COMMENT ON COLUMN messages.rev IS 'The room''s number of the last change of this row: an edit, its deletion, a reaction, a pin, a reply in the thread that it is the root of.';
COMMENT ON COLUMN messages.deleted_by IS 'author, or moderator: somebody else who may.';
COMMENT ON COLUMN messages.delete_reason IS 'Why it was deleted, in the words of whoever did it.';
COMMENT ON COLUMN messages.pinned_at IS 'Since when it is pinned. NULL: it is not.';
COMMENT ON COLUMN messages.pinned_by IS 'Who pinned it.';
COMMENT ON COLUMN messages.reactions IS 'How often each emoji is among its reactions: an object of counts. NULL: none.';
COMMENT ON COLUMN messages.reply_count IS 'How many replies its thread has, without deleted ones. NULL: it never was the root of a thread.';
COMMENT ON COLUMN messages.last_reply_at IS 'When the last reply of its thread was stored.';
COMMENT ON COLUMN messages.last_reply_seq IS 'The number of the last reply of its thread.';
COMMENT ON COLUMN messages.thread_participants IS 'The ids of those who replied in its thread, the first 50, in the order in which they came.';
