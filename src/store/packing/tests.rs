//! Real folders, packed.

use std::{fs, path::Path};

use super::*;

/// A folder of a test, with files written from `(path, content)`.
struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (path, content) in files {
            place.write(path, content.as_bytes());
        }
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes a file of this size that takes no room.
    fn write_sparse(&self, path: &str, size: u64) {
        self.write(path, b"");
        fs::OpenOptions::new().write(true).open(self.path(path)).unwrap().set_len(size).unwrap();
    }

    fn pack(&self, flow: &str, options: &PackingOptions) -> Result<Packed> {
        pack(&self.path(flow), options)
    }

    /// Packs `flow.py` and returns the paths that are sent, and `path (reason)` of what is not.
    fn sent(&self, options: &PackingOptions) -> (Vec<String>, Vec<String>) {
        let package = self.pack("flow.py", options).unwrap().package;
        let left_out = package.left_out.iter().map(|entry| format!("{} ({})", entry.path, entry.rule.as_ref().unwrap_or(&entry.reason)));
        (package.files.iter().map(|file| file.path.clone()).collect(), left_out.collect())
    }

    /// Packs and returns message and hints of the error, with the place's own path as `…`.
    fn refused(&self, flow: &str, options: &PackingOptions) -> (String, Vec<String>) {
        let error = self.pack(flow, options).map(|packed| packed.file).unwrap_err();
        let shorten = |text: &str| {
            let canonical = self.0.path().canonicalize().unwrap();
            text.replace(canonical.to_str().unwrap(), "…").replace(self.0.path().to_str().unwrap(), "…")
        };
        (shorten(error.message()), error.hints().iter().map(|hint| shorten(hint)).collect())
    }
}

fn include(patterns: &[&str]) -> PackingOptions {
    PackingOptions { include: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(), ..PackingOptions::default() }
}

fn exclude(patterns: &[&str]) -> PackingOptions {
    PackingOptions { exclude: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(), ..PackingOptions::default() }
}

fn rooted(root: PathBuf) -> PackingOptions {
    PackingOptions { root: Some(root), ..PackingOptions::default() }
}

#[cfg(unix)]
fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn rules_are_followed_by_rank_and_named() {
    let place = Place::new(&[
        ("flow.py", "print(1)\n"),
        (".gitignore", "data/\n*.log\n!keep.log\n/local.py\n"),
        (".sbrunignore", "notes.txt\n!local.py\n"),
        ("data/big.csv", "1"),
        ("run.log", "1"),
        ("keep.log", "1"),
        ("local.py", "1"),
        ("notes.txt", "1"),
        ("sub/.gitignore", "!run.log\nx*\n"),
        ("sub/run.log", "1"),
        ("sub/x1", "1"),
        (".env", "SECRET=1"),
        (".env.example", "SECRET="),
        ("__pycache__/flow.pyc", "1"),
        ("env/pyvenv.cfg", ""),
        ("env/lib/x.py", ""),
        ("env/lib/y.csv", ""),
        ("node_modules/x.js", ""),
        (".git/config", ""),
    ]);
    let sent = |options| place.sent(&options);
    let base = [".env.example", ".gitignore", ".sbrunignore", "flow.py", "keep.log", "local.py", "sub/.gitignore", "sub/run.log"];
    let left = [
        ".env (secret)",
        ".git/ (version control)",
        "__pycache__/ (cache)",
        "data/ (line `data/` of .gitignore)",
        "env/ (virtual environment)",
        "node_modules/ (node_modules)",
        "notes.txt (line `notes.txt` of .sbrunignore)",
        "run.log (line `*.log` of .gitignore)",
        "sub/x1 (line `x*` of sub/.gitignore)",
    ];
    assert_eq!(sent(PackingOptions::default()), (base.map(String::from).to_vec(), left.map(String::from).to_vec()));
    let summary = place.pack("flow.py", &PackingOptions::default()).unwrap().package.left_out_summary();
    assert_eq!(summary.as_deref(), Some("left out: .env (secret), data/ (.gitignore), 3 more; see --dry-run"));

    // --include comes before every other rule, even inside of a folder that is left out, and before --exclude.
    for pattern in
        ["data/big.csv", "/data/*.csv", "*.csv", "data", "data/", "./data/**", place.path("data").canonicalize().unwrap().to_str().unwrap()]
    {
        let both = PackingOptions { exclude: vec!["data/**".into(), "keep.log".into()], ..include(&[pattern]) };
        let (files, left_out) = sent(both);
        assert!(files.contains(&"data/big.csv".to_owned()) && !files.contains(&"keep.log".to_owned()), "{pattern}: {files:?}");
        assert!(left_out.contains(&"keep.log (--exclude 'keep.log')".to_owned()), "{left_out:?}");
        assert!(!files.iter().any(|path| path.starts_with("env") || path.starts_with("node")), "{files:?}");
    }
    let (files, _) = sent(include(&["env/lib/*.py", "node_modules/"]));
    assert!(["env/lib/x.py", "node_modules/x.js"].iter().all(|path| files.contains(&(*path).to_owned())), "{files:?}");
    assert!(!files.contains(&"env/pyvenv.cfg".to_owned()), "{files:?}");
}

