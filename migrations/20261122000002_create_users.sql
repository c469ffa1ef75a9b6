CREATE TABLE users (
    id text CONSTRAINT users_pkey PRIMARY KEY CONSTRAINT users_id_check CHECK (char_length(id) BETWEEN 1 AND 128),
    username text,
    name text,
    avatar_url text,
    user_type text NOT NULL DEFAULT 'user' CONSTRAINT users_user_type_check CHECK (user_type IN ('user', 'admin', 'bot')),
    password_hash text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deactivated_at timestamptz
);

-- Serves log-in, and keeps the names of own accounts unique whatever their case. Accounts of another system may share a name.
CREATE UNIQUE INDEX users_username_key ON users (lower(username)) WHERE password_hash IS NOT NULL;
-- Serve the user search: WHERE lower(username) LIKE 'ann%' OR lower(name) LIKE 'ann%'.
CREATE INDEX users_username_prefix_idx ON users (lower(username) text_pattern_ops);
CREATE INDEX users_name_prefix_idx ON users (lower(name) text_pattern_ops);

-- Serves the look for users that were just deactivated, whose sockets are to be closed.
CREATE INDEX users_deactivated_at_idx ON users (deactivated_at) WHERE deactivated_at IS NOT NULL;

COMMENT ON TABLE users IS 'Everybody who was ever seen: own accounts, subjects of another system''s tokens, and ids that were named as participants.';
COMMENT ON COLUMN users.id IS 'The sub of the user''s tokens, as the surrounding system spells it.';
COMMENT ON COLUMN users.username IS 'The name to log in with (own accounts), or preferred_username of the first token.';
COMMENT ON COLUMN users.name IS 'The name shown to others.';
COMMENT ON COLUMN users.avatar_url IS 'Where the picture is.';
COMMENT ON COLUMN users.user_type IS 'user, admin or bot: what the whole system lets this user do.';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, PHC string. NULL: the account lives in another system.';
COMMENT ON COLUMN users.created_at IS 'When this user was first seen.';
COMMENT ON COLUMN users.updated_at IS 'When the profile last changed.';
COMMENT ON COLUMN users.deactivated_at IS 'Since when this user may not come in.';
