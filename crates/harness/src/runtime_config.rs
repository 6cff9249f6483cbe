//! A runtime config of Spin with every variable in it, read once and not for each request.
//!
//! Spin looks a variable of its environment up for each call, which on WASI 0.2 hands the request over to
//! another thread: docs/upstream.md.

use std::{
    env, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml_edit::{DocumentMut, InlineTable, Item, Table, array, value};
use tools::{root, target};

use crate::host::{Setup, Store};

/// Where the runtime config of the host on `port` is, until it has started.
pub(crate) fn file(port: u16) -> PathBuf {
    target().join(format!("spin/{port}/runtime-config.toml"))
}

/// Writes `file`: the runtime config of `setup`. If there are `settings`, it also has each variable of
/// spin.toml, with its value in there, else that of this process's `SPIN_VARIABLE_…`, else its default.
///
/// # Errors
///
/// One sentence: a file cannot be read or written, or is not TOML.
pub(crate) fn write(file: &Path, setup: &Setup, settings: Option<&[(&str, &str)]>) -> Result<()> {
    let own = setup.data.join("runtime-config.toml");
    let shipped = || root().join("runtime-config.toml");
    let mut config = read(&if own.exists() { own } else { shipped() })?;
    make_paths_absolute(&mut config, setup.data);
    if let Store::Redis(url) = setup.store {
        config["key_value_store"]["default"] =
            Item::Table(Table::from_iter([("type", "redis"), ("url", url)]));
    }
    if let Some(settings) = settings {
        let manifest = read(&root().join("spin.toml"))?;
        let of_environment = |name: &str| env::var(environment(name)).ok();
        insert_variables(&mut config, &manifest, settings, of_environment);
    }
    let directory = file.parent().context("a file is in a directory")?;
    fs::create_dir_all(directory)
        .and_then(|()| {
            // It may hold a password.
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(file)?
                .write_all(config.to_string().as_bytes())
        })
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The variable of the environment that Spin reads for the variable `name`.
pub(crate) fn environment(name: &str) -> String {
    format!("SPIN_VARIABLE_{}", name.to_uppercase())
}

fn read(file: &Path) -> Result<DocumentMut> {
    fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .parse()
        .with_context(|| format!("{} is not TOML", file.display()))
}

fn make_paths_absolute(config: &mut DocumentMut, base: &Path) {
    let stores = config
        .get_mut("key_value_store")
        .and_then(Item::as_table_mut);
    for (_, store) in stores.into_iter().flat_map(Table::iter_mut) {
        if let Some(path) = store.get("path").and_then(Item::as_str).map(PathBuf::from) {
            store["path"] = value(base.join(path).display().to_string());
        }
    }
}

fn insert_variables(
    config: &mut DocumentMut,
    manifest: &DocumentMut,
    settings: &[(&str, &str)],
    of_environment: impl Fn(&str) -> Option<String>,
) {
    let mut values = InlineTable::new();
    let variables = manifest.get("variables").and_then(Item::as_table);
    for (name, variable) in variables.into_iter().flat_map(Table::iter) {
        let setting = settings.iter().find(|(setting, _)| *setting == name);
        let given = setting.map(|(_, value)| (*value).to_owned());
        let default = || Some(variable.get("default")?.as_str()?.to_owned());
        if let Some(value) = given.or_else(|| of_environment(name)).or_else(default) {
            values.insert(name, value.into());
        }
    }
    let mut provider = Table::new();
    provider["type"] = value("static");
    provider["values"] = value(values);
    let providers = config
        .entry("variables_provider")
        .or_insert_with(array)
        .as_array_of_tables_mut();
    // Before others, as `--variable` is.
    if let Some(providers) = providers {
        let others = std::mem::take(providers);
        providers.push(provider);
        others.into_iter().for_each(|other| providers.push(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_each_variable_once_and_absolute_paths() {
        let config = "[key_value_store.default]\ntype = \"spin\"\npath = \".spin/users.db\"\n\
                      [key_value_store.metrics]\ntype = \"spin\"\n";
        let manifest = "[variables]\nstore = { default = \"key-value\" }\n\
                        log_level = { default = \"info\" }\nhost = { required = true }\n\
                        port = { default = \"5432\" }\n";
        let parse = |text: &str| -> DocumentMut { text.parse().expect("it is TOML") };
        let mut config = parse(config);
        make_paths_absolute(&mut config, Path::new("/data"));
        insert_variables(
            &mut config,
            &parse(manifest),
            &[("store", "postgres")],
            |name| (name == "log_level").then(|| "warn".to_owned()),
        );
        assert_eq!(
            config["key_value_store"]["default"]["path"].as_str(),
            Some("/data/.spin/users.db")
        );
        let provider = &config["variables_provider"][0];
        assert_eq!(provider["type"].as_str(), Some("static"));
        let values = &provider["values"];
        for (name, value) in [
            ("store", Some("postgres")),
            ("log_level", Some("warn")),
            ("host", None),
            ("port", Some("5432")),
        ] {
            assert_eq!(values.get(name).and_then(Item::as_str), value, "{name}");
        }
    }
}