#[test]
fn an_inclusion_that_brings_nothing_is_an_error() {
    let place = Place::new(&[("flow.py", "print(1)\n"), (".env", "A=1"), ("a.txt", "")]);
    assert_eq!(place.refused("flow.py", &include(&["a.txt", "data/x.cvs"])).0, "`--include data/x.cvs` matches no file");
    let (message, hints) = place.refused("flow.py", &include(&[".env"]));
    assert_eq!(message, "`--include .env` asks for `.env`, which is never sent");
    assert!(hints[0].contains("--secret"), "{hints:?}");
    for bad in ["", "!x", "{"] {
        let error = place.pack("flow.py", &exclude(&[bad])).unwrap_err();
        assert_eq!((error.kind(), error.message()), (crate::error::ErrorKind::Usage, format!("`--exclude '{bad}'` is no pattern").as_str()));
    }
}

#[test]
fn ignore_files_around_the_root_count_up_to_the_repository() {
    let place = Place::new(&[
        (".gitignore", "*.py\n"),
        ("repo/.git/info/exclude", "private.txt\n"),
        ("repo/.gitignore", "*.csv\n/flows/out/\nflows/flow.py\n"),
        ("repo/flows/flow.py", "print(1)\n"),
        ("repo/flows/a.csv", ""),
        ("repo/flows/private.txt", ""),
        ("repo/flows/out/x", ""),
        ("repo/flows/b.py", ""),
    ]);
    let packed = place.pack("repo/flows/flow.py", &PackingOptions::default()).unwrap();
    assert_eq!(packed.package.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["b.py", "flow.py"]);
    let rules: Vec<_> = packed.package.left_out.iter().filter_map(|entry| entry.rule.as_deref()).collect();
    assert_eq!(rules, ["line `*.csv` of ../.gitignore", "line `/flows/out/` of ../.gitignore", "line `private.txt` of .git/info/exclude"]);
}

#[test]
fn the_root_is_the_flow_s_folder_or_the_one_that_is_named() {
    let place = Place::new(&[("etl/flow.py", "print(1)\n"), ("other.txt", "x")]);
    let packed = place.pack("etl/flow.py", &PackingOptions::default()).unwrap();
    assert_eq!((packed.file.as_str(), packed.root), ("flow.py", place.path("etl").canonicalize().unwrap()));
    let packed = place.pack("etl/flow.py", &rooted(place.path("."))).unwrap();
    assert_eq!((packed.file.as_str(), packed.package.files.len(), packed.interpreter), ("etl/flow.py", 2, Interpreter::Python));
    assert!(place.refused("other.txt", &rooted(place.path("etl"))).0.contains("does not lie below the root `…/etl`"));
    assert!(place.refused("etl/flow.py", &rooted(place.path("no"))).0.contains("cannot open the root"));
    assert!(place.refused("etl/flow.py", &rooted(place.path("other.txt"))).0.ends_with("is not a folder"));
}

