-- The tables of all three peers: each creates them at start if they are missing.

CREATE TABLE IF NOT EXISTS bench_members (
    room_id   text        NOT NULL,
    user_id   text        NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id)
);

CREATE TABLE IF NOT EXISTS bench_messages (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    room_id     text        NOT NULL,
    seq         bigserial   NOT NULL,
    sender_id   text        NOT NULL,
    sender_name text        NOT NULL,
    content     text        NOT NULL,
    type        text        NOT NULL DEFAULT 'text',
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Serves a page of history: WHERE room_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3.
CREATE INDEX IF NOT EXISTS bench_messages_room_seq ON bench_messages (room_id, seq DESC);
