CREATE TABLE room_members (
    room_id uuid NOT NULL CONSTRAINT room_members_room_id_fkey REFERENCES rooms (id) ON DELETE CASCADE,
    user_id text NOT NULL CONSTRAINT room_members_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'joined' CONSTRAINT room_members_state_check CHECK (state IN ('joined', 'left', 'banned')),
    role text NOT NULL DEFAULT 'member' CONSTRAINT room_members_role_check CHECK (role IN ('owner', 'admin', 'moderator', 'member', 'guest')),
    joined_at timestamptz NOT NULL DEFAULT now(),
    changed_seq bigint NOT NULL DEFAULT 0,
    read_seq bigint NOT NULL DEFAULT 0,
    muted_until timestamptz,
    pinned boolean NOT NULL DEFAULT false,
    CONSTRAINT room_members_pkey PRIMARY KEY (room_id, user_id)
) WITH (fillfactor = 90);

-- Serves the rooms of a user.
CREATE INDEX room_members_user_id_idx ON room_members (user_id, room_id) WHERE state = 'joined';
-- Serves the list of a room's members: WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3.
CREATE INDEX room_members_room_id_idx ON room_members (room_id, user_id) WHERE state = 'joined';

COMMENT ON TABLE room_members IS 'Who is, or was, in which room. Every question about a room goes through the asker''s row here.';
COMMENT ON COLUMN room_members.room_id IS 'The room.';
COMMENT ON COLUMN room_members.user_id IS 'The user.';
COMMENT ON COLUMN room_members.state IS 'joined, left or banned. Rows of former members stay, so that a client that was away can be told.';
COMMENT ON COLUMN room_members.role IS 'owner > admin > moderator > member > guest; a guest only reads.';
COMMENT ON COLUMN room_members.joined_at IS 'When the present or last membership began.';
COMMENT ON COLUMN room_members.changed_seq IS 'The room''s number of the last change of this row that was told to the members; 0: never told.';
COMMENT ON COLUMN room_members.read_seq IS 'How far this member has read.';
COMMENT ON COLUMN room_members.muted_until IS 'Until when this member may not send.';
COMMENT ON COLUMN room_members.pinned IS 'Whether this member keeps the room at the top of the list.';
