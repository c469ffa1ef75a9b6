CREATE TABLE message_edits (
    message_id uuid NOT NULL CONSTRAINT message_edits_message_id_fkey REFERENCES messages (id) ON DELETE CASCADE,
    number integer NOT NULL CONSTRAINT message_edits_number_check CHECK (number > 0),
    content text NOT NULL,
    mentions jsonb,
    said_at timestamptz NOT NULL,
    replaced_at timestamptz NOT NULL DEFAULT now(),
    replaced_by text NOT NULL,
    -- Serves what a message said before: WHERE message_id = $1 AND number > $2 ORDER BY number.
    CONSTRAINT message_edits_pkey PRIMARY KEY (message_id, number)
);

COMMENT ON TABLE message_edits IS 'What messages said before they were edited. Gone when the message is deleted.';
COMMENT ON COLUMN message_edits.message_id IS 'The message.';
COMMENT ON COLUMN message_edits.number IS '1 is what was said at first; the edit with this number replaced it.';
COMMENT ON COLUMN message_edits.content IS 'The text at that time.';
COMMENT ON COLUMN message_edits.mentions IS 'Array of the ids of the members that it mentioned. NULL: none.';
COMMENT ON COLUMN message_edits.said_at IS 'When it was said, or edited into this.';
COMMENT ON COLUMN message_edits.replaced_at IS 'When it was edited into something else.';
COMMENT ON COLUMN message_edits.replaced_by IS 'Who edited it.';
