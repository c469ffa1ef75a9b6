ALTER TABLE room_members ADD COLUMN ended_at timestamptz;

COMMENT ON COLUMN room_members.ended_at IS 'When the last membership ended, whichever way, unless its room was deleted. NULL: never, or before this was noted.';

-- Serve the look for those who are out since a moment ago, by whatever server: they hear nothing more at any.
CREATE INDEX room_members_ended_at_idx ON room_members (ended_at) WHERE ended_at IS NOT NULL AND state <> 'joined';
CREATE INDEX rooms_deleted_at_idx ON rooms (deleted_at) WHERE deleted_at IS NOT NULL;
