//! The Spin manifest of what is deployed and measured: spin.toml, with a label for the counters.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml_edit::DocumentMut;
use tools::{HostKind, root};

/// The label of the counters. Spin refuses to start where a manifest grants it and no runtime config
/// binds it, so spin.toml, which `spin up` takes as it is, does not.
const LABEL: &str = "metrics";

/// Writes `target/components/spin.toml`, beside the component of `host` that it names, and returns its
/// path; on WASI 0.3 it is `spin-p3.toml`.
///
/// # Errors
///
/// One sentence: spin.toml cannot be read or has no such component, or the file cannot be written.
pub fn write_beside_component(host: HostKind) -> Result<PathBuf> {
    let artifact = host.artifact();
    let source = artifact.file_name().context("an artifact is a file")?;
    let file = artifact.with_file_name(format!("{host}.toml"));
    write(&file, &root(), Path::new(source))?;
    Ok(file)
}

/// Writes the manifest of `tree` with the component at `source`, which is relative to `file` or
/// absolute.
pub(crate) fn write(file: &Path, tree: &Path, source: &Path) -> Result<()> {
    let shipped = tree.join("spin.toml");
    let text = fs::read_to_string(&shipped)
        .with_context(|| format!("cannot read {}", shipped.display()))?;
    let text = with_counters(&text, source)?;
    // Left alone if it holds just that: another process may be reading it.
    if fs::read_to_string(file).is_ok_and(|found| found == text) {
        return Ok(());
    }
    let directory = file.parent().context("a file is in a directory")?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// `manifest` with the component at `source`, and with the label of the counters granted.
fn with_counters(manifest: &str, source: &Path) -> Result<String> {
    let mut edited: DocumentMut = manifest.parse().context("spin.toml is not TOML")?;
    let component = edited
        .get_mut("component")
        .and_then(|components| components.get_mut("hello")?.as_table_mut())
        .context("spin.toml has no component `hello`")?;
    component["source"] = toml_edit::value(source.display().to_string());
    // Its paths are relative to the project.
    component.remove("build");
    let (mut key, labels) = component
        .get_key_value_mut("key_value_stores")
        .context("spin.toml grants the component no key_value_stores")?;
    key.leaf_decor_mut()
        .set_prefix("# runtime-config.toml binds both, or Spin refuses to start.\n");
    let labels = labels
        .as_array_mut()
        .context("key_value_stores of spin.toml is no array")?;
    if !labels.iter().any(|label| label.as_str() == Some(LABEL)) {
        labels.push(LABEL);
    }
    Ok(format!(
        "# Made from spin.toml by `cargo xtask`, with the label `{LABEL}`.\n{edited}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_the_label_and_names_the_component() {
        let manifest = "[component.hello]\nsource = \"target/hello.wasm\"\n\
                        # Without counters.\nkey_value_stores = [\"default\"]\n\n\
                        [component.hello.variables]\nstore = \"{{ store }}\"\n\n\
                        [component.hello.build]\ncommand = \"make\"\n";
        let edited = with_counters(manifest, Path::new("hello.wasm")).expect("it is a manifest");
        assert_eq!(
            edited,
            "# Made from spin.toml by `cargo xtask`, with the label `metrics`.\n\
             [component.hello]\nsource = \"hello.wasm\"\n\
             # runtime-config.toml binds both, or Spin refuses to start.\n\
             key_value_stores = [\"default\", \"metrics\"]\n\n\
             [component.hello.variables]\nstore = \"{{ store }}\"\n"
        );
    }

    #[test]
    fn refuses_a_manifest_without_the_component_or_its_stores() {
        for (manifest, why) in [
            ("[component.other]\n", "spin.toml has no component `hello`"),
            (
                "[component.hello]\n",
                "spin.toml grants the component no key_value_stores",
            ),
            ("[component", "spin.toml is not TOML"),
        ] {
            let error = with_counters(manifest, Path::new("hello.wasm")).expect_err(manifest);
            assert_eq!(error.to_string(), why);
        }
    }

    #[test]
    fn the_shipped_manifest_grants_users_alone() {
        let shipped = fs::read_to_string(root().join("spin.toml")).expect("it can be read");
        let shipped: DocumentMut = shipped.parse().expect("it is TOML");
        let labels = shipped["component"]["hello"]["key_value_stores"].as_array();
        let labels: Vec<_> = labels
            .expect("labels")
            .iter()
            .filter_map(|label| label.as_str())
            .collect();
        assert_eq!(labels, ["default"]);
    }
}
