//! What is generated and kept in the repository is what the binary generates now.

use std::{collections::BTreeMap, fs, path::Path};

use crate::common::sandbox::Sandbox;

fn files(folder: &Path) -> BTreeMap<String, String> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn completions_and_manual_are_fresh() {
    let sandbox = Sandbox::new();
    sandbox.command(["generate", "new"]).success();
    for folder in ["completions", "man"] {
        let kept = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        let fresh = files(&sandbox.path("new").join(folder));
        assert!(kept == fresh, "{folder}/ is stale; run: cargo run -- generate .");
    }
}
