ALTER TABLE users
    ADD COLUMN invisible boolean NOT NULL DEFAULT false,
    ADD COLUMN invisible_changed_at timestamptz;

-- Serves the look for what was changed just now at another server: WHERE invisible_changed_at > $1.
CREATE INDEX users_invisible_changed_at_idx ON users (invisible_changed_at) WHERE invisible_changed_at IS NOT NULL;

COMMENT ON COLUMN users.invisible IS 'Whether the user wants to look offline to everybody else.';
COMMENT ON COLUMN users.invisible_changed_at IS 'When that was last changed. NULL: never.';
