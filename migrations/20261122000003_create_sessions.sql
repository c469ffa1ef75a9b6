CREATE TABLE sessions (
    id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
    user_id text NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    token_key bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- Finds the session of another system's token.
CREATE UNIQUE INDEX sessions_token_key_key ON sessions (token_key);
-- Serves the list of a user's sessions, newest first, and the revocation of all of them.
CREATE INDEX sessions_user_id_idx ON sessions (user_id, id DESC) WHERE revoked_at IS NULL;

-- Serves the look for sessions that were just revoked, here or by another server, whose sockets are to be closed.
CREATE INDEX sessions_revoked_at_idx ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- Serves the removal of what has long expired.
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'One log-in, or one token of another system. Revoking the row ends it everywhere.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7; the sid of our own access tokens.';
COMMENT ON COLUMN sessions.user_id IS 'Whose session.';
COMMENT ON COLUMN sessions.token_key IS 'SHA-256 of user and jti of another system''s token, or of the token itself. NULL: our own log-in.';
COMMENT ON COLUMN sessions.created_at IS 'When it began.';
COMMENT ON COLUMN sessions.last_used_at IS 'When it was last refreshed.';
COMMENT ON COLUMN sessions.expires_at IS 'When it ends by itself.';
COMMENT ON COLUMN sessions.revoked_at IS 'When it was ended by a log-out or a revocation.';

CREATE TABLE refresh_tokens (
    hash bytea CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
    session_id uuid NOT NULL CONSTRAINT refresh_tokens_session_id_fkey REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

-- Serves the removal of a session's tokens.
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

-- Serves the removal of what has long expired.
CREATE INDEX refresh_tokens_expires_at_idx ON refresh_tokens (expires_at);

COMMENT ON TABLE refresh_tokens IS 'Every refresh token that was handed out and has not expired; each may be used once.';
COMMENT ON COLUMN refresh_tokens.hash IS 'SHA-256 of the token. The token itself is nowhere.';
COMMENT ON COLUMN refresh_tokens.session_id IS 'The session that it renews.';
COMMENT ON COLUMN refresh_tokens.created_at IS 'When it was handed out.';
COMMENT ON COLUMN refresh_tokens.expires_at IS 'When it can no longer be used.';
COMMENT ON COLUMN refresh_tokens.used_at IS 'When it was exchanged. A second use soon after is a lost reply; a later one is theft and ends the session.';
