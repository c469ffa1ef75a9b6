-- An inverted index of what was said, written after the messages by a worker. It only says where to look: whatever it finds is
-- read again in messages before anybody sees it, so it may be behind, and it may be emptied at any time (TRUNCATE search_rooms
-- CASCADE; TRUNCATE search_postings): the worker makes it anew.
CREATE TABLE search_rooms (
    room_id uuid CONSTRAINT search_rooms_pkey PRIMARY KEY CONSTRAINT search_rooms_room_id_fkey REFERENCES rooms (id) ON DELETE CASCADE,
    indexed_seq bigint NOT NULL DEFAULT 0,
    changed_seq bigint NOT NULL DEFAULT 0
);

COMMENT ON TABLE search_rooms IS 'How far the index of each room has come. Whoever writes the index of a room holds this row. No row: nothing is indexed yet.';
COMMENT ON COLUMN search_rooms.room_id IS 'The room.';
COMMENT ON COLUMN search_rooms.indexed_seq IS 'Messages up to this number are in the index; a search reads those after it one by one.';
COMMENT ON COLUMN search_rooms.changed_seq IS 'Edits and deletions up to this number of the room are in the index.';

CREATE TABLE search_segments (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT search_segments_pkey PRIMARY KEY,
    room_id uuid NOT NULL CONSTRAINT search_segments_room_id_fkey REFERENCES search_rooms (room_id) ON DELETE CASCADE,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    disorder_ms bigint NOT NULL,
    postings bigint NOT NULL,
    -- What a list in search_postings can count.
    CONSTRAINT search_segments_span_check CHECK (last_seq BETWEEN first_seq AND first_seq + 65535)
);

-- Serves the segments of rooms: WHERE room_id = ANY($1); and the newest ones of a room, which grow together.
CREATE UNIQUE INDEX search_segments_room_id_key ON search_segments (room_id, first_seq);

COMMENT ON TABLE search_segments IS 'Stretches of rooms that are indexed together. Small ones grow together as the room goes on.';
COMMENT ON COLUMN search_segments.id IS 'Its number in search_postings.';
COMMENT ON COLUMN search_segments.room_id IS 'The room.';
COMMENT ON COLUMN search_segments.first_seq IS 'The number of its first message.';
COMMENT ON COLUMN search_segments.last_seq IS 'The number of its last message.';
COMMENT ON COLUMN search_segments.first_at IS 'The time of its earliest message.';
COMMENT ON COLUMN search_segments.last_at IS 'The time of its latest message.';
COMMENT ON COLUMN search_segments.disorder_ms IS 'By how many milliseconds a message may be earlier than one before it: clocks jump.';
COMMENT ON COLUMN search_segments.postings IS 'About how many entries its lists have: segments of a like size grow together.';

CREATE TABLE search_postings (
    segment_id bigint NOT NULL,
    token bigint NOT NULL,
    messages bytea NOT NULL,
    -- Serves a search: WHERE segment_id = $1 AND token = ANY($2).
    CONSTRAINT search_postings_pkey PRIMARY KEY (segment_id, token)
);
-- Lists are dense already, and their length is known without reading them.
ALTER TABLE search_postings ALTER COLUMN messages SET STORAGE EXTERNAL;

COMMENT ON TABLE search_postings IS 'In which messages of a segment each token is. No foreign key: the worker removes a segment and its lists together, and a look at the segment for each list would double what an entry costs.';
COMMENT ON COLUMN search_postings.segment_id IS 'The segment.';
COMMENT ON COLUMN search_postings.token IS 'Up to three characters, 21 bits each: three letters in a row, a shorter word, or one or two characters of a script without spaces. Negative: a hash of the author''s id.';
COMMENT ON COLUMN search_postings.messages IS 'Their numbers from the segment''s first one on: a byte 0 and the gaps between them as LEB128, or a byte 1 and a bit for each number.';
