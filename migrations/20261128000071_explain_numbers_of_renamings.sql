-- Before changes of rooms were numbered (20261126000010) a renaming, a change of topic or an archiving took a number and left it nowhere.
-- Rooms from that time get the last such number now, so that in them, too, every number after the last change is that of a message.
DO $$
BEGIN
    -- Where these files are applied by hand, nobody knows when; such a database is a new one.
    IF to_regclass('_sqlx_migrations') IS NULL THEN
        RETURN;
    END IF;
    UPDATE rooms
    SET changed_seq = GREATEST(rooms.changed_seq, renaming.seq)
    FROM (
        SELECT r.id, missing.seq
        FROM rooms AS r
        CROSS JOIN LATERAL (
            SELECT GREATEST(
                r.changed_seq,
                (SELECT max(rev) FROM messages WHERE room_id = r.id AND rev <> seq),
                (SELECT max(changed_seq) FROM room_members WHERE room_id = r.id AND changed_seq > 0)
            ) AS seq
        ) AS change
        CROSS JOIN LATERAL (
            SELECT number AS seq
            FROM generate_series(change.seq + 1, r.last_seq) AS number
            WHERE NOT EXISTS (SELECT FROM messages WHERE room_id = r.id AND messages.seq = number)
            ORDER BY number DESC
            LIMIT 1
        ) AS missing
        WHERE r.deleted_at IS NULL AND r.created_at < (SELECT installed_on FROM _sqlx_migrations WHERE version = 20261126000010)
    ) AS renaming
    WHERE renaming.id = rooms.id;
END
$$;
