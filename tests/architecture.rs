//! The dependency rule: `commands → follow → {kubernetes, aws, prefect, local, store} → model`, `output → model`.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a module may not name in its sources. The other direction is free.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "model",
        &[
            "kube::",
            "k8s_openapi",
            "tokio",
            "clap",
            "comfy_table",
            "indicatif",
            "dialoguer",
            "serde_yaml",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "SystemTime",
            "Instant::now",
            "Timestamp::now",
            "crate::environment",
            "crate::aws",
            "crate::kubernetes",
            "crate::local",
            "crate::prefect",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
        ],
    ),
    (
        "aws",
        &[
            "crate::kubernetes",
            "crate::local",
            "crate::prefect",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
            "kube::",
            "k8s_openapi",
        ],
    ),
    (
        "prefect",
        &[
            "crate::aws",
            "crate::kubernetes",
            "crate::local",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
            "kube::",
            "k8s_openapi",
        ],
    ),
    (
        "kubernetes",
        &[
            "crate::aws",
            "crate::local",
            "crate::prefect",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
            "comfy_table",
            "indicatif",
            "dialoguer",
        ],
    ),
    (
        "local",
        &[
            "crate::aws",
            "crate::kubernetes",
            "crate::prefect",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
            "kube::",
            "k8s_openapi",
        ],
    ),
    (
        "store",
        &[
            "crate::aws",
            "crate::kubernetes",
            "crate::local",
            "crate::prefect",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
            "kube::",
            "k8s_openapi",
        ],
    ),
    ("follow", &["crate::output", "crate::commands", "crate::cli", "clap", "comfy_table", "indicatif", "dialoguer", "k8s_openapi", "kube::"]),
    (
        "output",
        &[
            "crate::aws",
            "crate::kubernetes",
            "crate::local",
            "crate::prefect",
            "crate::store",
            "crate::follow",
            "crate::commands",
            "crate::cli",
            "clap",
            "kube::",
            "k8s_openapi",
        ],
    ),
    ("commands", &["comfy_table", "indicatif", "dialoguer", "k8s_openapi", "kube::"]),
    ("environment", &["crate::"]),
    (
        "error",
        &[
            "crate::aws",
            "crate::kubernetes",
            "crate::local",
            "crate::store",
            "crate::follow",
            "crate::output",
            "crate::commands",
            "crate::cli",
            "clap",
        ],
    ),
];

/// Presentation and format crates have one importer each; what is drawn on a whole screen has a file of its own.
const ONE_IMPORTER: &[(&str, &[&str])] = &[
    ("comfy_table", &["src/output/table.rs"]),
    ("indicatif", &["src/output/progress.rs"]),
    ("serde_yaml", &["src/output/format.rs"]),
    ("similar", &["src/output/diff.rs"]),
    ("plotters", &["src/output/svg.rs"]),
    ("toml", &["src/prefect/settings.rs"]),
    ("ratatui", &["src/output/screen.rs", "src/output/view/watch.rs"]),
];

/// Crates of the AWS SDK: only its adapter names them.
const AWS_SDK: &[&str] = &["aws_config", "aws_credential_types", "aws_sdk_autoscaling", "aws_smithy_types", "aws_types"];

/// Returns whether a file only holds unit tests, which may use whatever proves their point.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

/// Returns every source file with its code: comments and doc comments may name anything.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
                let relative = path.strip_prefix(root).map(PathBuf::from).unwrap().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).unwrap();
                sources.push((relative, text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")));
            }
        }
    }
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

/// Returns whether `code` names `path` as a path of its own, not as the end of a longer word.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path)
        .any(|(at, _)| !code[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_' || character == ':'))
}

#[test]
fn dependencies_point_inward() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        for (module, forbidden) in FORBIDDEN {
            if file.starts_with(&format!("src/{module}/")) || file == format!("src/{module}.rs") {
                wrong.extend(forbidden.iter().filter(|path| names(&code, path)).map(|path| format!("{file} names {path}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn presentation_crates_have_one_importer() {
    for (name, importers) in ONE_IMPORTER {
        let mut files: Vec<String> = sources().into_iter().filter(|(_, code)| names(code, &format!("{name}::"))).map(|(file, _)| file).collect();
        files.sort();
        assert_eq!(files, *importers, "{name}");
    }
}

#[test]
fn the_account_has_one_owner() {
    for (file, code) in sources().into_iter().filter(|(file, _)| file != "src/aws.rs" && !file.starts_with("src/aws/")) {
        assert!(!AWS_SDK.iter().any(|name| names(&code, name)), "{file} names the AWS SDK");
    }
}

#[test]
fn there_are_no_mod_files() {
    assert!(sources().iter().all(|(file, _)| !file.ends_with("/mod.rs")));
}
