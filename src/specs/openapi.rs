//! `OpenAPI` 3.1: the routes.

use super::{info, refusal, schemas::Schemas};
use crate::{
    error::Problem,
    routes::{Operation, Route},
    specs::schemas::shape,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ABOUT: &str = "Rooms, messages, members and presence over REST: the same functions, checks and errors as the events of Socket.IO, \
    which `/asyncapi.json` describes; what is posted here is heard there.\n\n\
    Every reply carries `X-Request-Id`. A failure is `application/problem+json` with a `code` that never changes; `retryable` ones have \
    `Retry-After`. Lists answer `{items, nextCursor}`. Limits are those that a server has unless it is set up otherwise.";

/// The document: routes below prefixes.
pub fn document(routes: &[(&str, Vec<Route>)]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (prefix, routes) in routes {
        for route in routes {
            let path = paths.entry(format!("{prefix}{}", route.path)).or_default();
            path.insert(route.method.as_str().to_lowercase(), operation(route, &mut schemas));
        }
    }
    schemas.sent(shape::<Problem<'_>>);
    let mut info = info(ABOUT);
    info["license"]["identifier"] = env!("CARGO_PKG_LICENSE").into();
    json!({
        "openapi": "3.1.1",
        "info": info,
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
        },
    })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let Operation { id, about, open, parameters, body, .. } = &route.operation;
    let in_path = route.path_parameters().map(
        |parameter| json!({ "name": parameter.name, "in": "path", "required": true, "description": parameter.about, "schema": { "type": "string" } }),
    );
    let parameters: Vec<Value> = in_path.chain(parameters.iter().cloned()).collect();
    let mut operation = json!({
        "operationId": id,
        "summary": about,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": responses(route, schemas),
    });
    if *open {
        operation["security"] = json!([]);
    }
    if let Some((shape, required)) = body {
        let by_path: Vec<&str> = route.path_parameters().map(|parameter| parameter.field).collect();
        let schema = schemas.read_without(*shape, &by_path);
        operation["requestBody"] = json!({ "required": required, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// The answers by status, and under each status of failure its codes.
fn responses(route: &Route, schemas: &mut Schemas) -> BTreeMap<String, Value> {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for (status, when, shape) in &route.operation.answers {
        let mut response = json!({ "description": when });
        if let Some(shape) = shape {
            response["content"]["application/json"]["schema"] = schemas.sent(*shape);
        }
        responses.insert(status.as_str().to_owned(), response);
    }
    let mut codes: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (status, code) in route.refusals() {
        codes.entry(status.as_str().to_owned()).or_default().push(code);
    }
    for (status, codes) in codes {
        let list = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
        let response = responses.entry(status).or_insert_with(|| json!({ "description": list }));
        response["content"]["application/problem+json"]["schema"] = refusal("Problem", &codes);
    }
    responses
}
