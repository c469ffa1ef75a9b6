//! The contract as documents: contract sections 7 and 9. Everything else in this suite is held against them by its support.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    Reply, TestApp,
    contract::{self, asyncapi, compiled, openapi, resolved},
    ires_chat,
    json::text,
};

/// Prints a document.
fn spec(which: &str) -> String {
    let printed = ires_chat(&["spec", which], &[]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    printed.stdout
}

/// Each operation of the routes: method, path with parameters, description.
pub fn operations() -> impl Iterator<Item = (Method, &'static str, &'static Value)> {
    let paths = openapi()["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (method.to_uppercase().parse().unwrap(), path.as_str(), operation))
    })
}

#[test]
fn the_committed_contract_is_that_of_the_code() {
    for (which, file, committed) in [
        ("openapi", "tests/snapshots/openapi.json", include_str!("../snapshots/openapi.json")),
        ("asyncapi", "tests/snapshots/asyncapi.json", include_str!("../snapshots/asyncapi.json")),
        ("typescript", "clients/js/events.d.ts", include_str!("../../clients/js/events.d.ts")),
    ] {
        let made = spec(which);
        let differs = made.lines().zip(committed.lines()).find(|(made, committed)| made != committed);
        assert!(made == committed, "{file} is not what the code says; if the change of the contract is meant, run .ci/specs. First: {differs:?}");
    }
}

#[tokio::test]
async fn a_running_server_shows_the_same_to_anybody() {
    let app = TestApp::start().await;
    for (path, committed) in [("/openapi.json", openapi()), ("/asyncapi.json", asyncapi())] {
        let reply = app.get(path).await;
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(&reply.expect(200), committed, "{path}");
    }
}

#[test]
fn both_documents_are_what_their_specifications_ask_for() {
    for (document, schema) in [(openapi(), include_str!("../schemas/openapi-3.1.json")), (asyncapi(), include_str!("../schemas/asyncapi-3.1.json"))] {
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::options().build(&schema).unwrap();
        let faults: Vec<String> = validator.iter_errors(document).take(5).map(|error| format!("{} {error:.400}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

#[test]
fn every_schema_compiles_every_reference_leads_somewhere_and_no_schema_is_left_over() {
    for document in [openapi(), asyncapi()] {
        let mut used = BTreeSet::new();
        references(document, &mut used);
        for path in &used {
            assert!(document.pointer(&path[1..]).is_some(), "nothing is at {path}");
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            compiled(document, schema);
            let place = format!("#/components/schemas/{name}");
            assert!(used.contains(place.as_str()) || ["ErrorBody", "Problem"].contains(&name.as_str()), "nobody refers to {name}");
        }
    }
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_example_is_an_example() {
    for document in [openapi(), asyncapi()] {
        let mut count = 0;
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for example in schema["examples"].as_array().into_iter().flatten() {
                let validator = compiled(document, schema);
                let faults: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
                assert!(faults.is_empty(), "{name}: {faults:?}");
                count += 1;
            }
        }
        assert!(count > 2);
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let ids: Vec<&str> = operations().map(|(.., operation)| text(&operation["operationId"])).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    assert!(ids.len() > 45);
}

/// What is held against the contract is really held against it.
#[test]
fn a_field_too_many_a_missing_one_and_a_code_that_is_not_named_are_breaches() {
    let status = json!({ "userId": "a", "isOnline": true, "status": "online", "lastSeenAt": null, "timestamp": "2026-01-01T00:00:00.000Z", "serverTime": "2026-01-01T00:00:00.000Z" });
    let with = |name: &str, value: Value| {
        let mut changed = status.clone();
        changed[name] = value;
        changed
    };
    let mut short = status.clone();
    short.as_object_mut().unwrap().remove("serverTime");

    assert_eq!(contract::check_event("status:online", &status), Ok(()));
    for (wrong, named) in [
        (with("extra", json!(1)), "extra"),
        (short, "serverTime"),
        (with("status", json!("here")), "status"),
        (with("timestamp", json!("now")), "timestamp"),
    ] {
        let breach = contract::check_event("status:online", &wrong).unwrap_err();
        assert!(breach.contains(named), "{breach}");
    }
    assert!(contract::check_event("chat:nonsense", &status).is_err());

    let refused = |code: &str| json!({ "ok": false, "error": { "code": code, "message": "m", "status": 403, "retryable": false, "traceId": "t", "timestamp": "2026-01-01T00:00:00.000Z" } });
    assert_eq!(contract::check_ack(r#"["chat:message",{}]"#, &refused("MUTED")), Ok(()));
    assert!(contract::check_ack(r#"["chat:sync",{}]"#, &refused("MUTED")).unwrap_err().contains("code"));
    let done = json!({ "ok": true, "data": { "status": "online", "invisible": false } });
    assert_eq!(contract::check_ack(r#"["status:update",{"isOnline":true}]"#, &done), Ok(()));
    assert!(contract::check_ack(r#"["status:update",{"isOnline":true,"mood":1}]"#, &done).unwrap_err().contains("mood"));

    let user = r#"{"id":"a","username":null,"name":null,"avatarUrl":null,"userType":"user"}"#;
    assert_eq!(contract::check_reply("GET", "/api/v1/users/me", 200, "application/json", user), Ok(()));
    assert!(contract::check_reply("GET", "/api/v1/users/me", 201, "application/json", user).unwrap_err().contains("status"));
    assert!(contract::check_reply("GET", "/api/v1/users/me", 200, "application/json", "{}").unwrap_err().contains("required"));
    assert!(contract::check_reply("PUT", "/api/v1/nowhere", 200, "application/json", user).is_err());
}

#[tokio::test]
async fn every_route_that_the_contract_names_is_served_and_asks_for_a_token_unless_it_says_otherwise() {
    let app = TestApp::start().await;
    for (method, path, operation) in operations() {
        let address = path.replace("{seq}", "1").replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057").replace(['{', '}'], "");
        let reply = Reply::of(app.http.request(method.clone(), format!("{}{address}", app.base()))).await;
        if operation["security"] == json!([]) {
            assert!([200, 400].contains(&reply.status), "{method} {path}: {}", reply.text);
        } else {
            assert_eq!(reply.refused(401), "AUTH_TOKEN_MISSING", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_readme_names_every_route_and_every_event() {
    let readme = include_str!("../../README.md");
    for (_, path, _) in operations() {
        let shown = path.trim_start_matches("/api/v1").replace("{room}", "{id}").replace("{user}", "{userId}");
        assert!(readme.contains(&shown), "{shown} is not in the README");
    }
    for operation in asyncapi()["operations"].as_object().unwrap().values() {
        let message = resolved(asyncapi(), &operation["messages"][0]);
        let name = text(&message["name"]);
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README");
    }
}

#[tokio::test]
async fn the_page_of_the_routes_loads_from_its_own_server_and_runs_no_inline_script() {
    let app = TestApp::start().await;

    let page = app.get("/docs").await;

    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!page.text.contains("http://") && !page.text.contains("https://") && !page.text.contains("<script>"), "{}", page.text);
    let loaded: Vec<&str> = page.text.split('"').filter(|address| address.starts_with("/docs/")).collect();
    assert_eq!(loaded.len(), 3);
    for address in loaded {
        let file = app.http.get(format!("{}{address}", app.base())).send().await.unwrap();
        assert_eq!(file.status(), 200, "{address}");
        let packed = file.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
        let bytes = file.bytes().await.unwrap();
        assert_eq!(packed, bytes.starts_with(&[0x1f, 0x8b]), "{address}");
        assert_eq!(packed, !address.ends_with("begin.js"), "{address}");
    }
}
