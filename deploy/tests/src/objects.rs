//! Objects of Kubernetes as JSON: what is in one, and those among many.

use std::{borrow::Borrow, collections::BTreeMap};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// The string at `pointer` (RFC 6901), which is empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// The list at `pointer` (RFC 6901), which is empty if there is none.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The strings of the list at `pointer`.
pub fn strings<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let entries = list(value, pointer).iter();
    entries.filter_map(Value::as_str).collect()
}

/// The fields of the object at `pointer`, which are none if there is none.
pub fn fields<'a>(
    value: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = value.pointer(pointer).and_then(Value::as_object);
    found.into_iter().flatten()
}

/// The objects of YAML documents.
pub fn parsed(yaml: &str) -> Result<Vec<Value>> {
    let documents = yaml_serde::Deserializer::from_str(yaml);
    let mut objects: Vec<Value> = documents
        .map(Value::deserialize)
        .collect::<Result<_, _>>()?;
    objects.retain(|object| !object.is_null());
    Ok(objects)
}

/// Objects as kubectl takes them.
pub fn listed(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// `Kind name`.
pub fn title(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), name(object))
}

pub fn of_kind<'a, O: Borrow<Value> + 'a>(
    objects: impl IntoIterator<Item = &'a O>,
    kind: &str,
) -> impl Iterator<Item = &'a Value> {
    let objects = objects.into_iter().map(Borrow::borrow);
    objects.filter(move |object| object["kind"] == kind)
}

/// All objects, in a list for each kind.
pub fn by_kind<'a, O: Borrow<Value> + 'a>(objects: impl IntoIterator<Item = &'a O>) -> Value {
    let mut kinds = BTreeMap::<&str, Vec<&Value>>::new();
    for object in objects.into_iter().map(Borrow::borrow) {
        kinds.entry(text(object, "/kind")).or_default().push(object);
    }
    json!(kinds)
}

/// The object with this name.
pub fn named<'a, O: Borrow<Value> + 'a>(
    objects: impl IntoIterator<Item = &'a O>,
    kind: &str,
    wanted: &str,
) -> Result<&'a Value> {
    let mut of_kind = of_kind(objects, kind);
    let found = of_kind.find(|object| name(object) == wanted);
    found.with_context(|| format!("there is no {kind} {wanted}"))
}

/// The one object of a kind.
pub fn only<'a, O: Borrow<Value> + 'a>(
    objects: impl IntoIterator<Item = &'a O>,
    kind: &str,
) -> Result<&'a Value> {
    let mut of_kind = of_kind(objects, kind);
    let found = of_kind.next();
    let found = found.with_context(|| format!("there is no {kind}"))?;
    ensure!(of_kind.next().is_none(), "there are two of {kind}");
    Ok(found)
}

/// Every value with this key, at whatever depth.
pub fn at<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Object(fields) => {
            let below = fields.values().flat_map(|field| at(field, key));
            fields.get(key).into_iter().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| at(item, key)).collect(),
        _ => Vec::new(),
    }
}

/// Every string with one of these keys, at whatever depth.
pub fn strings_at<'a>(value: &'a Value, keys: &[&str]) -> Vec<&'a str> {
    let found = keys.iter().flat_map(|key| at(value, key));
    found.filter_map(Value::as_str).collect()
}
