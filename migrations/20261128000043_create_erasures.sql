ALTER TABLE users
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT users_erased_check CHECK (erased_at IS NULL OR deactivated_at IS NOT NULL AND password_hash IS NULL AND username IS NULL);

COMMENT ON COLUMN users.erased_at IS 'Since when the account is gone. The row stays as a stub, so that a token of this subject does not make it anew.';

CREATE TABLE erasures (
    user_id text CONSTRAINT erasures_pkey PRIMARY KEY
        CONSTRAINT erasures_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    messages text NOT NULL CONSTRAINT erasures_messages_check CHECK (messages IN ('keep', 'delete')),
    ordered_at timestamptz NOT NULL DEFAULT now(),
    done_room_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    finished_at timestamptz
);

-- Serves the look for what is to be done.
CREATE INDEX erasures_unfinished_idx ON erasures (ordered_at) WHERE finished_at IS NULL;

COMMENT ON TABLE erasures IS 'Accounts that were erased. Profile and sessions go with the order; a running server then does the rest, room by room.';
COMMENT ON COLUMN erasures.user_id IS 'Whose account.';
COMMENT ON COLUMN erasures.messages IS 'keep: what the user said stays, under no name. delete: it goes, with the user''s reactions.';
COMMENT ON COLUMN erasures.ordered_at IS 'When it was ordered.';
COMMENT ON COLUMN erasures.done_room_id IS 'Rooms up to this one, in the order of their ids, are done: who is interrupted goes on after it.';
COMMENT ON COLUMN erasures.finished_at IS 'When nothing was left to be done.';

-- With sessions_user_id_idx it finds all sessions of a user, for their removal.
CREATE INDEX sessions_revoked_user_id_idx ON sessions (user_id) WHERE revoked_at IS NOT NULL;

-- With room_members_user_id_idx it finds all rooms that a user is or was in.
CREATE INDEX room_members_former_idx ON room_members (user_id, room_id) WHERE state <> 'joined';
