//! JSON within a text: by a name of its own our JSON library would read it as if it stood there, and nest it without a limit. Whoever sent
//! it could end the server, or leave a message behind that makes its room unreadable for all. `promises.md`, "Input".

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, TestApp, ires_chat, json::text};

const NAME: &str = "$serde_json::private::RawValue";

/// As deep as it gets with so many bytes.
fn deep(most: usize) -> String {
    let mut json = "1".to_owned();
    loop {
        let deeper = format!("{}{}{}", "[".repeat(120), json!({ NAME: json }), "]".repeat(120));
        if deeper.len() > most {
            return json;
        }
        json = deeper;
    }
}

#[tokio::test]
async fn no_stranger_ends_the_server_by_json_that_hides_json() {
    let app = TestApp::start().await;
    let other = app.user("bob").await.connect().await;

    let body = format!("{{\"username\":{}}}", deep(250_000));
    let request = app.http.post(format!("{}/api/v1/auth/login", app.base())).header("content-type", "application/json");
    assert_eq!(request.body(body).send().await.unwrap().status(), 400);
    let transport = app.dial().open_transport().await.unwrap();
    transport.send_raw(&format!("40/chat,{{\"token\":{}}}", deep(900_000)));
    let socket = app.dial().open().await.unwrap();
    socket.send_raw(&format!("42/chat,[\"auth:login\",{{\"token\":{}}}]", deep(60_000)));
    assert_eq!(socket.expect("system:error").await["code"], "PAYLOAD_INVALID");

    other.say("general", "untroubled").await;
}

#[tokio::test]
async fn no_message_makes_its_room_unreadable() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    let message = alice.say("general", "one").await;
    let escaped = NAME.replace('$', "\\u0024");
    let objects = [
        json!({ "x": { NAME: deep(500) } }).to_string(),
        json!({ NAME: "]" }).to_string(),
        // Not the first name as it comes, but as the database keeps it.
        format!("{{\"{}\":1,\"{NAME}\":\"]\"}}", "z".repeat(40)),
        format!("{{\"a\":[{{\"{}\":1,\"{escaped}\":\"]\"}}]}}", "z".repeat(40)),
    ];
    for object in objects {
        for field in [format!("\"metadata\":{object}"), format!("\"attachments\":[{object}]")] {
            let payload = format!("{{\"content\":\"two\",{field}}}");
            let ack = socket.ack(socket.post_raw(&format!("[\"chat:message\",{payload}]"))).await;
            assert_eq!(ack["error"]["code"], "PAYLOAD_INVALID", "{payload}: {ack}");
            let posted = alice.request(Method::POST, "/rooms/general/messages").header("content-type", "application/json");
            assert_eq!(Reply::of(posted.body(payload)).await.refused(400), "PAYLOAD_INVALID");
        }
    }
    let reaction = alice.put(&format!("/messages/{}/reactions/{NAME}", text(&message["id"])), &json!({})).await;
    assert_eq!(reaction.refused(400), "VALIDATION_ERROR");

    let one = alice.history("general").await;
    assert_eq!(one.iter().map(|message| text(&message["content"])).collect::<Vec<_>>(), ["one"]);
    // What only looks like it is a text like any other.
    let said = socket.emit_ok("chat:message", &json!({ "content": NAME, "metadata": { "a": NAME } })).await;
    assert_eq!(alice.history("general").await[1]["metadata"], said["metadata"]);
    app.user("bob").await.connect().await;
}

#[tokio::test]
async fn what_was_stored_before_it_was_refused_makes_no_room_unreadable_after_the_upgrade() {
    let mut app = TestApp::start().await;
    let alice = app.user("alice").await;
    for content in ["named", "deep", "attached", "reacted to", "healthy"] {
        alice.say("general", content).await;
    }
    let healthy = json!({ "a": [{ "b": NAME }] });
    app.execute(&format!(
        r#"UPDATE messages SET metadata = '{{"a": {{"{NAME}": "]"}}}}' WHERE content = 'named';
           UPDATE messages SET metadata = ('{{"a": ' || repeat('[', 200) || repeat(']', 200) || '}}')::jsonb WHERE content = 'deep';
           UPDATE messages SET attachments = '[{{"{NAME}": "]"}}]' WHERE content = 'attached';
           UPDATE messages SET metadata = '{healthy}' WHERE content = 'healthy';
           WITH reacted AS (UPDATE messages SET reactions = '{{"{NAME}": 1, "👍": 1}}', rev = 6 WHERE content = 'reacted to' RETURNING *)
           INSERT INTO reactions (message_id, emoji, user_id, room_id, seq)
           SELECT id, emoji, 'alice', room_id, 6 FROM reacted CROSS JOIN UNNEST(ARRAY['{NAME}', '👍']) AS emoji;
           UPDATE rooms SET last_seq = 6 WHERE slug = 'general'"#
    ))
    .await;
    assert_eq!(alice.get("/rooms/general/messages").await.refused(500), "INTERNAL_ERROR");

    app.execute("DELETE FROM _sqlx_migrations WHERE version = 20261128000072").await;
    app.restart();

    let history = app.stranger("alice").history("general").await;
    let shown: Vec<_> = history.iter().map(|message| json!([message["metadata"], message["attachments"], message["reactions"]])).collect();
    let bare = json!([null, [], {}]);
    assert_eq!(shown, [bare.clone(), bare.clone(), bare, json!([null, [], { "👍": 1 }]), json!([healthy, [], {}])]);
    app.stop();
    let examined = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(examined.code, Some(0), "{}", examined.stdout);
}
