//! The SQL of the program, as sqlx has checked it.

use serde_json::Value;

/// The checked queries of the program, each with its number of parameters.
pub fn queries() -> Vec<(String, usize)> {
    let data = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sqlx-data.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&data).unwrap();
    let parameters = |entry: &Value| {
        let described = &entry["describe"]["parameters"];
        described["Left"].as_array().map_or_else(|| usize::try_from(described["Right"].as_u64().unwrap()).unwrap(), Vec::len)
    };
    entries.iter().map(|entry| (entry["query"].as_str().unwrap().to_owned(), parameters(entry))).collect()
}
