//! What is read from a token: contract section 2.

use serde_json::{Value, json};

use crate::support::{TestApp, TestUser, token};

/// A holder of a token with these claims, good for an hour.
fn holder(app: &TestApp, mut claims: Value) -> TestUser {
    claims["exp"] = token::seconds_from_now(3600).into();
    app.holder("", token::with(&claims))
}

async fn me(app: &TestApp, claims: Value) -> Value {
    holder(app, claims).get("/users/me").await.expect(200)
}

async fn refusal(app: &TestApp, claims: Value) -> String {
    holder(app, claims).get("/users/me").await.refused(401).to_owned()
}

#[tokio::test]
async fn the_user_id_is_sub_or_else_id_or_user_id_in_either_spelling() {
    let app = TestApp::start().await;

    assert_eq!(me(&app, json!({ "sub": "a", "id": "x", "userId": "y" })).await["id"], "a");
    assert_eq!(me(&app, json!({ "id": "b", "userId": "y", "user_id": "z" })).await["id"], "b");
    assert_eq!(me(&app, json!({ "userId": "c", "user_id": "z" })).await["id"], "c");
    assert_eq!(me(&app, json!({ "user_id": "d" })).await["id"], "d");
    assert_eq!(refusal(&app, json!({ "name": "nobody" })).await, "AUTH_TOKEN_INVALID");
}

#[tokio::test]
async fn a_setting_names_another_claim_for_the_user_id() {
    let app = TestApp::with(&[("CHAT_JWT_USER_ID_CLAIM", "uid")]).await;

    assert_eq!(me(&app, json!({ "sub": "a", "uid": "b" })).await["id"], "b");
}

#[tokio::test]
async fn a_numeric_id_of_another_system_is_taken_as_text() {
    let app = TestApp::start().await;

    assert_eq!(me(&app, json!({ "id": 42 })).await["id"], "42");
}

#[tokio::test]
async fn user_ids_are_free_text_of_at_most_128_characters() {
    let app = TestApp::start().await;
    for id in ["auth0|507f1f77", "Ünï ✓", "a/b?c#d%20", "../x", &"ä".repeat(128)] {
        assert_eq!(me(&app, json!({ "sub": id })).await["id"], id);
        assert_eq!(holder(&app, json!({ "sub": id })).connect().await.ready["user"]["id"], id);
    }

    for id in ["", "with\u{0}nul", &"x".repeat(129)] {
        assert_eq!(refusal(&app, json!({ "sub": id })).await, "AUTH_TOKEN_INVALID", "{id:?}");
    }
}

#[tokio::test]
async fn the_user_type_is_the_claim_user_type_or_else_type_and_user_by_default() {
    let app = TestApp::start().await;

    assert_eq!(me(&app, json!({ "sub": "a", "userType": "bot" })).await["userType"], "bot");
    assert_eq!(me(&app, json!({ "sub": "b", "type": "admin" })).await["userType"], "admin");
    assert_eq!(me(&app, json!({ "sub": "c" })).await["userType"], "user");
}

#[tokio::test]
async fn an_unknown_user_type_is_not_admitted() {
    let app = TestApp::start().await;

    let reply = holder(&app, json!({ "sub": "a", "userType": "emperor" })).get("/users/me").await;

    assert_eq!(reply.refused(403), "AUTH_USER_TYPE_INVALID");
}

#[tokio::test]
async fn the_profile_is_filled_at_first_sight() {
    let app = TestApp::start().await;
    let claims = json!({
        "sub": "a", "name": "Ada L.", "preferred_username": "ada", "picture": "https://example.org/ada.png",
    });

    let user = me(&app, claims).await;

    assert_eq!(user["name"], "Ada L.");
    assert_eq!(user["username"], "ada");
    assert_eq!(user["avatarUrl"], "https://example.org/ada.png");
}

/// What another system's users call themselves is not ours to refuse, and shown all the same as ours would be.
#[tokio::test]
async fn a_profile_of_another_system_is_shown_without_tricks() {
    let app = TestApp::start().await;
    for (id, name, shown) in [
        ("a", "Ada\u{202e} L.\u{200b}\n", json!("Ada L.")),
        ("b", " \u{200b}\u{200d} ", Value::Null),
        ("c", &"x".repeat(300), json!("x".repeat(100))),
    ] {
        let user = me(&app, json!({ "sub": id, "name": name, "picture": "javascript:alert(1)" })).await;
        assert_eq!((&user["name"], &user["avatarUrl"]), (&shown, &Value::Null), "{user}");
    }
}

#[tokio::test]
async fn a_subject_seen_first_on_a_socket_is_a_user_like_any_other() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await;

    let _alice = app.stranger("alice").connect().await;

    assert_eq!(watcher.get("/users/alice").await.expect(200)["id"], "alice");
}

#[tokio::test]
async fn issuer_and_audience_are_checked_when_they_are_set() {
    let settings = [("CHAT_JWT_ISSUER", "https://issuer"), ("CHAT_JWT_AUDIENCE", "chat")];
    let app = TestApp::with(&settings).await;
    let (right, other) = ("https://issuer", "https://other");

    me(&app, json!({ "sub": "a", "iss": right, "aud": "chat" })).await;
    me(&app, json!({ "sub": "a", "iss": right, "aud": ["mail", "chat"] })).await;
    for claims in [
        json!({ "sub": "a", "iss": other, "aud": "chat" }),
        json!({ "sub": "a", "iss": right, "aud": "mail" }),
        json!({ "sub": "a", "iss": right }),
        json!({ "sub": "a", "aud": "chat" }),
    ] {
        assert_eq!(refusal(&app, claims).await, "AUTH_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn registered_users_go_on_when_issuer_and_audience_are_set() {
    let settings = [("CHAT_JWT_ISSUER", "https://issuer"), ("CHAT_JWT_AUDIENCE", "chat")];
    let app = TestApp::with(&settings).await;

    let alice = app.register("alice").await;

    alice.get("/users/me").await.expect(200);
    alice.connect().await;
}

#[tokio::test]
async fn clocks_may_differ_by_half_a_minute() {
    let app = TestApp::start().await;

    let late = json!({ "sub": "a", "exp": token::seconds_from_now(-10) });
    app.holder("a", token::with(&late)).get("/users/me").await.expect(200);
    let early = json!({ "sub": "a", "nbf": token::seconds_from_now(10) });
    me(&app, early).await;
}
