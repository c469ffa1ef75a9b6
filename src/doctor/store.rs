//! SQL of the doctor: each statement finds the rows that break one invariant, and says of each what is wrong.
//!
//! Most of them read whole tables, side by side, in one pass that Postgres may put aside on disk; what comes back is a count, which
//! ends at 1,000, and three of the rows, so that memory stays small however much there is and however much is broken.

use crate::error::Result;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, query, query_as, query_scalar};

/// What an examination found.
pub(super) struct Found {
    /// How many rows, up to 1,000.
    pub broken: i64,
    /// What is wrong with some of them.
    pub examples: Vec<String>,
}

/// Counts the rows that a statement finds, each a text `what`.
macro_rules! broken {
    ($name:ident, $about:literal, $rows:literal) => {
        #[doc = $about]
        pub(super) async fn $name(db: &mut PgConnection) -> Result<Found> {
            Ok(query_as!(
                Found,
                r#"-- Reads everything.
                SELECT count(*) AS "broken!", COALESCE((array_agg(what))[1:3], '{}') AS "examples!"
                FROM (SELECT what FROM ("#
                    + $rows
                    + r#") AS rows LIMIT 1000) AS first"#
            )
            .fetch_one(db)
            .await?)
        }
    };
}

broken!(
    orphans,
    "Rows whose room, author or message is not there.",
    r"SELECT format('message %s: there is no room %s', m.id, m.room_id) AS what
      FROM messages AS m LEFT JOIN rooms AS r ON r.id = m.room_id WHERE r.id IS NULL
      UNION ALL
      SELECT format('message %s in room %s: there is no user %L', m.id, m.room_id, m.author_id)
      FROM messages AS m LEFT JOIN users AS u ON u.id = m.author_id WHERE u.id IS NULL
      UNION ALL
      SELECT format('reaction of user %L: there is no message %s', e.user_id, e.message_id)
      FROM reactions AS e LEFT JOIN messages AS m ON m.id = e.message_id WHERE m.id IS NULL OR m.room_id <> e.room_id
      UNION ALL
      SELECT format('earlier text %s: there is no message %s', e.number, e.message_id)
      FROM message_edits AS e LEFT JOIN messages AS m ON m.id = e.message_id WHERE m.id IS NULL
      UNION ALL
      SELECT format('reaction to message %s: there is no user %L', e.message_id, e.user_id)
      FROM reactions AS e LEFT JOIN users AS u ON u.id = e.user_id WHERE u.id IS NULL
      UNION ALL
      SELECT format('message %s in room %s: it answers %s, which is not there', answer.id, answer.room_id, answer.reply_to)
      FROM messages AS answer LEFT JOIN messages AS m ON m.id = answer.reply_to
      WHERE answer.reply_to IS NOT NULL AND (m.id IS NULL OR m.room_id <> answer.room_id)
      UNION ALL
      SELECT format('membership of user %L: there is no room %s, or no such user', s.user_id, s.room_id)
      FROM room_members AS s LEFT JOIN rooms AS r ON r.id = s.room_id LEFT JOIN users AS u ON u.id = s.user_id WHERE r.id IS NULL OR u.id IS NULL"
);

broken!(
    connections,
    "Connections of no server.",
    r"SELECT format('connection %s of user %L: there is no node %s', c.id, c.user_id, c.node_id) AS what
      FROM connections AS c LEFT JOIN nodes AS n ON n.id = c.node_id WHERE n.id IS NULL"
);

broken!(
    threads,
    "Replies whose root is not there, is in another room, or is a reply.",
    r"SELECT format('message %s in room %s: %s is no root of a thread there', reply.id, reply.room_id, reply.thread_root_id) AS what
      FROM messages AS reply LEFT JOIN messages AS root ON root.id = reply.thread_root_id
      WHERE reply.thread_root_id IS NOT NULL AND (root.id IS NULL OR root.room_id <> reply.room_id OR root.thread_root_id IS NOT NULL)"
);

broken!(
    beyond_last,
    "What has a number that its room has not reached, or a last change before its birth.",
    r"SELECT format('message %s in room %s: number %s, last change %s, but the room is at %s', m.id, r.id, m.seq, m.rev, r.last_seq) AS what
      FROM messages AS m JOIN rooms AS r ON r.id = m.room_id WHERE GREATEST(m.seq, m.rev) > r.last_seq OR m.rev < m.seq
      UNION ALL
      SELECT format('reaction of user %L in room %s: number %s, but the room is at %s', e.user_id, r.id, e.seq, r.last_seq)
      FROM reactions AS e JOIN rooms AS r ON r.id = e.room_id WHERE e.seq > r.last_seq
      UNION ALL
      SELECT format('membership of user %L in room %s: number %s, but the room is at %s', s.user_id, r.id, s.changed_seq, r.last_seq)
      FROM room_members AS s JOIN rooms AS r ON r.id = s.room_id WHERE s.changed_seq > r.last_seq
      UNION ALL
      SELECT format('room %s: changed under number %s, but it is at %s', id, changed_seq, last_seq) FROM rooms WHERE changed_seq > last_seq"
);

broken!(
    unexplained_last,
    "Rooms whose last number is that of nothing: whatever takes one leaves it in a row, and the last one cannot have been overwritten.",
    r"SELECT format('room %s: it is at %s, and the last thing that happened there is %s', r.id, r.last_seq, last.seq) AS what
      FROM rooms AS r
      CROSS JOIN LATERAL (
          SELECT GREATEST(
              r.changed_seq,
              (SELECT max(seq) FROM messages WHERE room_id = r.id),
              (SELECT max(rev) FROM messages WHERE room_id = r.id AND rev <> seq),
              (SELECT max(changed_seq) FROM room_members WHERE room_id = r.id AND changed_seq > 0)
          ) AS seq
      ) AS last
      WHERE r.deleted_at IS NULL AND last.seq < r.last_seq"
);

broken!(
    holes,
    "Rooms that have a number after their last change which is that of no message. (Before it, what had a number may have another one now.)",
    r"SELECT format('room %s: it is at %s, and of its numbers after %s only %s are those of messages', r.id, r.last_seq, change.seq, born.messages) AS what
      FROM rooms AS r
      CROSS JOIN LATERAL (
          SELECT GREATEST(
              r.changed_seq,
              (SELECT max(rev) FROM messages WHERE room_id = r.id AND rev <> seq),
              (SELECT max(changed_seq) FROM room_members WHERE room_id = r.id AND changed_seq > 0)
          ) AS seq
      ) AS change
      CROSS JOIN LATERAL (SELECT count(*) AS messages FROM messages WHERE room_id = r.id AND seq > change.seq) AS born
      WHERE r.deleted_at IS NULL AND born.messages < r.last_seq - change.seq"
);

broken!(
    doubled,
    "Numbers that two things have. A reply gives its own to the root of its thread, what was deleted together shares one, and so do
     those between whom a room passes.",
    r"SELECT format('room %s: number %s is that of message %s and of a change of message %s', born.room_id, born.seq, born.id, changed.id) AS what
      FROM messages AS changed JOIN messages AS born ON born.room_id = changed.room_id AND born.seq = changed.rev
      WHERE changed.rev <> changed.seq AND born.thread_root_id IS DISTINCT FROM changed.id
      UNION ALL
      SELECT format('room %s: number %s is that of message %s and of the membership of user %L', born.room_id, born.seq, born.id, s.user_id)
      FROM room_members AS s JOIN messages AS born ON born.room_id = s.room_id AND born.seq = s.changed_seq WHERE s.changed_seq > 0
      UNION ALL
      SELECT format('room %s: number %s is that of message %s and of the reaction of user %L', born.room_id, born.seq, born.id, e.user_id)
      FROM reactions AS e JOIN messages AS born ON born.room_id = e.room_id AND born.seq = e.seq
      UNION ALL
      SELECT format('room %s: number %s is that of message %s and of a change of the room', born.room_id, born.seq, born.id)
      FROM rooms AS r JOIN messages AS born ON born.room_id = r.id AND born.seq = r.changed_seq WHERE r.changed_seq > 0
      UNION ALL
      SELECT format('room %s: number %s is that of %s', room_id, seq, array_to_string((array_agg(DISTINCT thing))[1:4], ' and of '))
      FROM (
          SELECT room_id, rev AS seq, id AS message_id, deleted_at IS NOT NULL AS is_deletion, format('a change of message %s', id) AS thing
          FROM messages
          WHERE rev <> seq
          UNION ALL
          SELECT room_id, seq, message_id, false, format('the reaction of user %L', user_id) FROM reactions
          UNION ALL
          SELECT room_id, changed_seq, NULL, false, format('the membership of user %L', user_id) FROM room_members WHERE changed_seq > 0
          UNION ALL
          SELECT id, changed_seq, id, false, 'a change of the room' FROM rooms WHERE changed_seq > 0
      ) AS changes
      GROUP BY room_id, seq
      HAVING count(DISTINCT message_id) + bool_or(message_id IS NULL)::integer > 1 AND NOT (bool_or(is_deletion) AND bool_and(message_id IS NOT NULL))"
);

broken!(
    members,
    "Rooms that count their members wrong, and deleted ones that have some.",
    r"SELECT format('room %s: it counts %s members and has %s', r.id, r.member_count, m.members) AS what
      FROM rooms AS r
      CROSS JOIN LATERAL (SELECT count(*) AS members FROM room_members WHERE room_id = r.id AND state = 'joined') AS m
      WHERE r.member_count <> m.members OR r.deleted_at IS NOT NULL AND m.members > 0"
);

broken!(
    last_messages,
    "Rooms that do not know their last message.",
    r"SELECT format('room %s: its last message should be %s, and is %s', r.id, r.last_message_seq, m.seq) AS what
      FROM rooms AS r
      CROSS JOIN LATERAL (SELECT max(seq) AS seq FROM messages WHERE room_id = r.id) AS m
      WHERE r.deleted_at IS NULL AND r.last_message_seq IS DISTINCT FROM m.seq"
);

broken!(
    markers,
    "Markers ahead of their room.",
    r"SELECT format('user %L in room %s: a marker is at %s, but the room is at %s', m.user_id, r.id,
          GREATEST(m.read_seq, m.delivered_seq, m.public_read_seq, m.public_delivered_seq), r.last_seq) AS what
      FROM room_members AS m JOIN rooms AS r ON r.id = m.room_id
      WHERE GREATEST(m.read_seq, m.delivered_seq, m.public_read_seq, m.public_delivered_seq) > r.last_seq"
);

broken!(
    owners,
    "Rooms that somebody made and where somebody is, and that have no owner or several.",
    r"SELECT format('room %s: it has %s owners', r.id, m.owners) AS what
      FROM rooms AS r
      CROSS JOIN LATERAL (SELECT count(*) AS owners FROM room_members WHERE room_id = r.id AND state = 'joined' AND role = 'owner') AS m
      WHERE r.deleted_at IS NULL
        AND (m.owners > 1 OR m.owners = 0 AND r.member_count > 0 AND r.created_by IS NOT NULL AND r.type <> 'direct' OR m.owners > 0 AND r.type = 'direct')"
);

broken!(
    replies,
    "Roots of threads that count their replies wrong.",
    r"SELECT format('message %s in room %s: it counts %s replies and has %s', m.id, m.room_id, m.reply_count, t.replies) AS what
      FROM messages AS m
      LEFT JOIN (
          SELECT thread_root_id, count(*) FILTER (WHERE deleted_at IS NULL) AS replies
          FROM messages
          WHERE thread_root_id IS NOT NULL
          GROUP BY thread_root_id
      ) AS t ON t.thread_root_id = m.id
      WHERE m.reply_count IS DISTINCT FROM t.replies"
);

broken!(
    reactions,
    "Messages that count their reactions wrong.",
    r"SELECT format('message %s in room %s: it counts %s and has %s', m.id, m.room_id, m.reactions, c.reactions) AS what
      FROM messages AS m
      LEFT JOIN (
          SELECT message_id, jsonb_object_agg(emoji, times) AS reactions
          FROM (SELECT message_id, emoji, count(*) AS times FROM reactions GROUP BY message_id, emoji) AS each_emoji
          GROUP BY message_id
      ) AS c ON c.message_id = m.id
      WHERE m.reactions IS DISTINCT FROM c.reactions"
);

broken!(
    edits,
    "Messages some of whose earlier texts are missing, or are still there though the message was deleted.",
    r"SELECT format('message %s in room %s: edited %s times, and %s earlier texts are kept', m.id, m.room_id, m.edit_count, COALESCE(e.kept, 0)) AS what
      FROM messages AS m
      LEFT JOIN (SELECT message_id, count(*) AS kept, max(number) AS last FROM message_edits GROUP BY message_id) AS e ON e.message_id = m.id
      WHERE m.deleted_at IS NULL AND (COALESCE(e.kept, 0) <> m.edit_count OR COALESCE(e.last, 0) <> m.edit_count)
         OR m.deleted_at IS NOT NULL AND e.kept > 0"
);

broken!(
    remains,
    "Deleted messages that still hold something.",
    r"SELECT format('message %s in room %s: deleted, and something of it is still there', id, room_id) AS what
      FROM messages
      WHERE deleted_at IS NOT NULL
        AND (content <> '' OR mentions IS NOT NULL OR attachments IS NOT NULL OR metadata IS NOT NULL OR reactions IS NOT NULL OR pinned_at IS NOT NULL)"
);

broken!(
    index_of_searches,
    "What the index of searches says of rooms and messages that are not there yet, or not any more, and messages that should be in it.",
    r"SELECT format('room %s: the index is at %s and %s, but the room is at %s', r.id, s.indexed_seq, s.changed_seq, r.last_seq) AS what
      FROM search_rooms AS s JOIN rooms AS r ON r.id = s.room_id WHERE GREATEST(s.indexed_seq, s.changed_seq) > r.last_seq
      UNION ALL
      SELECT format('room %s: segment %s ends at %s, but the index is at %s', g.room_id, g.id, g.last_seq, s.indexed_seq)
      FROM search_segments AS g JOIN search_rooms AS s ON s.room_id = g.room_id WHERE g.last_seq > s.indexed_seq
      UNION ALL
      SELECT format('segment %s: it is not there, but some of its lists are', p.segment_id)
      FROM search_postings AS p LEFT JOIN search_segments AS g ON g.id = p.segment_id WHERE g.id IS NULL
      UNION ALL
      SELECT format('room %s: segment %s has no lists, but message %s is in it', g.room_id, g.id, m.id)
      FROM search_segments AS g
      CROSS JOIN LATERAL (
          SELECT id FROM messages WHERE room_id = g.room_id AND seq BETWEEN g.first_seq AND g.last_seq AND deleted_at IS NULL ORDER BY seq LIMIT 1
      ) AS m
      WHERE NOT EXISTS (SELECT FROM search_postings WHERE segment_id = g.id)
      UNION ALL
      SELECT format('room %s: message %s should be in a segment, and is in none', gap.room_id, m.id)
      FROM (
          SELECT room_id, lag(last_seq, 1, 0::bigint) OVER (PARTITION BY room_id ORDER BY first_seq) AS after, first_seq AS before
          FROM (
              SELECT room_id, first_seq, last_seq FROM search_segments
              UNION ALL
              SELECT room_id, indexed_seq + 1, indexed_seq FROM search_rooms
          ) AS stretches
      ) AS gap
      CROSS JOIN LATERAL (
          SELECT id FROM messages WHERE room_id = gap.room_id AND seq > gap.after AND seq < gap.before AND deleted_at IS NULL ORDER BY seq LIMIT 1
      ) AS m"
);

broken!(
    stubs,
    "Erased accounts of which something is left.",
    r"SELECT format('user %L: erased, and still in room %s', u.id, m.room_id) AS what
      FROM users AS u JOIN erasures AS e ON e.user_id = u.id AND e.finished_at IS NOT NULL JOIN room_members AS m ON m.user_id = u.id AND m.state = 'joined'
      UNION ALL
      SELECT format('user %L: erased, and there is no order for it', u.id)
      FROM users AS u LEFT JOIN erasures AS e ON e.user_id = u.id WHERE u.erased_at IS NOT NULL AND e.user_id IS NULL
      UNION ALL
      SELECT format('user %L: to be erased, and not yet a stub', u.id) FROM users AS u JOIN erasures AS e ON e.user_id = u.id WHERE u.erased_at IS NULL"
);

broken!(
    identity,
    "A database that does not say which history it holds.",
    r"SELECT format('there are %s rows in database_identity', count(*)) AS what FROM database_identity HAVING count(*) <> 1"
);

broken!(
    schema,
    "Indexes and constraints that do not hold for all rows.",
    r"SELECT format('index %s is not valid', c.relname) AS what
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT (i.indisvalid AND i.indisready)
      UNION ALL
      SELECT format('constraint %s of %s is not validated', conname, conrelid::regclass)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND NOT convalidated"
);

broken!(
    settings,
    "Settings with which a crash loses what was acknowledged.",
    r"SELECT format('%s is off', name) AS what
      FROM pg_settings
      WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'"
);

/// What the schema has, a thing a line: columns, indexes, constraints and views, in the order of their names.
///
/// # Errors
/// Those of the database.
pub(super) async fn things(db: &mut PgConnection) -> Result<Vec<String>> {
    let things = query_scalar!(
        r#"SELECT thing AS "thing!"
           FROM (
               SELECT format('column %s.%s', c.relname, a.attname) AS thing
               FROM pg_class AS c
               JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
               UNION ALL
               SELECT format('%s %s', CASE relkind WHEN 'i' THEN 'index' ELSE 'view' END, relname)
               FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'v') AND relname <> '_sqlx_migrations_pkey'
               UNION ALL
               SELECT format('constraint %s', conname)
               FROM pg_constraint
               WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f') AND conrelid <> 0
           ) AS things
           ORDER BY thing COLLATE "C""#
    );
    Ok(things.fetch_all(db).await?)
}

/// What time it is for the database, at this moment.
///
/// # Errors
/// Those of the database.
pub(super) async fn clock(db: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(query!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(db).await?.now)
}

/// How many erasures wait to be finished.
///
/// # Errors
/// Those of the database.
pub(super) async fn unfinished(db: &mut PgConnection) -> Result<i64> {
    Ok(query!(r#"SELECT count(*) AS "erasures!" FROM erasures WHERE finished_at IS NULL"#).fetch_one(db).await?.erasures)
}
