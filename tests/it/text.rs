//! What may be said, and that it survives byte for byte: contract section 4, "Limits".

use serde_json::{Value, json};

use crate::support::{TestApp, TestSocket, TestUser};

async fn den(app: &TestApp) -> (TestUser, TestSocket, TestSocket, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice.clone(), alice.connect().await, bob.connect().await, room)
}

/// Texts that careless servers change.
fn awkward_texts() -> Vec<String> {
    let plain = [
        "plain",
        "  leading and trailing  ",
        "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 🇪🇺 𝕏",
        "right to left: שלום مرحبا, and an override \u{202e}abc\u{202c}",
        "combining: e\u{301} is not é; Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
        "line separators \u{2028} \u{2029} \u{85} \u{b} \u{c}",
        "quotes \" ' ` \\ \\\\ \\u0041 \\n / <script>alert(1)</script> &amp;",
        "line\r\nbreaks\nand\ttabs\r",
        "SQL '; DROP TABLE messages; -- $1 %s %% ?",
        "json {\"a\":[1,2]} and ${template} {{mustache}}",
        "zero width \u{200b}\u{200d}\u{feff} and a replacement \u{fffd}",
        "controls \u{1} \u{7} \u{1b}[31m \u{7f} \u{9f}",
        "non-characters \u{ffff} \u{fdd0} \u{10ffff}",
        "ﬁ ligature, ½, K (Kelvin), ſ, İ ı",
    ];
    plain.into_iter().map(str::to_owned).chain(["x".repeat(4000), "🎈".repeat(4000)]).collect()
}

#[tokio::test]
async fn text_survives_byte_for_byte_on_sockets_and_in_history() {
    let app = TestApp::start().await;
    let (alice, from, to, room) = den(&app).await;
    for text in awkward_texts() {
        let acked = from.say(&room, &text).await;
        assert_eq!(acked["content"], text.as_str());
        assert_eq!(to.expect("chat:message").await["content"], text.as_str());
    }

    let history = alice.history(&room).await;

    let stored: Vec<_> = history.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(stored, awkward_texts());
}

#[tokio::test]
async fn text_survives_byte_for_byte_over_rest_and_polling() {
    let app = TestApp::start().await;
    let (alice, _, _, room) = den(&app).await;
    let polling = app.user("bob").await.dial().polling().open_ready().await;
    for text in awkward_texts() {
        alice.say(&room, &text).await;
        assert_eq!(polling.expect("chat:message").await["content"], text.as_str());
        polling.say(&room, &text).await;
        assert_eq!(polling.expect("chat:message").await["content"], text.as_str());
    }
}

#[tokio::test]
async fn content_has_1_to_4000_characters_counted_trimmed() {
    let app = TestApp::start().await;
    let (_, from, _, room) = den(&app).await;
    let padded = format!("  {}\n\n", "é".repeat(4000));
    assert_eq!(from.say(&room, &padded).await["content"], padded.as_str());

    for (content, fault) in [
        ("", "too_short"),
        ("   ", "too_short"),
        ("\n\t\r\n", "too_short"),
        ("\u{a0}\u{2003}\u{3000}", "too_short"),
        (&"x".repeat(4001), "too_long"),
        (&"🎈".repeat(4001), "too_long"),
    ] {
        assert_eq!(fault_of(&from, &room, &json!(content)).await, fault, "{content:?}");
    }
}

/// The fault of the field `content`.
async fn fault_of(socket: &TestSocket, room: &str, content: &Value) -> String {
    let message = json!({ "roomId": room, "content": content });
    let error = socket.emit_err("chat:message", &message).await;
    assert_eq!(error["code"], "VALIDATION_ERROR", "{error}");
    error["fields"]["content"][0]["code"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[tokio::test]
async fn nul_and_content_that_is_no_text_are_validation_errors() {
    let app = TestApp::start().await;
    let (alice, from, _, room) = den(&app).await;

    assert_eq!(fault_of(&from, &room, &json!("a\u{0}b")).await, "nul");
    for wrong in [json!(5), json!(true), json!(["a"]), json!({ "a": 1 })] {
        assert_eq!(fault_of(&from, &room, &wrong).await, "type", "{wrong}");
    }
    let null = fault_of(&from, &room, &json!(null)).await;
    assert!(["type", "required"].contains(&&*null), "{null}");
    assert_eq!(alice.history(&room).await.len(), 0);
}

#[tokio::test]
async fn half_a_surrogate_pair_is_a_validation_error() {
    let app = TestApp::start().await;
    let (alice, from, _, room) = den(&app).await;
    for half in [r"\ud800", r"\udc00", r"a\ud83d!", r"\udc00\ud800"] {
        let array = format!(r#"["chat:message",{{"roomId":"{room}","content":"{half}"}}]"#);
        let ack = from.ack(from.post_raw(&array)).await;
        assert_eq!(ack["error"]["code"], "VALIDATION_ERROR", "{half}: {ack}");
        assert_eq!(ack["error"]["fields"]["content"][0]["code"], "surrogate", "{half}: {ack}");
    }

    let whole = format!(r#"["chat:message",{{"roomId":"{room}","content":"\ud83d\ude00"}}]"#);
    assert_eq!(from.ack(from.post_raw(&whole)).await["data"]["content"], "😀");
    assert_eq!(alice.history(&room).await.len(), 1);
}

#[tokio::test]
async fn two_hundred_kilobytes_without_a_space_are_refused_and_cost_nobody_else_anything() {
    let app = TestApp::start().await;
    let (_, from, to, room) = den(&app).await;

    let huge = json!({ "roomId": room, "content": "x".repeat(200_000) });
    let code = from.code_of("chat:message", &huge).await;

    assert!(["PAYLOAD_TOO_LARGE", "VALIDATION_ERROR"].contains(&&*code), "{code}");
    to.say(&room, "unaffected").await;
    from.expect_where("chat:message", |message| message["content"] == "unaffected").await;
}

#[tokio::test]
async fn an_event_of_more_than_64_kib_is_payload_too_large() {
    let app = TestApp::start().await;
    let (_, from, _, room) = den(&app).await;

    let padded = json!({ "roomId": room, "content": "x", "metadata": { "pad": "y".repeat(70_000) } });

    assert_eq!(from.code_of("chat:message", &padded).await, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn lists_in_a_message_have_their_limits() {
    let app = TestApp::start().await;
    let (_, from, _, room) = den(&app).await;
    let ids: Vec<_> = (0..51).map(|n| format!("u{n}")).collect();
    let attachments: Vec<_> = (0..11).map(|n| json!({ "url": format!("https://example.org/{n}") })).collect();

    for (field, value) in [("mentions", json!(ids)), ("attachments", json!(attachments))] {
        let mut message = json!({ "roomId": room, "content": "x" });
        message[field] = value;
        let error = from.emit_err("chat:message", &message).await;
        assert_eq!(error["fields"][field][0]["code"], "too_long", "{error}");
    }
}

#[tokio::test]
async fn the_limits_are_announced() {
    let app = TestApp::start().await;

    let limits = app.user("alice").await.connect().await.ready["limits"].to_string();

    for number in ["4000", "50", "10", "65536", "1000"] {
        assert!(limits.contains(number), "{number} is not in {limits}");
    }
}
