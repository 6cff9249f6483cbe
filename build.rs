//! Prepares what `src/api/docs.rs` serves: extracts Swagger UI from its crate, and compresses all.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    io::{Cursor, Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, Crc, write::GzEncoder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/api/docs");
    let out = Path::new(&env::var("OUT_DIR")?).join("docs");
    fs::create_dir_all(&out)?;

    // No string of JSON holds a line's end, so the indentation is all that goes.
    let openapi = fs::read_to_string("src/api/docs/openapi.json")?;
    let openapi: String = openapi.lines().map(str::trim_start).collect();
    fs::write(out.join("openapi.json"), openapi)?;

    let mut page = fs::read_to_string("src/api/docs/index.html")?;
    let mut assets = String::from("[\n");
    let mut files = Vec::new();
    for (name, content_type, content) in [
        ("swagger-ui.css", STYLE, vendored("swagger-ui.css")?),
        (
            "swagger-ui-bundle.js",
            SCRIPT,
            vendored("swagger-ui-bundle.js")?,
        ),
        ("start.js", SCRIPT, fs::read("src/api/docs/start.js")?),
    ] {
        let (stem, extension) = name.rsplit_once('.').ok_or("a name has an extension")?;
        let mut checksum = Crc::new();
        checksum.update(&content);
        let immutable = format!("{stem}.{:08x}.{extension}", checksum.sum());

        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        let gzip = encoder.finish()?;

        let placeholder = format!("{{{name}}}");
        if !page.contains(&placeholder) {
            return Err(format!("src/api/docs/index.html does not load {name}").into());
        }
        page = page.replace(&placeholder, &immutable);
        writeln!(
            assets,
            "Asset {{ name: {immutable:?}, content_type: {content_type:?}, \
             offset: {}, length: {} }},",
            files.len(),
            gzip.len()
        )?;
        files.extend(gzip);
    }
    assets.push(']');
    fs::write(out.join("index.html"), page)?;
    fs::write(out.join("assets.rs"), assets)?;
    fs::write(out.join("assets.gz"), files)?;
    Ok(())
}

/// The file `name` of the release's `dist` directory.
fn vendored(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let path = archive
        .file_names()
        .find(|path| path.ends_with(&format!("/dist/{name}")))
        .ok_or_else(|| format!("the archive has no dist/{name}"))?
        .to_owned();
    let mut content = Vec::new();
    archive.by_name(&path)?.read_to_end(&mut content)?;
    Ok(content)
}
