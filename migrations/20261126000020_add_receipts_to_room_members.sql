-- No index on any of these: they move with almost every look at a room, and a row whose indexed columns stay as they are is
-- rewritten in place. Who has read a message is found by one walk through the room's members (room_members_room_id_idx).
ALTER TABLE room_members
    ADD COLUMN delivered_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN public_read_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN public_delivered_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN read_at timestamptz,
    ADD CONSTRAINT room_members_public_check CHECK (public_delivered_seq >= public_read_seq);

COMMENT ON COLUMN room_members.read_seq IS 'How far this member has read, as the member''s own devices see it. Goes back when something is marked as unread.';
COMMENT ON COLUMN room_members.delivered_seq IS 'How far the room''s messages have reached a device of this member. What was read was delivered, even where this is lower.';
COMMENT ON COLUMN room_members.public_read_seq IS 'How far this member has read, as others may know it. Never goes back.';
COMMENT ON COLUMN room_members.public_delivered_seq IS 'How far messages have reached this member, as others may know it. Never goes back.';
COMMENT ON COLUMN room_members.read_at IS 'When public_read_seq last moved.';