#[test]
fn a_flow_that_cannot_run_is_refused_with_the_way_out() {
    let place = Place::new(&[
        ("flow.py", "print(1)\n"),
        ("empty.py", ""),
        ("blank.py", " \n\n"),
        ("run.sh", "#!/bin/sh\n"),
        ("nb.ipynb", "{}"),
        ("d/main.py", "1"),
    ]);
    place.write("latin.py", b"# one\nname = 'caf\xe9'\n");
    place.write("declared.py", b"# -*- coding: latin-1 -*-\nname = 'caf\xe9'\n");
    place.write("too_late.py", b"x = 1\n# coding: latin-1\nname = 'caf\xe9'\n");
    for (flow, message, hint) in [
        ("flwo.py", "there is no file `…/flwo.py`", "did you mean `…/flow.py`?"),
        ("d", "`…/d` is a folder, not a flow's file", "did you mean `…/d/main.py`?"),
        ("empty.py", "`…/empty.py` is empty", ""),
        ("blank.py", "`…/blank.py` is empty", ""),
        (
            "latin.py",
            "`…/latin.py` is not UTF-8: line 2 has the byte 0xe9",
            "save it as UTF-8, or declare its encoding in the first line, such as `# -*- coding: latin-1 -*-`",
        ),
        (
            "too_late.py",
            "`…/too_late.py` is not UTF-8: line 3 has the byte 0xe9",
            "save it as UTF-8, or declare its encoding in the first line, such as `# -*- coding: latin-1 -*-`",
        ),
        ("run.sh", "`…/run.sh` is neither a `.py` file nor executable", "make it executable: `chmod +x …/run.sh`"),
        (
            "nb.ipynb",
            "`…/nb.ipynb` is neither a `.py` file nor executable",
            "turn the notebook into a flow: `jupyter nbconvert --to script …/nb.ipynb`",
        ),
        ("flow.py/x", "there is no file `…/flow.py/x`", ""),
    ] {
        let (refused, hints) = place.refused(flow, &PackingOptions::default());
        assert_eq!((refused.as_str(), hints.first().map_or("", String::as_str)), (message, hint));
    }
    assert_eq!(place.pack("declared.py", &PackingOptions::default()).unwrap().file, "declared.py");
}

#[cfg(unix)]
#[test]
fn a_flow_that_the_kernel_would_not_load_is_refused() {
    let place = Place::new(&[("good", "#!/bin/sh\necho 1\n"), ("windows.sh", "#!/bin/bash -e\r\necho 1\r\n"), ("bare.sh", "echo 1\n")]);
    place.write("program", b"\x7fELF\x02\x01\xff");
    for name in ["good", "windows.sh", "bare.sh", "program"] {
        make_executable(&place.path(name));
    }
    for name in ["good", "program"] {
        let packed = place.pack(name, &PackingOptions::default()).unwrap();
        assert_eq!((packed.interpreter, packed.package.find(name).unwrap().executable), (Interpreter::Executable, true));
    }
    let (message, hints) = place.refused("windows.sh", &PackingOptions::default());
    assert_eq!(message, "`…/windows.sh` has Windows line endings: Linux would look for `/bin/bash -e\\r`");
    assert_eq!(hints, ["convert it: `sed -i 's/\\r$//' …/windows.sh`"]);
    assert!(place.refused("bare.sh", &PackingOptions::default()).1[0].contains("#!/bin/sh"));
}

