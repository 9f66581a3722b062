//! A configuration file as a tree of values in which every key stands once.
//!
//! JSON and YAML readers take the last of two equal keys and say nothing, and so would ignore a
//! setting; TOML's refuses them itself. Owns nothing else: which keys there are is told by `keys`.
//! Tests: below.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// A value of a file. Reading it fails, and names the key, where a table has a key twice.
#[derive(Debug)]
pub(super) struct Tree(pub(super) Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Tree)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false, a list or a table")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no infinities; no key takes one.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if table.contains_key(&key) {
                return Err(A::Error::custom(format!("{key} is there twice; leave one out")));
            }
            let Tree(value) = entries.next_value()?;
            table.insert(key, value);
        }
        Ok(Value::Object(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_value_is_read_as_it_is() {
        let value = json!({
            "a": [1, -1, 1.5, true, null, "text", [], {}],
            "b": {"c": {"a": 18_446_744_073_709_551_615_u64}},
        });
        let Tree(read) = serde_json::from_str(&value.to_string()).unwrap();
        assert_eq!(read, value);
        let Tree(read) =
            yaml_serde::from_str("a: [1, -1, 1.5, yes, ~, .inf]\nb:\n  c: {}").unwrap();
        assert_eq!(read, json!({"a": [1, -1, 1.5, "yes", null, null], "b": {"c": {}}}));
        let Tree(read) = yaml_serde::from_str("").unwrap();
        assert_eq!(read, Value::Null);
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        for text in [r#"{"a": 1, "b": 2, "a": 3}"#, r#"{"b": [{"c": {"a": 1, "a": 1}}]}"#] {
            let error = serde_json::from_str::<Tree>(text).unwrap_err().to_string();
            assert!(error.starts_with("a is there twice; leave one out at line 1 "), "{error}");
        }
        let error = yaml_serde::from_str::<Tree>("b:\n  a: 1\n  c: 2\n  a: 3\n").unwrap_err();
        assert!(error.to_string().contains("a is there twice; leave one out"), "{error}");
        // In tables of their own.
        assert!(
            serde_json::from_str::<Tree>(r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}"#).is_ok()
        );
    }
}
