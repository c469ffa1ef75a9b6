ALTER TABLE room_members
    ADD COLUMN banned_at timestamptz,
    ADD COLUMN banned_by text CONSTRAINT room_members_banned_by_fkey REFERENCES users (id) ON DELETE SET NULL,
    ADD COLUMN ban_reason text;

COMMENT ON COLUMN room_members.banned_at IS 'Since when this user is banned. NULL: not banned.';
COMMENT ON COLUMN room_members.banned_by IS 'Who banned this user.';
COMMENT ON COLUMN room_members.ban_reason IS 'What was given as the reason of the ban.';

-- Serves the list of a room's bans: WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3.
CREATE INDEX room_members_banned_idx ON room_members (room_id, user_id) WHERE state = 'banned';