#[cfg(unix)]
#[test]
fn links_become_what_they_point_to_and_never_leave_the_root() {
    use std::os::unix::fs::symlink;
    let place = Place::new(&[("flows/flow.py", "print(1)\n"), ("flows/lib/a.py", "a"), ("flows/.env", "A=1"), ("shared/common.py", "c")]);
    symlink("lib/a.py", place.path("flows/b.py")).unwrap();
    symlink("lib", place.path("flows/linked")).unwrap();
    symlink("../lib", place.path("flows/lib/again")).unwrap();
    symlink("..", place.path("flows/lib/circle")).unwrap();
    symlink(".env", place.path("flows/settings.txt")).unwrap();
    symlink("user@host:1", place.path("flows/.#flow.py")).unwrap();
    let packed = place.pack("flows/flow.py", &PackingOptions::default()).unwrap();
    let files: Vec<_> = packed.package.files.iter().map(|file| (file.path.as_str(), file.content.as_slice())).collect();
    let a = b"a".as_slice();
    assert_eq!(files, [("b.py", a), ("flow.py", b"print(1)\n"), ("lib/a.py", a), ("linked/a.py", a)]);
    let left_out: Vec<_> = packed.package.left_out.iter().map(|entry| format!("{} ({})", entry.path, entry.reason)).collect();
    let expected = [
        ".#flow.py (broken link)",
        ".env (secret)",
        "lib/again/ (link to a folder around it)",
        "lib/circle/ (link to a folder around it)",
        "linked/again/ (link in a linked folder)",
        "linked/circle/ (link in a linked folder)",
        "settings.txt (secret)",
    ];
    assert_eq!(left_out, expected);

    symlink("../shared/common.py", place.path("flows/common.py")).unwrap();
    let (message, hints) = place.refused("flows/flow.py", &PackingOptions::default());
    assert_eq!(message, "the link `common.py` points to `…/shared/common.py`, outside of the root `…/flows`");
    assert_eq!(hints.last().map(String::as_str), Some("or send the folder around both: `--root …`"));
    assert!(place.pack("flows/flow.py", &exclude(&["common.py"])).is_ok());
    assert!(place.pack("flows/flow.py", &rooted(place.path("."))).is_ok());
    fs::remove_file(place.path("flows/common.py")).unwrap();
    symlink("/etc", place.path("flows/etc")).unwrap();
    assert_eq!(place.refused("flows/flow.py", &PackingOptions::default()).1.len(), 1);

    symlink("flows/flow.py", place.path("link.py")).unwrap();
    fs::remove_file(place.path("flows/etc")).unwrap();
    assert_eq!(place.pack("link.py", &PackingOptions::default()).unwrap().root, place.path("flows").canonicalize().unwrap());
}

