//! The statement that stores a batch of messages. What it costs is what a message costs, so there are two of it: one that also
//! counts replies at the roots of their threads, and one for the many batches in which nobody replies.

use super::columns::Columns;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, query_as};
use uuid::Uuid;

/// A room that was written to.
pub(super) struct Numbered {
    pub id: Uuid,
    /// Its last number before the batch.
    pub before: i64,
    /// The transaction's time.
    pub created_at: DateTime<Utc>,
}

/// The statement with further steps, and what those are given. Who may speak: `Link::refusals` gives the reasons for the same
/// conditions.
macro_rules! stored {
    ($columns:ident, $steps:literal $(, $given:expr)*) => {
        query_as!(
            Numbered,
            r#"WITH numbered AS (
                UPDATE rooms AS r
                SET last_seq = r.last_seq + c.messages,
                    last_message_seq = r.last_seq + c.messages,
                    last_activity_at = now(),
                    listed_at = CASE WHEN r.listed_at < now() - interval '1 second' THEN now() ELSE r.listed_at END
                FROM (
                    SELECT s.room_id, sum(s.messages)::bigint AS messages
                    FROM UNNEST($1::uuid[], $2::text[], $3::bigint[]) AS s (room_id, author_id, messages)
                    GROUP BY s.room_id
                    -- A look at one row of an index for each: as a join it may become a scan of the whole table.
                    HAVING bool_and(coalesce((
                        SELECT m.state = 'joined' AND m.role <> 'guest' AND (m.muted_until IS NULL OR m.muted_until <= now())
                        FROM room_members AS m
                        WHERE m.room_id = s.room_id AND m.user_id = s.author_id
                    ), false))
                ) AS c
                WHERE r.id = c.room_id AND r.deleted_at IS NULL AND r.archived_at IS NULL
                RETURNING r.id, r.last_seq - c.messages AS before
            ), stored AS (
                INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, client_msg_id, reply_to, thread_root_id, mentions, attachments, metadata)
                SELECT d.room_id, n.before + d.nth, n.before + d.nth, d.id, d.author_id, d.type, d.content, d.client_msg_id, d.reply_to, d.thread_root_id,
                    d.mentions, d.attachments, d.metadata
                FROM UNNEST($4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[], $11::uuid[], $12::uuid[], $13::jsonb[], $14::jsonb[], $15::jsonb[])
                    AS d (id, room_id, nth, author_id, type, content, client_msg_id, reply_to, thread_root_id, mentions, attachments, metadata)
                JOIN numbered AS n ON n.id = d.room_id
            "# + $steps + r#")
            SELECT id AS "id!", before AS "before!", now() AS "created_at!" FROM numbered"#,
            &$columns.speakers.rooms,
            &$columns.speakers.authors as &[&str],
            &$columns.speakers.counts,
            &$columns.ids,
            &$columns.rooms,
            &$columns.places,
            &$columns.authors as &[&str],
            &$columns.kinds as &[&str],
            &$columns.contents as &[&str],
            &$columns.client_msg_ids as &[Option<&str>],
            &$columns.reply_tos as &[Option<Uuid>],
            &$columns.threads as &[Option<Uuid>],
            &$columns.mentions as &[Option<&Value>],
            &$columns.attachments as &[Option<&Value>],
            &$columns.metadata as &[Option<&Value>]
            $(, $given)*
        )
    };
}

/// Stores messages and says which rooms they were stored in, and from which number on.
pub(super) async fn store(connection: &mut PgConnection, columns: &Columns<'_>) -> Result<Vec<Numbered>, sqlx::Error> {
    let replies = &columns.replies;
    if replies.roots.is_empty() {
        return stored!(columns, "").fetch_all(connection).await;
    }
    stored!(
        columns,
        r"), thread AS (
            SELECT t.root_id, count(*) AS replies, max(n.before + t.nth) AS last_seq, array_agg(t.author_id ORDER BY t.nth) AS authors
            FROM UNNEST($16::uuid[], $17::uuid[], $18::bigint[], $19::text[]) AS t (root_id, room_id, nth, author_id)
            JOIN numbered AS n ON n.id = t.room_id
            GROUP BY t.root_id
        ), answered AS (
            UPDATE messages AS root
            SET rev = t.last_seq,
                reply_count = COALESCE(root.reply_count, 0) + t.replies,
                last_reply_at = now(),
                last_reply_seq = t.last_seq,
                thread_participants = (
                    SELECT array_agg(one.id ORDER BY one.place)
                    FROM (
                        SELECT p.id, min(p.place) AS place
                        FROM UNNEST(COALESCE(root.thread_participants, '{}') || t.authors) WITH ORDINALITY AS p (id, place)
                        GROUP BY p.id
                        ORDER BY min(p.place)
                        LIMIT 50
                    ) AS one
                )
            FROM thread AS t
            -- By an index for each root: an equality could become a join with the whole table.
            WHERE root.id = ANY(ARRAY[t.root_id])
        ",
        &replies.roots,
        &replies.rooms,
        &replies.places,
        &replies.authors as &[&str]
    )
    .fetch_all(connection)
    .await
}
