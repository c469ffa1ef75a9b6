CREATE TABLE last_seen (
    user_id text CONSTRAINT last_seen_pkey PRIMARY KEY CONSTRAINT last_seen_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    last_seen_at timestamptz NOT NULL
) WITH (fillfactor = 60);

COMMENT ON TABLE last_seen IS 'When each user was last seen. Apart from users, since it changes often.';
COMMENT ON COLUMN last_seen.user_id IS 'The user.';
COMMENT ON COLUMN last_seen.last_seen_at IS 'The last action or the end of the last connection; written at most once a minute and at the edge.';
