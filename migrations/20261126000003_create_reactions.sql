CREATE TABLE reactions (
    message_id uuid NOT NULL CONSTRAINT reactions_message_id_fkey REFERENCES messages (id) ON DELETE CASCADE,
    emoji text NOT NULL CONSTRAINT reactions_emoji_check CHECK (octet_length(emoji) BETWEEN 1 AND 64),
    user_id text NOT NULL,
    room_id uuid NOT NULL,
    seq bigint NOT NULL CONSTRAINT reactions_seq_check CHECK (seq > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Lets everybody react once with each emoji, and serves one's own reactions: WHERE message_id = ANY ($1) AND user_id = $2.
    CONSTRAINT reactions_pkey PRIMARY KEY (message_id, user_id, emoji)
);

-- Serves the list of who reacted: WHERE message_id = $1 AND (emoji, user_id) > ($2, $3) ORDER BY emoji, user_id LIMIT $4.
CREATE INDEX reactions_emoji_idx ON reactions (message_id, emoji, user_id);

COMMENT ON TABLE reactions IS 'Who reacted to which message. messages.reactions has the counts.';
COMMENT ON COLUMN reactions.message_id IS 'The message.';
COMMENT ON COLUMN reactions.emoji IS 'An emoji, or a :shortcode: of the frontend''s own.';
COMMENT ON COLUMN reactions.user_id IS 'Who reacted.';
COMMENT ON COLUMN reactions.room_id IS 'The room of the message.';
COMMENT ON COLUMN reactions.seq IS 'The room''s number of this reaction.';
COMMENT ON COLUMN reactions.created_at IS 'When it was added.';
