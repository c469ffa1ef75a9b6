//! The seed's flow.
use serde_json::json;
use crate::support::*;

#[tokio::test]
async fn a_member_hears_what_another_says() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (from, to) = (alice.connect().await, bob.connect().await);
    let message = from.say(&room, "hello").await;
    assert_eq!(to.expect("chat:message").await["id"], message["id"]);
    let _ = json!(1);
}
