//! Schemas of what is read and of what is sent: JSON Schema 2020-12, which `OpenAPI` 3.1 and `AsyncAPI` 3.1 both embed.
//!
//! What is sent is described exactly: a field that is not in the schema is not sent. What is read is described by its known
//! fields: others are ignored.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

/// Makes the schema of a type, or a reference to it: `shape::<Message>` in a table.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The shape of a type.
pub fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// `{}`.
#[derive(Serialize, JsonSchema)]
pub struct Nothing {}

/// The schemas of one document.
pub struct Schemas {
    read: SchemaGenerator,
    sent: SchemaGenerator,
    /// Names of what is written out, and so not referred to.
    inlined: Vec<String>,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { read: settings.clone().for_deserialize().into_generator(), sent: settings.for_serialize().into_generator(), inlined: Vec::new() }
    }
}

impl Schemas {
    /// Something that clients send, or a reference to it.
    pub fn read(&mut self, shape: Shape) -> Value {
        shape(&mut self.read).to_value()
    }

    /// An object that clients send, but for these fields, which they send by another way.
    pub fn read_without(&mut self, shape: Shape, fields: &[&str]) -> Value {
        let schema = self.read(shape);
        let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let has_one = |object: &&Value| fields.iter().any(|field| object["properties"].get(field).is_some());
        let Some(mut object) = self.read.definitions().get(name).filter(has_one).cloned() else { return schema };
        self.inlined.push(name.to_owned());
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            properties.retain(|name, _| !fields.contains(&name.as_str()));
        }
        if let Some(Value::Array(required)) = object.get_mut("required") {
            required.retain(|name| name.as_str().is_none_or(|name| !fields.contains(&name)));
        }
        object
    }

    /// Something that the server sends, or a reference to it.
    pub fn sent(&mut self, shape: Shape) -> Value {
        let mut schema = shape(&mut self.sent).to_value();
        close(&mut schema);
        schema
    }

    /// All that was referred to, by name.
    pub fn finish(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.retain(|name, _| !self.inlined.contains(name));
        let mut sent = self.sent.take_definitions(true);
        sent.values_mut().for_each(close);
        all.append(&mut sent);
        all
    }
}

/// Says that there are no other fields, and that a field which may be missing is not `null`: it is left out.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let required = object.get("required").cloned().unwrap_or_default();
            let is_required = |name: &String| required.as_array().is_some_and(|names| names.iter().any(|required| required == name));
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, property)| without_null(property));
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            object.iter_mut().filter(|(name, _)| *name != "examples").for_each(|(_, inner)| close(inner));
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn without_null(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            property["type"] = only.clone();
        }
    }
    let Some(Value::Array(choices)) = property.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    if let ([only], Some(object)) = (choices.as_slice().to_owned().as_slice(), property.as_object_mut()) {
        object.remove("anyOf");
        object.extend(only.as_object().cloned().unwrap_or_default());
    }
}
