-- Apart from the rooms and their members, whose rows every message reads or writes: only a room in slow mode pays for it.
CREATE TABLE slow_rooms (
    room_id uuid CONSTRAINT slow_rooms_pkey PRIMARY KEY
        CONSTRAINT slow_rooms_room_id_fkey REFERENCES rooms (id) ON DELETE CASCADE,
    seconds integer NOT NULL CONSTRAINT slow_rooms_seconds_check CHECK (seconds BETWEEN 1 AND 21600)
);

COMMENT ON TABLE slow_rooms IS 'Rooms in slow mode: those who stand below a moderator wait between two messages.';
COMMENT ON COLUMN slow_rooms.room_id IS 'The room.';
COMMENT ON COLUMN slow_rooms.seconds IS 'How long they wait, in seconds.';

CREATE TABLE slow_turns (
    room_id uuid NOT NULL CONSTRAINT slow_turns_room_id_fkey REFERENCES slow_rooms (room_id) ON DELETE CASCADE,
    user_id text NOT NULL CONSTRAINT slow_turns_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    message_id uuid NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT slow_turns_pkey PRIMARY KEY (room_id, user_id)
);

-- Serves the removal of a user.
CREATE INDEX slow_turns_user_id_idx ON slow_turns (user_id);

COMMENT ON TABLE slow_turns IS 'Who spoke last when in a room in slow mode.';
COMMENT ON COLUMN slow_turns.room_id IS 'The room.';
COMMENT ON COLUMN slow_turns.user_id IS 'Who spoke.';
COMMENT ON COLUMN slow_turns.message_id IS 'The message that the turn was taken for. If it was never stored, the turn does not count for long.';
COMMENT ON COLUMN slow_turns.taken_at IS 'When the turn was taken, just before the message was stored.';
