-- Every message updates its room's row: the free space of a page lets the new version stay beside the old one.
CREATE TABLE rooms (
    id uuid CONSTRAINT rooms_pkey PRIMARY KEY,
    slug text,
    type text NOT NULL CONSTRAINT rooms_type_check CHECK (type IN ('group', 'public', 'direct')),
    name text CONSTRAINT rooms_name_check CHECK (name IS NOT NULL OR type = 'direct'),
    topic text,
    created_by text CONSTRAINT rooms_created_by_fkey REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz,
    deleted_at timestamptz,
    member_count integer NOT NULL DEFAULT 0,
    last_seq bigint NOT NULL DEFAULT 0,
    last_message_seq bigint,
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    listed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 60);

-- Finds a room by its slug.
CREATE UNIQUE INDEX rooms_slug_key ON rooms (slug);
-- Serves the listing of public rooms: ORDER BY listed_at DESC, id DESC.
CREATE INDEX rooms_public_idx ON rooms (listed_at DESC, id DESC) WHERE type = 'public' AND deleted_at IS NULL;

COMMENT ON TABLE rooms IS 'Places to talk: groups, public rooms and direct conversations.';
COMMENT ON COLUMN rooms.id IS 'UUIDv7; for a direct room, or one made with a clientRoomId, a UUIDv8 of what makes it unique.';
COMMENT ON COLUMN rooms.slug IS 'A readable name that every room parameter accepts in place of the id.';
COMMENT ON COLUMN rooms.type IS 'group: its members only. public: everybody may join. direct: two users, for ever the same room.';
COMMENT ON COLUMN rooms.name IS 'The name shown. A direct room may have none: it is shown by the other user''s name.';
COMMENT ON COLUMN rooms.topic IS 'What the room is about.';
COMMENT ON COLUMN rooms.created_by IS 'Who made it. NULL: the server.';
COMMENT ON COLUMN rooms.created_at IS 'When it was made.';
COMMENT ON COLUMN rooms.archived_at IS 'Since when it can only be read.';
COMMENT ON COLUMN rooms.deleted_at IS 'Since when it is gone for everybody.';
COMMENT ON COLUMN rooms.member_count IS 'How many members it has.';
COMMENT ON COLUMN rooms.last_seq IS 'The number of the last thing that happened in the room. Taken only by the statement that writes that thing, so numbers are dense and in commit order.';
COMMENT ON COLUMN rooms.last_message_seq IS 'The number of the last message.';
COMMENT ON COLUMN rooms.last_activity_at IS 'When the last message was stored. Not indexed, so that a message does not touch an index.';
COMMENT ON COLUMN rooms.listed_at IS 'last_activity_at, renewed at most once a second: indexed for the listing of public rooms.';
