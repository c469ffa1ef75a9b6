-- A room has one owner. Should it have several, written by hand, the one who has been in it longest stays.
UPDATE room_members AS m
SET role = 'admin'
FROM (
    SELECT room_id, user_id, row_number() OVER (PARTITION BY room_id ORDER BY joined_at, user_id) AS place
    FROM room_members
    WHERE role = 'owner' AND state = 'joined'
) AS owner
WHERE owner.room_id = m.room_id AND owner.user_id = m.user_id AND owner.place > 1;

-- Owners could leave without an heir. What they left goes to the member who stands highest and has been there longest;
-- the default room, which nobody made, never had an owner.
UPDATE room_members AS m
SET role = 'owner'
FROM (
    SELECT DISTINCT ON (m.room_id) m.room_id, m.user_id
    FROM room_members AS m
    JOIN rooms AS r ON r.id = m.room_id
    WHERE m.state = 'joined' AND r.type <> 'direct' AND r.created_by IS NOT NULL AND r.deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM room_members AS owner WHERE owner.room_id = r.id AND owner.role = 'owner' AND owner.state = 'joined')
    ORDER BY m.room_id, array_position(ARRAY['admin', 'moderator', 'member', 'guest'], m.role), m.joined_at, m.user_id
) AS heir
WHERE heir.room_id = m.room_id AND heir.user_id = m.user_id;

-- Keeps a room from having two owners, and serves the look for the rooms of owners who were deactivated.
CREATE UNIQUE INDEX room_members_owner_key ON room_members (room_id) WHERE role = 'owner' AND state = 'joined';
