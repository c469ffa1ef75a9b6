//! JSON within a text: by a name of its own our JSON library would read it as if it stood there, and nest it without a limit. Whoever sent
//! it could end the server, or leave a message behind that makes its room unreadable for all. `promises.md`, "Input".

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, TestApp, json::text};

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
