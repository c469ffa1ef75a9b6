ALTER TABLE rooms ADD COLUMN changed_seq bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN rooms.changed_seq IS 'The room''s own number of its last renaming, change of topic or archiving; 0: never changed.';

-- Serves what changed among the members since a number: WHERE room_id = $1 AND changed_seq > $2.
CREATE INDEX room_members_changed_seq_idx ON room_members (room_id, changed_seq) WHERE changed_seq > 0;
