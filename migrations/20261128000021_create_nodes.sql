-- Who is connected where. Both tables are unlogged: whatever they hold is also known to the servers that wrote it, which write it
-- again when a crash of Postgres has emptied them. So ten thousand clients that come back cost no write-ahead log.
CREATE UNLOGGED TABLE nodes (
    id uuid CONSTRAINT nodes_pkey PRIMARY KEY,
    started_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    swept_version bigint NOT NULL DEFAULT 0 CONSTRAINT nodes_swept_version_check CHECK (swept_version <= version)
) WITH (fillfactor = 30);

COMMENT ON TABLE nodes IS 'The servers on this database. One that does not renew its lease is gone, and any other removes its row and its connections.';
COMMENT ON COLUMN nodes.id IS 'Random, another one each time that a server starts.';
COMMENT ON COLUMN nodes.started_at IS 'When the server started.';
COMMENT ON COLUMN nodes.renewed_at IS 'When the lease was last renewed: if the server is gone, its users were last seen then.';
COMMENT ON COLUMN nodes.lease_until IS 'Until when its connections count unless it is renewed. A server that stops ends it at once.';
COMMENT ON COLUMN nodes.version IS 'The number of its last writing to connections: who has read up to it has nothing to read.';
COMMENT ON COLUMN nodes.swept_version IS 'Connections that ended with this number or an earlier one may have been removed: who has not read so far reads everything anew.';

-- No references: each would lock and look up a row of its own for each of the thousands that come and go at once. `doctor` looks for
-- connections without a node; those of a user who is erased end with their session.
CREATE UNLOGGED TABLE connections (
    id uuid CONSTRAINT connections_pkey PRIMARY KEY,
    node_id uuid NOT NULL,
    user_id text NOT NULL,
    since timestamptz NOT NULL,
    shown boolean NOT NULL,
    ended_at timestamptz,
    version bigint NOT NULL
);

-- Serves what a node wrote since another one looked: WHERE node_id = $1 AND version > $2; and the removal of a node that is gone.
CREATE INDEX connections_node_id_idx ON connections (node_id, version);
-- Serves the removal of what has long ended: WHERE node_id = $1 AND version <= $2.
CREATE INDEX connections_ended_at_idx ON connections (node_id, version) WHERE ended_at IS NOT NULL;

COMMENT ON TABLE connections IS 'The authenticated sockets of all nodes. A user is online while one of them is shown, has not ended, and its node has a lease.';
COMMENT ON COLUMN connections.id IS 'The random name of the connection, as in session.ready.';
COMMENT ON COLUMN connections.node_id IS 'The server that it is at.';
COMMENT ON COLUMN connections.user_id IS 'Whose it is.';
COMMENT ON COLUMN connections.since IS 'When it came.';
COMMENT ON COLUMN connections.shown IS 'Whether it makes its user online: not after isOnline: false, nor for an invisible user.';
COMMENT ON COLUMN connections.ended_at IS 'When it ended. Such rows stay for a minute or two, for other nodes to read.';
COMMENT ON COLUMN connections.version IS 'With which of its node''s writings it became so.';

CREATE VIEW ops_online_users AS
SELECT c.user_id, u.username, u.name, c.node_id, n.started_at AS node_started_at,
    min(c.since) AS since, count(*)::integer AS connections, bool_or(c.shown) AS is_shown
FROM connections AS c
JOIN nodes AS n ON n.id = c.node_id AND n.lease_until > now()
JOIN users AS u ON u.id = c.user_id
WHERE c.ended_at IS NULL
GROUP BY c.user_id, u.username, u.name, c.node_id, n.started_at;

COMMENT ON VIEW ops_online_users IS 'Who is connected, at which server, and since when: a row for each user and server, a second or so old.';
COMMENT ON COLUMN ops_online_users.user_id IS 'The user.';
COMMENT ON COLUMN ops_online_users.username IS 'The name to log in with.';
COMMENT ON COLUMN ops_online_users.name IS 'The name to show.';
COMMENT ON COLUMN ops_online_users.node_id IS 'The server, as in nodes.';
COMMENT ON COLUMN ops_online_users.node_started_at IS 'When that server started.';
COMMENT ON COLUMN ops_online_users.since IS 'When the oldest of these connections came.';
COMMENT ON COLUMN ops_online_users.connections IS 'How many connections the user has there.';
COMMENT ON COLUMN ops_online_users.is_shown IS 'Whether one of them makes the user online for others: not if all said isOnline: false, or the user is invisible.';