#[cfg(unix)]
#[test]
fn what_is_no_file_stays_and_what_has_no_name_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new(&[("flow.py", "print(1)\n")]);
    nix::unistd::mkfifo(&place.path("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    assert_eq!(place.sent(&PackingOptions::default()), (vec!["flow.py".into()], vec!["pipe (named pipe)".into(), "socket (socket)".into()]));

    fs::write(place.0.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "").unwrap();
    assert!(place.refused("flow.py", &PackingOptions::default()).0.contains("is not UTF-8"));
    assert!(place.pack("flow.py", &exclude(&["*.txt"])).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = Place::new(&[("flow.py", "print(1)\n")]);
    let gone = Found { path: "data/x.csv".into(), source: place.path("data/x.csv"), size: 1, executable: false };
    let error = read(&gone).unwrap_err();
    assert_eq!(error.message(), "cannot read `data/x.csv`, which would travel with the flow");
    assert!(error.hints()[0].contains("--exclude 'data/x.csv'"), "{:?}", error.hints());
}

#[test]
fn what_stands_in_a_file_s_place_by_now_is_not_sent() {
    use std::os::unix::fs::symlink;
    let place = Place::new(&[("flows/flow.py", "print(1)\n"), ("flows/lib/key.txt", "harmless"), ("elsewhere/key.txt", "secret")]);
    let path = place.path("flows/lib/key.txt").canonicalize().unwrap();
    let found = Found { path: "lib/key.txt".into(), source: path.clone(), size: 8, executable: false };
    assert_eq!(read(&found).unwrap().content, b"harmless");

    fs::write(place.path("new.txt"), "saved anew").unwrap();
    fs::rename(place.path("new.txt"), &path).unwrap();
    assert_eq!(read(&found).unwrap().content, b"saved anew");

    let changed = "`lib/key.txt` was changed while it was packed";
    fs::remove_file(&path).unwrap();
    symlink(place.path("elsewhere/key.txt"), &path).unwrap();
    assert_eq!(read(&found).unwrap_err().message(), changed);
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(read(&found).unwrap_err().message(), changed, "and nobody waits for a writer");
    fs::remove_dir_all(place.path("flows/lib")).unwrap();
    assert!(read(&found).unwrap_err().message().starts_with("cannot read `lib/key.txt`"));
    symlink(place.path("elsewhere"), place.path("flows/lib")).unwrap();
    assert_eq!(read(&found).unwrap_err().message(), changed, "a link on the way");
}

#[test]
fn ignore_files_that_are_none_do_not_block() {
    let place = Place::new(&[("flow.py", "print(1)\n"), (".git/HEAD", "")]);
    fs::create_dir(place.path(".git/info")).unwrap();
    for name in [".gitignore", ".sbrunignore", ".git/info/exclude"] {
        nix::unistd::mkfifo(&place.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    assert_eq!(place.sent(&PackingOptions::default()).0, ["flow.py"]);
}

#[test]
fn gigabytes_beside_the_flow_are_found_without_reading_them() {
    let place = Place::new(&[("flow.py", "print(1)\n"), ("small/a", "1")]);
    place.write_sparse("data/2026/big.parquet", 2 << 30);
    for number in 0..10 {
        place.write_sparse(&format!("images/{number}.png"), 30 << 20);
    }
    let started = std::time::Instant::now();
    let (message, hints) = place.refused("flow.py", &PackingOptions::default());
    assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
    assert_eq!(message, "`…/flow.py` and the files beside it are 2.3 GiB, and at most 64 MiB may travel, 5 MiB packed");
    assert_eq!(hints[0], "the largest: `data/2026/big.parquet` (2 GiB), `images/` (300 MiB), `flow.py` (9 B), `small/a` (1 B)");
    assert!(hints[1].contains("--exclude 'data/2026/big.parquet'") && hints[1].contains(".sbrunignore"), "{hints:?}");
    let (files, left_out) = place.sent(&exclude(&["data/**", "images"]));
    assert_eq!(files, ["flow.py", "small/a"]);
    assert_eq!(left_out, ["data/2026/ (--exclude 'data/**')", "images/ (--exclude 'images')"]);
}

#[test]
fn ten_thousand_files_are_too_many() {
    let place = Place::new(&[("flow.py", "print(1)\n")]);
    fs::create_dir(place.path("frames")).unwrap();
    for number in 0..10_000 {
        fs::File::create(place.path(&format!("frames/{number}"))).unwrap();
    }
    let (message, hints) = place.refused("flow.py", &PackingOptions::default());
    assert_eq!(message, "more than 10000 files lie beside `…/flow.py`");
    assert_eq!(hints[0], "most of them in `frames/` (10000), as far as was looked");
    assert!(hints[1].contains("--exclude 'frames/**'"), "{hints:?}");
    assert!(place.pack("flow.py", &exclude(&["frames"])).is_ok());
}

#[test]
fn a_forgotten_import_is_an_error_that_names_the_rule_and_the_fix() {
    let place = Place::new(&[
        ("flow.py", "from utils import secret\nimport extra\n"),
        ("utils/__init__.py", ""),
        ("utils/secret.py", "KEY = 1\n"),
        ("extra.py", ""),
        (".gitignore", "secret.py\nextra.py\n"),
    ]);
    let (message, hints) = place.refused("flow.py", &PackingOptions::default());
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(
        lines,
        [
            "`flow.py` line 1 imports `utils.secret`, but `utils/secret.py` is not sent (line `secret.py` of .gitignore)",
            "`flow.py` line 2 imports `extra`, but `extra.py` is not sent (line `extra.py` of .gitignore)",
        ]
    );
    assert_eq!(hints[0], "send it with `--include utils/secret.py` or the line `!/utils/secret.py` in the root's .sbrunignore");
    assert!(place.pack("flow.py", &include(&["utils/secret.py", "extra.py"])).is_ok());
    place.write(".sbrunignore", b"!/utils/secret.py\n!/extra.py\n");
    assert!(place.pack("flow.py", &PackingOptions::default()).is_ok());
    let packed = place.pack("flow.py", &exclude(&["extra.py"])).unwrap();
    assert_eq!(packed.notes, ["`flow.py` imports `extra`, but `extra.py` is not sent (--exclude 'extra.py'); the image must hold it"]);
}

#[test]
fn an_import_from_outside_the_root_names_the_root_to_give() {
    let place = Place::new(&[("flows/etl.py", "import common\n"), ("common/__init__.py", "")]);
    let (message, hints) = place.refused("flows/etl.py", &PackingOptions::default());
    assert_eq!(message, "`etl.py` line 1 imports `common`, but `../common/__init__.py` lies outside the root, which is all that is sent");
    assert_eq!(hints, ["send the folder around both: `--root … --env PYTHONPATH=.`", "if the image holds `common`: `--exclude common`"]);

    let root = rooted(place.path("."));
    let (message, hints) = place.refused("flows/etl.py", &root);
    assert_eq!(
        message,
        "`flows/etl.py` line 1 imports `common`, but `common/__init__.py` lies outside the flow's folder, where Python does not look"
    );
    assert_eq!(hints[0], "let Python look there: `--env PYTHONPATH=.`, or move the flow beside it");
    for path in [".", "lib:./", ":.", "/opt/lib:/sbrun/flow"] {
        let options = PackingOptions { python_path: Some(path.into()), ..root.clone() };
        assert_eq!(place.pack("flows/etl.py", &options).unwrap().notes, [] as [String; 0], "{path}");
    }

    let packed = place.pack("flows/etl.py", &exclude(&["common"])).unwrap();
    assert_eq!(packed.notes.len(), 1);
    place.write("pyproject.toml", b"[build-system]\nrequires = []\n");
    let packed = place.pack("flows/etl.py", &PackingOptions::default()).unwrap();
    assert_eq!(
        packed.notes,
        ["`etl.py` imports `common`, but `../common/__init__.py` lies outside the root, which is all that is sent; the image must hold it"]
    );
}

#[test]
fn a_prefect_flow_and_declared_dependencies_are_noticed() {
    let flow = "from prefect import flow\n@flow(name='Daily')\ndef main(): pass\n";
    let place = Place::new(&[("flow.py", flow), ("requirements.txt", "prefect>=3\npandas\n")]);
    let packed = place.pack("flow.py", &PackingOptions::default()).unwrap();
    assert_eq!(
        (packed.prefect_flow.map(|flow| flow.name).as_deref(), packed.notes),
        (Some("Daily"), vec!["the image must hold prefect, pandas (requirements.txt)".to_owned()])
    );
}

#[test]
fn the_root_above_is_written_as_the_user_would() {
    let flow = |typed_root: &str| flow_file::FlowFile {
        typed: "x".into(),
        typed_root: typed_root.into(),
        root: "/r".into(),
        path: "/r/x".into(),
        file: "x".into(),
        interpreter: Interpreter::Python,
        repository: None,
    };
    for (typed, levels, root) in
        [("flows", 1, "."), ("flows", 2, ".."), (".", 1, ".."), (".", 2, "../.."), ("../a", 1, ".."), ("..", 1, "../.."), ("/a/b", 1, "/a")]
    {
        assert_eq!(flow(typed).root_above(levels), root, "{typed} {levels}");
    }
}

#[test]
fn the_examples_are_packed_without_a_word() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for flow in ["hello.py", "multi/flow.py", "prefect_flow.py", "too_much_memory.py", "fails.py", "progress.py", "hello.sh"] {
        let packed = pack(&examples.join(flow), &PackingOptions::default()).unwrap();
        let prefect_flow = (flow == "prefect_flow.py").then(|| "sum-of-squares".to_owned());
        assert_eq!(
            (packed.notes, packed.package.left_out_summary(), packed.prefect_flow.map(|flow| flow.name)),
            (Vec::new(), None, prefect_flow),
            "{flow}"
        );
        assert!(matches!(packed.package.deliver(packed.interpreter), Ok(crate::model::package::delivery::Delivery::Inline(_))), "{flow}");
    }
}
