-- What operators ask of psql. None of these walks through the messages: they look at the rooms, which are few beside them, and
-- from there at what an index finds.
CREATE VIEW ops_rooms AS
SELECT r.id, r.slug, COALESCE(r.name, '(direct)') AS name, r.type, r.member_count AS members, owner.user_id AS owner, r.last_seq AS last_number,
    CASE WHEN r.last_message_seq IS NOT NULL THEN r.last_activity_at END AS last_message_at,
    r.created_at, r.archived_at IS NOT NULL AS archived, COALESCE(slow.seconds, 0) AS slow_mode_seconds,
    GREATEST(COALESCE(r.last_message_seq, 0) - COALESCE(indexed.indexed_seq, 0), 0) AS not_indexed
FROM rooms AS r
LEFT JOIN room_members AS owner ON owner.room_id = r.id AND owner.role = 'owner' AND owner.state = 'joined'
LEFT JOIN slow_rooms AS slow ON slow.room_id = r.id
LEFT JOIN search_rooms AS indexed ON indexed.room_id = r.id
WHERE r.deleted_at IS NULL;

COMMENT ON VIEW ops_rooms IS 'All rooms that are not deleted; for the liveliest: ORDER BY last_message_at DESC NULLS LAST LIMIT 20.';
COMMENT ON COLUMN ops_rooms.id IS 'The room''s id.';
COMMENT ON COLUMN ops_rooms.slug IS 'Its readable name in requests, if it has one.';
COMMENT ON COLUMN ops_rooms.name IS 'The name shown; (direct) for a direct room without one.';
COMMENT ON COLUMN ops_rooms.type IS 'group, public or direct.';
COMMENT ON COLUMN ops_rooms.members IS 'How many are in it.';
COMMENT ON COLUMN ops_rooms.owner IS 'The id of its owner. NULL for direct rooms, the default room and deserted ones.';
COMMENT ON COLUMN ops_rooms.last_number IS 'The number (seq) of the last thing that happened there.';
COMMENT ON COLUMN ops_rooms.last_message_at IS 'When the last message was stored.';
COMMENT ON COLUMN ops_rooms.created_at IS 'When it was made.';
COMMENT ON COLUMN ops_rooms.archived IS 'Whether it can only be read.';
COMMENT ON COLUMN ops_rooms.slow_mode_seconds IS 'How long members wait between two messages; 0: not in slow mode.';
COMMENT ON COLUMN ops_rooms.not_indexed IS 'How many numbers at its end are read one by one by searches, for they are not in the index yet.';

CREATE VIEW ops_message_rate AS
SELECT date_trunc('minute', m.created_at) AS minute, count(*) AS messages, count(DISTINCT r.id) AS rooms, count(DISTINCT m.author_id) AS authors
FROM rooms AS r
CROSS JOIN LATERAL (
    SELECT created_at, author_id
    FROM messages
    WHERE room_id = r.id
    ORDER BY seq DESC
    LIMIT 20000
) AS m
WHERE r.last_activity_at > now() - interval '1 hour' AND m.created_at > now() - interval '1 hour'
GROUP BY 1
ORDER BY 1 DESC;

COMMENT ON VIEW ops_message_rate IS 'Messages a minute in the last hour. Looks at the newest 20,000 of each room where something was said: of a room with more, the earlier minutes are short of some.';
COMMENT ON COLUMN ops_message_rate.minute IS 'When it begins.';
COMMENT ON COLUMN ops_message_rate.messages IS 'How many messages were stored, deleted ones included.';
COMMENT ON COLUMN ops_message_rate.rooms IS 'In how many rooms.';
COMMENT ON COLUMN ops_message_rate.authors IS 'By how many users.';

CREATE VIEW ops_slow_rooms AS
SELECT r.id, r.slug, r.name, slow.seconds, r.member_count AS members, turns.waiting, turns.last_turn_at
FROM slow_rooms AS slow
JOIN rooms AS r ON r.id = slow.room_id AND r.deleted_at IS NULL
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE t.taken_at > now() - make_interval(secs => slow.seconds)) AS waiting, max(t.taken_at) AS last_turn_at
    FROM slow_turns AS t
    WHERE t.room_id = slow.room_id
) AS turns ON true;

COMMENT ON VIEW ops_slow_rooms IS 'Rooms in slow mode, and how many wait there.';
COMMENT ON COLUMN ops_slow_rooms.id IS 'The room''s id.';
COMMENT ON COLUMN ops_slow_rooms.slug IS 'Its readable name in requests, if it has one.';
COMMENT ON COLUMN ops_slow_rooms.name IS 'The name shown.';
COMMENT ON COLUMN ops_slow_rooms.seconds IS 'How long members wait between two messages.';
COMMENT ON COLUMN ops_slow_rooms.members IS 'How many are in it.';
COMMENT ON COLUMN ops_slow_rooms.waiting IS 'How many spoke so lately that they cannot speak at the moment.';
COMMENT ON COLUMN ops_slow_rooms.last_turn_at IS 'When somebody who has to wait last spoke.';
