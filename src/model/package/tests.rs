//! Archives, deliveries, and the bootstrap run by this machine's Python.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    LeftOut, Package, PackagedFile,
    archive::{archive, chunks},
    bootstrap::{BOOTSTRAP, FAILURE_PREFIX, FLOW_FOLDER, PACKAGE_FOLDER, bootstrap_command},
    delivery::{Delivery, Part},
    never_sent::{StaysBehind, is_never_sent, stays_behind},
    *,
};
use crate::model::launch_plan::Interpreter;

fn file(path: &str, content: impl Into<Vec<u8>>) -> PackagedFile {
    PackagedFile { path: path.into(), executable: false, content: content.into() }
}

fn package(files: Vec<PackagedFile>) -> Package {
    sorted(files).unwrap()
}

/// Bytes that no packer makes smaller, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn an_archive_is_the_same_for_the_same_files_and_gives_them_back() {
    let long = format!("{}/module.py", "deep".repeat(60));
    let files = vec![
        file("flow.py", "print(1)\n"),
        PackagedFile { path: "bin/run ünï.sh".into(), executable: true, content: b"#!/bin/sh\n".to_vec() },
        file(&long, noise(5000)),
        file("empty.txt", ""),
    ];
    let package = package(files.clone());
    let bytes = archive(&package).unwrap();
    assert_eq!(bytes, archive(&sorted(files.into_iter().rev().collect()).unwrap()).unwrap());
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], "the gzip header has no time, no name and no system");
    assert_eq!(Package::from_archive(&bytes).unwrap(), package);
}

#[test]
fn the_content_hash_sees_paths_modes_and_contents_only() {
    let base = package(vec![file("a", "bc"), file("d", "")]);
    let same =
        Package { left_out: vec![LeftOut { path: "x".into(), reason: "secret".into(), rule: None, size: None, expected: false }], ..base.clone() };
    assert_eq!(base.content_sha256(), same.content_sha256());
    let others = [
        package(vec![file("ab", "c"), file("d", "")]),
        package(vec![file("a", "bc"), file("e", "")]),
        package(vec![file("a", "bc"), PackagedFile { executable: true, ..file("d", "") }]),
        package(vec![file("a", "bc")]),
    ];
    for other in others {
        assert_ne!(base.content_sha256(), other.content_sha256(), "{other:?}");
    }
}

