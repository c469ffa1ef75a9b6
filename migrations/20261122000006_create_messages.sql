-- No foreign keys here: the one statement that inserts reads the room's row and the author's membership itself,
-- and a second look-up for each row would double what a message costs.
CREATE TABLE messages (
    room_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT messages_seq_check CHECK (seq > 0),
    id uuid NOT NULL,
    author_id text NOT NULL,
    type text NOT NULL,
    content text NOT NULL,
    client_msg_id text,
    reply_to uuid,
    thread_root_id uuid,
    mentions jsonb,
    attachments jsonb,
    metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    rev bigint NOT NULL,
    edited_at timestamptz,
    edit_count integer NOT NULL DEFAULT 0,
    deleted_at timestamptz,
    -- Serves history: WHERE room_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3.
    CONSTRAINT messages_pkey PRIMARY KEY (room_id, seq)
);

-- Finds a message by its id, and lets a retried send collide with the first one: see client_msg_id.
CREATE UNIQUE INDEX messages_id_key ON messages (id);

COMMENT ON TABLE messages IS 'What was said. A row is committed before anybody hears of it.';
COMMENT ON COLUMN messages.room_id IS 'Where it was said.';
COMMENT ON COLUMN messages.seq IS 'The room''s number of this message; its place in the one order that everybody sees.';
COMMENT ON COLUMN messages.id IS 'UUIDv7; with a client_msg_id a UUIDv8 of room, author and client_msg_id, so that this index finds repeats.';
COMMENT ON COLUMN messages.author_id IS 'Who said it.';
COMMENT ON COLUMN messages.type IS 'text, or what the frontend calls it.';
COMMENT ON COLUMN messages.content IS 'The text, as sent.';
COMMENT ON COLUMN messages.client_msg_id IS 'Chosen by the client; a retried send finds the first row instead of adding a second.';
COMMENT ON COLUMN messages.reply_to IS 'The message that this one answers.';
COMMENT ON COLUMN messages.thread_root_id IS 'The first message of the thread that this one belongs to.';
COMMENT ON COLUMN messages.mentions IS 'Array of the ids of the members that were mentioned. NULL: none.';
COMMENT ON COLUMN messages.attachments IS 'Array of attachments as the client described them. NULL: none.';
COMMENT ON COLUMN messages.metadata IS 'Object of the frontend''s own. NULL: none.';
COMMENT ON COLUMN messages.created_at IS 'When it was stored.';
COMMENT ON COLUMN messages.rev IS 'The room''s number of the last change of this row.';
COMMENT ON COLUMN messages.edited_at IS 'When it was last edited.';
COMMENT ON COLUMN messages.edit_count IS 'How often it was edited.';
COMMENT ON COLUMN messages.deleted_at IS 'When it was deleted; the row stays as a stub.';
