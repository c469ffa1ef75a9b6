-- Old rows fulfil the old condition, and so the new one: they are looked through by the next migration, without a lock that
-- anybody waits for.
ALTER TABLE messages DROP CONSTRAINT messages_deleted_by_check;
ALTER TABLE messages ADD CONSTRAINT messages_deleted_by_check CHECK (deleted_by IN ('author', 'moderator', 'retention')) NOT VALID;

COMMENT ON COLUMN messages.deleted_by IS 'author; moderator: somebody else who may; or retention: it had become too old.';

CREATE TABLE retention_rooms (
    room_id uuid CONSTRAINT retention_rooms_pkey PRIMARY KEY
        CONSTRAINT retention_rooms_room_id_fkey REFERENCES rooms (id) ON DELETE CASCADE,
    swept_seq bigint NOT NULL
);

COMMENT ON TABLE retention_rooms IS 'How far retention has come in each room. No row: nothing was old enough yet.';
COMMENT ON COLUMN retention_rooms.room_id IS 'The room.';
COMMENT ON COLUMN retention_rooms.swept_seq IS 'All messages up to this number are deleted; the next look begins after it.';