/// Returns a `tar.gz` of entries that sbrun would not write.
fn foreign(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn archives_that_could_do_harm_are_refused() {
    let regular = tar::EntryType::Regular;
    let zeros = vec![0u8; 33 << 20];
    for (archive, part) in [
        (foreign(&[("../escape", regular, b"x")]), "leaves its folder"),
        (foreign(&[("/etc/passwd", regular, b"x")]), "leaves its folder"),
        (foreign(&[("a//b", regular, b"x")]), "leaves its folder"),
        (foreign(&[("link", tar::EntryType::Symlink, b"")]), "not a plain file"),
        (foreign(&[("hard", tar::EntryType::Link, b"")]), "not a plain file"),
        (foreign(&[("sparse", tar::EntryType::GNUSparse, b"")]), "cannot be read"),
        (foreign(&[("pipe", tar::EntryType::Fifo, b"")]), "not a plain file"),
        (foreign(&[("disk", tar::EntryType::Block, b"")]), "not a plain file"),
        (foreign(&[("folder", tar::EntryType::Directory, b"")]), "not a plain file"),
        (foreign(&[("a", regular, b"x"), ("a", regular, b"y")]), "twice"),
        (foreign(&[("a", regular, &zeros), ("b", regular, &zeros)]), "66 MiB or more unpacked, the limit is 64 MiB"),
        (b"no archive".to_vec(), "cannot be read"),
    ] {
        let error = Package::from_archive(&archive).unwrap_err();
        assert!(error.message().contains(part), "{error}, not {part}");
    }
    let whole = archive(&package(vec![file("flow.py", noise(5000))])).unwrap();
    assert!(Package::from_archive(&whole[..whole.len() / 2]).is_err());
}

proptest! {
    #[test]
    fn no_archive_makes_the_reader_panic_or_leave(bytes in vec(any::<u8>(), 0..600), path in any::<String>(), kind in any::<u8>(), at: Index, byte: u8) {
        drop(Package::from_archive(&bytes));
        let path: String = path.chars().take(20).filter(|character| *character != '\0').collect();
        let mut tar = foreign(&[(&path, tar::EntryType::new(kind), b"content")]);
        if let Ok(read) = Package::from_archive(&tar) {
            prop_assert!(read.files.iter().all(|file| is_safe_path(&file.path)), "{read:?}");
        }
        let at = at.index(tar.len());
        tar[at] = byte;
        drop(Package::from_archive(&tar));
    }
}

#[test]
fn a_small_package_travels_in_the_job_and_a_large_one_in_config_maps() {
    let small = package(vec![file("flow.py", "print(1)\n")]);
    let Delivery::Inline(parts) = small.deliver(Interpreter::Python).unwrap() else { panic!("not inline") };
    assert_eq!(parts.iter().map(|part| (part.key.as_str(), part.path.as_str())).collect::<Vec<_>>(), [("package", "package.b64")]);

    let large = package(vec![file("flow.py", "print(1)\n"), file("data.bin", noise(3 << 20))]);
    let delivery = large.deliver(Interpreter::Python).unwrap();
    let Delivery::ConfigMaps(groups) = &delivery else { panic!("inline") };
    assert_eq!(groups.iter().map(|group| group[0].path.clone()).collect::<Vec<_>>(), ["part-000", "part-001", "part-002", "part-003"]);
    assert!(groups.iter().all(|group| group.len() == 1 && group[0].content.len() <= CHUNK_LIMIT));
    assert_eq!(delivery.unpack(Interpreter::Python).unwrap(), large);
    assert_eq!(chunks(&vec![0; CHUNK_LIMIT + 1]).iter().map(|chunk| chunk.len()).collect::<Vec<_>>(), [CHUNK_LIMIT, 1]);
}

#[test]
fn the_files_of_an_executable_flow_travel_one_by_one() {
    let script = PackagedFile { path: "run.sh".into(), executable: true, content: b"#!/bin/sh\n".to_vec() };
    let text = package(vec![script.clone(), file("lib/names.txt", "a\n")]);
    let part = |key: &str, path: &str, executable, content: &[u8]| Part { key: key.into(), path: path.into(), executable, content: content.to_vec() };
    let expected = Delivery::Inline(vec![part("file-00000", "lib/names.txt", false, b"a\n"), part("file-00001", "run.sh", true, b"#!/bin/sh\n")]);
    assert_eq!(text.deliver(Interpreter::Executable).unwrap(), expected);
    assert_eq!(expected.unpack(Interpreter::Executable).unwrap(), text);

    let binary = package(vec![script.clone(), file("a.bin", noise(500 << 10)), file("b.bin", noise(500 << 10)), file("c.bin", noise(300 << 10))]);
    let delivery = binary.deliver(Interpreter::Executable).unwrap();
    let Delivery::ConfigMaps(groups) = &delivery else { panic!("inline") };
    let paths: Vec<Vec<&str>> = groups.iter().map(|group| group.iter().map(|part| part.path.as_str()).collect()).collect();
    assert_eq!(paths, [vec!["a.bin"], vec!["b.bin", "c.bin", "run.sh"]]);
    assert_eq!(delivery.unpack(Interpreter::Executable).unwrap(), binary);

    let large = package(vec![script.clone(), file("model.bin", noise(1 << 20))]);
    assert_eq!(
        large.deliver(Interpreter::Executable).unwrap_err().message(),
        "`model.bin` is 1 MiB, and a file beside a flow that is no Python file may be 900 KiB at most"
    );
    let dotted = package(vec![script, file("..data/x", "x")]);
    assert!(dotted.deliver(Interpreter::Executable).unwrap_err().message().contains("two dots"));
}

#[test]
fn a_package_over_the_limit_is_an_error_that_names_the_largest_and_the_ways_out() {
    let package = package(vec![file("flow.py", "print(1)\n"), file("model.bin", noise(4 << 20)), file("table.bin", noise(2 << 20))]);
    for interpreter in [Interpreter::Python, Interpreter::Executable] {
        let error = package.deliver(interpreter).unwrap_err();
        assert!(error.message().ends_with("packed, the limit is 5 MiB"), "{error}");
        assert_eq!(error.hints()[0], "the largest: `model.bin` (4 MiB), `table.bin` (2 MiB), `flow.py` (9 B)");
        assert!(error.hints()[1].contains("--exclude 'model.bin'") && error.hints()[1].contains(".sbrunignore"), "{:?}", error.hints());
    }
}

#[test]
fn what_is_left_out_is_one_line_without_caches() {
    let entry = |path: &str, reason: &str, expected| LeftOut { path: path.into(), reason: reason.into(), rule: None, size: None, expected };
    let cache = entry("__pycache__/", "cache", true);
    assert_eq!(Package { left_out: vec![cache.clone()], ..Package::default() }.left_out_summary(), None);
    let left_out = vec![entry("data/", ".gitignore", false), cache, entry(".env", "secret", false), entry("a\x1b[0m", "socket", false)];
    let package = Package { left_out, ..Package::default() };
    assert_eq!(package.left_out_summary().as_deref(), Some("left out: data/ (.gitignore), .env (secret), 1 more; see --dry-run"));
}

#[test]
fn keys_and_credentials_are_known_by_name() {
    let secret = [
        ".env",
        ".env.production",
        ".envrc",
        "a/.ENV",
        "server.pem",
        "deploy.key",
        "id_rsa",
        "id_ed25519.old",
        ".aws",
        "x/.kube",
        ".ssh",
        ".netrc",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        ".pypirc",
        ".docker/config.json",
        "a/.docker/config.json",
        "credentials.json",
        "Cert.P12",
    ];
    for path in secret {
        assert_eq!(stays_behind(path), Some(StaysBehind::Secret), "{path}");
    }
    for path in [".env.example", "environment.py", "id_rsa.pub", "id_rsa_tools.py", "config.json", "keys.py", "monkey", ".github", ".gitignore"] {
        assert_eq!(stays_behind(path), None, "{path}");
    }
    for (path, why) in [
        (".git", StaysBehind::VersionControl),
        ("a/__pycache__", StaysBehind::Cache),
        ("a.pyc", StaysBehind::Cache),
        ("web/node_modules", StaysBehind::NodeModules),
    ] {
        assert_eq!(stays_behind(path), Some(why), "{path}");
    }
    assert!(is_never_sent(".aws/config") && is_never_sent("a/.git/hooks/x") && is_never_sent(".env"));
    assert!(!is_never_sent("a/b.py") && !is_never_sent("__pycache__/x"));
}

/// Lays out a delivery as the kubelet would, and runs the container's command in it.
fn run(package: &Package, flow: &str, arguments: &[&str], change: impl FnOnce(&Path)) -> Output {
    let pod = tempfile::tempdir().unwrap();
    let mount = pod.path().join("package");
    fs::create_dir_all(mount.join("..data")).unwrap();
    for part in package.deliver(Interpreter::Python).unwrap().parts() {
        fs::write(mount.join(&part.path), &part.content).unwrap();
    }
    change(&mount);
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let command = bootstrap_command(flow, &arguments);
    let script = BOOTSTRAP.replace("/sbrun", pod.path().to_str().unwrap());
    let command: Vec<&str> = command.iter().map(|word| if word == BOOTSTRAP { script.as_str() } else { word.as_str() }).collect();
    let home = pod.path().join("home");
    Command::new(command[0]).args(&command[1..]).env("HOME", &home).current_dir("/").output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_bootstrap_has_the_folders_that_the_pod_has() {
    for folder in [PACKAGE_FOLDER, FLOW_FOLDER] {
        assert!(BOOTSTRAP.contains(&format!("\"{folder}\"\n")), "{folder}");
    }
    assert!(BOOTSTRAP.len() < 4096, "it travels with every Job: {}", BOOTSTRAP.len());
}

#[test]
fn a_flow_of_several_files_finds_its_modules_its_data_and_a_home() {
    let flow = "import os, sys\nfrom tools.shout import shout\n\
        root = os.getcwd()\nprint(shout(open('data/name.txt').read()), sys.argv[0], os.path.relpath(sys.path[0], root), __file__)\n\
        open('written', 'w').write('x')\nprint(os.path.isdir(os.environ['HOME']), os.path.getmtime('data/name.txt') > 1e9)\n";
    let files = |folder: &str| {
        vec![
            file(&format!("{folder}flow.py"), flow),
            file(&format!("{folder}tools/__init__.py"), ""),
            file(&format!("{folder}tools/shout.py"), "def shout(text): return text.upper()\n"),
            file("data/name.txt", "ana"),
        ]
    };
    let output = printed(&run(&package(files("")), "flow.py", &[], |_| {}));
    assert!(output.starts_with("ANA flow.py . ") && output.ends_with("True True\n"), "{output}");
    let output = printed(&run(&package(files("etl/")), "etl/flow.py", &[], |_| {}));
    assert!(output.starts_with("ANA etl/flow.py etl ") && output.ends_with("True True\n"), "{output}");
}

#[test]
fn a_flow_of_three_megabytes_arrives_whole() {
    let data = noise(3 << 20);
    let flow = "import hashlib, os\nprint(hashlib.sha256(open('data.bin', 'rb').read()).hexdigest(), os.access('tool', os.X_OK))\n";
    let tool = PackagedFile { executable: true, ..file("tool", "#!/bin/sh\n") };
    let package = package(vec![file("flow.py", flow), file("data.bin", data.clone()), tool]);
    let expected = format!("{} True\n", crate::model::identity::sha256_hex(&data));
    assert_eq!(printed(&run(&package, "flow.py", &[], |_| {})), expected);

    let output = run(&package, "flow.py", &[], |mount| fs::remove_file(mount.join("part-001")).unwrap());
    assert_eq!(output.status.code(), Some(bootstrap::UNPACK_FAILED));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a part of the package is missing"), "{output:?}");
    let output = run(&package, "flow.py", &[], |mount| fs::write(mount.join("part-003"), "cut").unwrap());
    assert_eq!(output.status.code(), Some(bootstrap::UNPACK_FAILED), "{output:?}");
}

#[test]
fn arguments_and_exit_codes_pass_unchanged() {
    let arguments = ["--name", "a b", "it's \"quoted\"", "üñí ☃", "", "$HOME `x`\n", "-c"];
    let flow = "import sys\nsys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode())\n";
    for name in ["flow.py", "-flow.py", "my flow.py"] {
        assert_eq!(printed(&run(&package(vec![file(name, flow)]), name, &arguments, |_| {})), arguments.join("\0"), "{name}");
    }
    let output = run(&package(vec![file("flow.py", "import sys\nsys.exit(7)\n")]), "flow.py", &[], |_| {});
    assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(7), Vec::new(), Vec::new()));
}

#[test]
fn a_start_that_fails_says_so_in_one_line_with_a_code_of_its_own() {
    let flow = package(vec![file("flow.py", "print(1)\n")]);
    let unpack = |archive: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(archive);
        run(&flow, "flow.py", &[], |mount| fs::write(mount.join("package.b64"), text).unwrap())
    };
    let links = [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::GNUSparse, tar::EntryType::Fifo, tar::EntryType::Char];
    let hostile = links.map(|kind| foreign(&[("entry", kind, b"")]));
    let leaving = ["../escape", "/sbrun-escape", "a/../../escape"].map(|path| foreign(&[(path, tar::EntryType::Regular, b"x")]));
    for bad in [b"no archive".to_vec()].into_iter().chain(hostile).chain(leaving) {
        let output = unpack(&bad);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(bootstrap::UNPACK_FAILED), 1), "{text}");
        assert!(text.starts_with(FAILURE_PREFIX) && output.stdout.is_empty(), "{text}");
    }
    assert_eq!(printed(&unpack(&archive(&flow).unwrap())), "1\n");
}
