//! JSON from outside, taken as it is written.
//!
//! `serde_json::Value` does not: since its feature `raw_value` is on, it takes an object whose first name is [`RESERVED`] for JSON within a
//! text, and reads that, too, each time with a new limit of depth. So a short text nests as deep as it likes, and overflows the stack of
//! whoever reads it. And what is stored under that name, or nested too deep, cannot be read from the database again.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// The name by which `serde_json` knows raw JSON. No object from outside may have it, and nothing that becomes a name of one may be it.
pub const RESERVED: &str = "$serde_json::private::RawValue";

/// Any JSON but objects with that name, nested at most as deep as the parser allows.
#[derive(Debug)]
pub struct Plain(pub Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Plain(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == RESERVED {
                return Err(A::Error::custom("a reserved name"));
            }
            let Plain(member) = members.next_value()?;
            object.insert(name, member);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_str, json};

    fn read(json: &str) -> Option<Value> {
        from_str::<Plain>(json).ok().map(|Plain(value)| value)
    }

    #[test]
    fn json_is_read_as_any_other_reader_reads_it() {
        for json in ["null", "true", "-1", "18446744073709551615", "18446744073709551616", "-0.0", "1e308", r#""a\u0000\ud83d\ude00""#, "[]", "{}"] {
            assert_eq!(read(json), from_str(json).ok(), "{json}");
        }
        let nested = r#" {"a": [1, {"": null}], "__proto__": {"b": "c"}, "a": 2} "#;
        assert_eq!(read(nested), from_str(nested).ok());
        for bad in ["", "nul", "1e999", "[1,]", "{\"a\"}", r#""\ud800""#, &"[".repeat(200), &format!("{}{}", "[".repeat(128), "]".repeat(128))] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_within_a_text_is_not_read() {
        let hidden = json!({ RESERVED: "[1]" });
        assert_eq!(from_str::<Value>(&hidden.to_string()).ok(), Some(json!([1])), "the reason for all this");
        let others = [hidden.to_string(), format!(r#"[{{"a": {{"z": 1, "{RESERVED}": 1}}}}]"#), hidden.to_string().replace('$', "\\u0024")];
        for json in others {
            assert_eq!(read(&json), None, "{json}");
        }
        assert_eq!(read(&json!({ "a": RESERVED }).to_string()), Some(json!({ "a": RESERVED })));
    }
}
