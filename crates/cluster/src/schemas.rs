//! JSON Schemas of custom resources, made of their definitions: strict, for checks without a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tools::run::announce;

use crate::crds;

/// The directory of the schemas (draft 7), `GROUP/KIND_VERSION.json`. They are made once, for which Go
/// downloads the definitions.
///
/// # Errors
///
/// If a definition cannot be had.
pub fn directory() -> Result<PathBuf> {
    let all = tools::target().join("schemas");
    // What they are made of, and what makes them.
    let made_of = [crds::SOURCES, include_str!("schemas.rs")].concat();
    let hash = Sha256::digest(made_of);
    let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = all.join(name);
    let _making = tools::lock("schemas")?;
    if directory.is_dir() {
        return Ok(directory);
    }
    announce("fetching definitions of custom resources, to make schemas of them");
    let unfinished = tools::fresh("schemas")?.join("unfinished");
    for file in crds::fetch()? {
        write(&file, &unfinished).with_context(|| file.display().to_string())?;
    }
    fs::rename(unfinished, &directory)?;
    Ok(directory)
}

/// Writes the schemas of the definitions in `file`.
fn write(file: &Path, directory: &Path) -> Result<()> {
    let yaml = fs::read_to_string(file)?;
    for document in yaml_serde::Deserializer::from_str(&yaml) {
        let definition = Value::deserialize(document)?;
        for (name, schema) in schemas(&definition) {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().context("it is in a group")?)?;
            fs::write(path, schema.to_string())?;
        }
    }
    Ok(())
}

/// The schema of each version that a definition serves, and the name of its file.
fn schemas(definition: &Value) -> Vec<(String, Value)> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions
        .filter(|version| version["served"] == true)
        .map(|version| {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            // Every object has them, whether or not its definition says so.
            schema["x-kubernetes-embedded-resource"] = json!(true);
            strict(&mut schema);
            let file = format!(
                "{group}/{}_{}.json",
                kind.to_lowercase(),
                text(&version["name"])
            );
            (file, schema)
        })
        .collect()
}

/// Makes a structural schema of Kubernetes a JSON Schema of what people write: a field that it does
/// not name is an error where the API server would drop it, and one with a default may be left out.
fn strict(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    fields.remove("description");
    if fields.get("x-kubernetes-embedded-resource") == Some(&json!(true)) {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        for (name, kind) in [
            ("apiVersion", "string"),
            ("kind", "string"),
            ("metadata", "object"),
        ] {
            if properties[name].is_null() {
                properties[name] = json!({"type": kind});
            }
        }
    }
    let keeps_unknown = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    let mut defaults = Vec::new();
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, property) in properties.iter_mut() {
            if property.get("default").is_some() {
                defaults.push(name.clone());
            }
            strict(property);
        }
        if !keeps_unknown {
            fields.entry("additionalProperties").or_insert(json!(false));
        }
    }
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.retain(|name| !defaults.iter().any(|default| *name == **default));
    }
    for below in ["items", "additionalProperties"] {
        fields.get_mut(below).into_iter().for_each(strict);
    }
    if let Some(Value::String(pattern)) = fields.get_mut("pattern") {
        // Go takes this flag anywhere, others at the beginning alone.
        if pattern.contains("(?i)") {
            *pattern = format!("(?i){}", pattern.replace("(?i)", ""));
        }
    }
    if fields.remove("nullable") == Some(json!(true)) {
        nullable(fields);
    }
}

/// OpenAPI's word for it is not JSON Schema's.
fn nullable(fields: &mut Map<String, Value>) {
    if let Some(kind) = fields.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_refuses_what_the_api_server_would_drop() {
        let definition = json!({"spec": {
            "group": "example.com",
            "names": {"kind": "Birthday"},
            "versions": [
                {"name": "v1alpha1", "served": false, "schema": {"openAPIV3Schema": {}}},
                {"name": "v1", "served": true, "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "description": "text",
                    "properties": {"spec": {
                        "type": "object",
                        "required": ["day", "zone"],
                        "properties": {
                            "day": {"type": "string", "nullable": true, "enum": ["today"]},
                            "zone": {"type": "string", "default": "UTC", "pattern": "^(?i)utc$"},
                            "description": {"type": "string"},
                            "free": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": true,
                                "properties": {"known": {"type": "string"}},
                            },
                        },
                    }},
                }}},
            ],
        }});
        let made = schemas(&definition);
        let [(file, schema)] = &made[..] else {
            panic!("{made:?}");
        };
        assert_eq!(file, "example.com/birthday_v1.json");
        assert!(schema.get("description").is_none());
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["kind"], json!({"type": "string"}));
        let spec = &schema["properties"]["spec"];
        assert_eq!(spec["additionalProperties"], false);
        assert_eq!(spec["required"], json!(["day"]));
        let fields = &spec["properties"];
        assert_eq!(fields["day"]["type"], json!(["string", "null"]));
        assert_eq!(fields["day"]["enum"], json!(["today", null]));
        assert_eq!(fields["zone"]["pattern"], "(?i)^utc$");
        assert_eq!(fields["description"], json!({"type": "string"}));
        assert!(fields["free"].get("additionalProperties").is_none());
    }
}
