//! Sources on one side, findings on the other.

use std::collections::BTreeSet;

use super::{
    requirements::{Declared, declared, names},
    source::logical_lines,
    statements::parse,
    *,
};
use crate::model::package::{LeftOut, PackagedFile};

/// Returns `level module: names` of each import, with `?` when it is optional.
fn imports(source: &str) -> Vec<String> {
    let show = |import: Import| {
        let dots = ".".repeat(import.level);
        format!("{} {dots}{}:{}{}", import.line, import.module, import.names.join(","), if import.optional { "?" } else { "" })
    };
    parse(source).imports.into_iter().map(show).collect()
}

#[test]
fn imports_are_read_in_every_form() {
    let source = "\u{feff}import a\nimport a.b as c, d\nfrom e import f, g as h\nfrom . import i\nfrom .j import k\nfrom ..l.m import (\n    n,  # why\n    o,\n)\n\
        from p import \\\n    q\nfrom .import r\nfrom s import*\nfrom t import(u)\nimport v; import w\n\timport x\nif y: import z\n";
    let expected = [
        "1 a:",
        "2 a.b:",
        "2 d:",
        "3 e:f,g",
        "4 .:i",
        "5 .j:k",
        "6 ..l.m:n,o",
        "10 p:q",
        "12 .:r",
        "13 s:",
        "14 t:u",
        "15 v:",
        "15 w:",
        "16 x:",
        "17 z:",
    ];
    assert_eq!(imports(source), expected);
}

#[test]
fn strings_comments_and_lookalikes_are_no_imports() {
    let source = r#"
"""Doc.
import a
"""
# import b
text = 'import c'
text = "it's \" import d"; other = r'\'; import e'
long = '''
from f import g
''' + f"{x}"
call(
    import_h,
)
importlib.import_module("i")
yield_from = 1
raise ValueError from error
def f(): yield from j
broken = 'no end
import k
"#;
    assert_eq!(imports(source), ["19 k:"]);
}

#[test]
fn only_what_runs_and_is_needed_counts() {
    let source = "\
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import a
    from b import c
elif typing.TYPE_CHECKING:
    import d
else:
    import e
try:
    import f
    try:
        import g
    except ValueError:
        import h
except (ImportError, OSError):
    import i
try:
    import j
except Exception:
    raise
def k():
    import l
if typing.TYPE_CHECKING: import m
import n
";
    assert_eq!(imports(source), ["1 typing:TYPE_CHECKING", "8 e:", "10 f:?", "12 g:?", "14 h:?", "16 i:?", "18 j:", "22 l:", "24 n:"]);
}

#[test]
fn lines_know_their_number_and_indentation() {
    let lines = logical_lines("a(\n1,\n)\n\n  b = '''x\ny'''\n\tc\n");
    let shown: Vec<_> = lines.iter().map(|line| (line.number, line.indent, line.text.as_str())).collect();
    assert_eq!(shown, [(1, 0, "a( 1, )"), (5, 2, "b = \"0\""), (7, 8, "c")]);
}

#[test]
fn sources_that_are_no_python_do_no_harm() {
    proptest::proptest!(|(source in "(import|from|try:|if|\\(|\\)|'|\"|\\\\|\n| |\t|#|é|\\.|;|:|a){0,60}")| {
        parse(&source);
        drop(prefect::flow(&source));
    });
}

/// Prints path, level, module and names of every import of the standard library's own modules, as Python's parser sees them.
const ORACLE: &str = r"
import ast, glob, os, sysconfig
for path in sorted(glob.glob(os.path.join(sysconfig.get_path('stdlib'), '*.py')) + glob.glob(os.path.join(sysconfig.get_path('stdlib'), 'asyncio/*.py'))):
    try:
        source = open(path, encoding='utf-8').read()
    except UnicodeDecodeError:
        continue
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                print(path, node.lineno, '', name.name, '', sep='\t')
        elif isinstance(node, ast.ImportFrom):
            print(path, node.lineno, '.' * node.level, node.module or '', ','.join(name.name for name in node.names if name.name != '*'), sep='\t')
";

#[test]
fn the_standard_library_reads_as_python_reads_it() {
    let output = std::process::Command::new("python3").args(["-c", ORACLE]).output().expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut expected: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (path, import) = line.split_once('\t').unwrap();
        expected.entry(path.to_owned()).or_default().push(import.to_owned());
    }
    assert!(expected.len() > 100, "only {} modules", expected.len());
    for (path, mut imports) in expected {
        let source = std::fs::read_to_string(&path).unwrap();
        let parsed = parse(&source).imports.into_iter();
        let mut found: Vec<String> =
            parsed.map(|import| [import.line.to_string(), ".".repeat(import.level), import.module, import.names.join(",")].join("\t")).collect();
        found.sort();
        imports.sort();
        // Only a type checker sees these, and the scan does not.
        imports.retain(|import| !source.contains("TYPE_CHECKING") || found.contains(import));
        assert_eq!(found, imports, "{path}");
    }
}

fn package(files: &[(&str, &str)], left_out: &[&str]) -> Package {
    let mut files: Vec<PackagedFile> =
        files.iter().map(|(path, text)| PackagedFile { path: (*path).into(), executable: false, content: text.as_bytes().to_vec() }).collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let entry = |path: &&str| LeftOut { path: (*path).into(), reason: ".gitignore".into(), rule: None, size: None, expected: false };
    Package { files, left_out: left_out.iter().map(entry).collect() }
}

/// Scans `flow.py` or `flows/etl.py`, whichever is there; `others` are files that exist and are not packaged.
fn scan(package: &Package, others: &[&str], search: &[&str], declared: &[&str]) -> Vec<String> {
    let flow = ["flow.py", "flows/etl.py"].into_iter().find(|path| package.find(path).is_some()).unwrap();
    let is_file = |path: &str| others.contains(&path) || package.find(path).is_some();
    let search: Vec<String> = search.iter().map(|folder| (*folder).to_owned()).collect();
    let declared: BTreeSet<String> = declared.iter().map(|name| (*name).to_owned()).collect();
    let sources = Sources { package, flow, search: &search, levels_above: 2, is_file: &is_file, declared: &declared };
    let show = |finding: Finding| {
        let Finding { module, importer, line, path, problem, optional } = finding;
        format!("{importer}:{line} {module} {path} {problem:?}{}", if optional { " optional" } else { "" })
    };
    missing_modules(&sources).into_iter().map(show).collect()
}

#[test]
fn modules_that_are_sent_or_found_nowhere_are_fine() {
    let package = package(
        &[
            ("flow.py", "import json, pandas, tools\nfrom tools.shout import shout\nfrom tools import names, MISSING\nimport space.inner\n"),
            ("tools/__init__.py", "from . import shout\nfrom .shout import *\nfrom .. import beyond\n"),
            ("tools/shout.py", "import re\n"),
            ("tools/names.py", "import flow\n"),
            ("space/inner.py", ""),
        ],
        &["pandas/"],
    );
    assert_eq!(scan(&package, &["json.txt", "pandas/readme.md", "../json/__init__.py"], &[], &[]), [] as [String; 0]);
}

#[test]
fn a_module_that_is_left_out_is_found_through_other_modules() {
    let package = package(
        &[("flow.py", "import tools\n"), ("tools/__init__.py", "\nfrom .secret import KEY\n"), ("tools/other.py", "import never_reached\n")],
        &["tools/secret.py", "config/"],
    );
    let others = ["tools/secret.py", "never_reached.py"];
    assert_eq!(scan(&package, &others, &[], &[]), ["tools/__init__.py:2 .secret tools/secret.py NotSent"]);

    let package = super::tests::package(
        &[("flow.py", "try:\n    import local_settings\nexcept ImportError:\n    pass\nfrom config import base\n")],
        &["config/"],
    );
    assert_eq!(
        scan(&package, &["local_settings.py", "config/base.py"], &[], &[]),
        ["flow.py:2 local_settings local_settings.py NotSent optional", "flow.py:5 config.base config/base.py NotSent"]
    );
}

#[test]
fn modules_beside_the_flow_s_folder_are_found_where_python_would_not_look() {
    let flow = "import common\nimport common.io\nimport test\n";
    let inside = package(&[("flows/etl.py", flow), ("common/__init__.py", "import deep\n"), ("common/io.py", "")], &[]);
    assert_eq!(
        scan(&inside, &["deep.py"], &[], &[]),
        ["flows/etl.py:1 common common/__init__.py NotSearched(\"\")", "common/__init__.py:1 deep deep.py NotSent"]
    );
    assert_eq!(scan(&inside, &["deep.py"], &[""], &[]), ["common/__init__.py:1 deep deep.py NotSent"]);
    assert_eq!(scan(&inside, &[], &[], &["common"]), [] as [String; 0]);

    let itself = package(&[("flows/etl.py", "import sys\nsys.path.insert(0, '.')\nimport common\n"), ("common.py", "")], &[]);
    assert_eq!(scan(&itself, &[], &[], &[]), [] as [String; 0]);

    let outside = package(&[("flow.py", "import common\nimport far\nimport farther\n")], &[]);
    let others = ["../common/__init__.py", "../../far.py", "../../../farther.py"];
    assert_eq!(
        scan(&outside, &others, &[], &[]),
        ["flow.py:1 common ../common/__init__.py OutsideRoot(\"..\")", "flow.py:2 far ../../far.py OutsideRoot(\"../..\")"]
    );
}

#[test]
fn one_module_is_reported_once_and_as_needed_when_any_import_needs_it() {
    let flow = "try:\n    import local\nexcept ImportError:\n    local = None\nimport other\n";
    let package = package(&[("flow.py", flow), ("other.py", "import local\nimport local\n")], &["local.py"]);
    assert_eq!(scan(&package, &["local.py"], &[], &[]), ["other.py:1 local local.py NotSent"]);
}

#[test]
fn prefect_flows_are_known_by_their_decorator() {
    for (source, name) in [
        ("from prefect import flow\n@flow\ndef my_flow(): pass\n", Some("my-flow")),
        ("from prefect import task, flow\n@flow(name=\"Daily ETL\", log_prints=True)\nasync def run(x): pass\n", Some("Daily ETL")),
        ("from prefect import flow as f\n@f(\n    log_prints=True,\n    name='x y',\n)\n@other\ndef run(): pass\n", Some("x y")),
        ("import prefect\n@prefect.flow()\ndef a_b(): pass\n", Some("a-b")),
        ("import prefect as p\n@p.flow\ndef a_b(): pass\n", Some("a-b")),
        ("from prefect import flow\n@flow(name=NAME)\ndef a_b(): pass\n", Some("a-b")),
        ("from prefect import flow\n@flow(flow_run_name='run')\ndef a_b(): pass\n", Some("a-b")),
        ("from prefect import flow\n@flow\ndef sub(): pass\n@flow\ndef main(): sub()\n", Some("main")),
        ("from prefect import flow\n@flow\ndef main(): sub()\n@flow\ndef sub(): pass\nif __name__ == '__main__':\n    main.serve()\n", Some("main")),
        ("from prefect import task\n@task\ndef a(): pass\n", None),
        ("from metaflow import flow\n@flow\ndef a(): pass\n", None),
        ("'''from prefect import flow\n@flow\ndef a(): pass\n'''\n", None),
    ] {
        assert_eq!(prefect::flow(source).map(|flow| flow.name).as_deref(), name, "{source}");
    }
}

#[test]
fn retries_of_a_prefect_flow_are_found_without_running_it() {
    use prefect::Retries::{Known, Unknown};
    for (source, expected) in [
        ("from prefect import flow\n@flow(retries=3)\ndef f(): pass\n", Known(3)),
        ("from prefect import flow\n@flow\ndef f(): pass\n", Known(0)),
        ("import prefect as p\n@p.flow(name=\"x\",\n   retries=2, retry_delay_seconds=10)\ndef f(): pass\n", Known(2)),
        ("from prefect import flow as fl\n@fl(retries=N)\ndef f(): pass\n", Unknown),
        ("from prefect import flow\n@flow\ndef f(): pass\nf.with_options(retries=4)()\n", Known(4)),
        ("from prefect import flow,task\n@task(retries=9)\ndef t(): pass\n@flow\ndef f(): t()\n", Known(0)),
        ("from prefect import flow\n\"\"\"@flow(retries=3)\"\"\"\n# @flow(retries=3)\n@flow(retries=0)\ndef f(): pass\n", Known(0)),
        ("from prefect import flow\nO={\"retries\":3}\n@flow(**O)\ndef f(): pass\n", Unknown),
        ("from prefect import flow\n@flow(name='retries=5')\ndef f(): pass\n", Known(0)),
    ] {
        assert_eq!(prefect::flow(source).map(|flow| flow.retries), Some(expected), "{source}");
    }
}

#[test]
fn declared_dependencies_are_named_and_nothing_else() {
    let requirements = "# data\npandas[all]>=2 ; python_version > '3'\n-r more.txt\n--index-url https://x/simple\nrequests @ https://x/y.whl\nscikit-learn\n\n./local\n";
    let project = "[build-system]\nrequires = ['hatchling']\n[project]\nname = 'x'\ndependencies = [\n  \"polars[pyarrow] ~= 1.0\",  # 'why'\n  'httpx',\n]\n[tool.x]\ndependencies = ['no']\n";
    let poetry = "[tool.poetry.dependencies]\npython = '^3.12'\nnumpy = '*'\n[tool.poetry.group.dev.dependencies]\npytest = '*'\n";
    let script = "# /// script\n# requires-python = '>=3.11'\n# dependencies = [\n#   'rich', \"duckdb<2\"\n# ]\n# ///\nimport rich\n";
    let of = |files: &[(&str, &str)]| declared(&package(files, &[]), files[0].0);
    let one = |source: &str, names: &[&str]| Declared { source: source.into(), names: names.iter().map(|name| (*name).to_owned()).collect() };
    assert_eq!(of(&[("flow.py", ""), ("requirements.txt", requirements)]), [one("requirements.txt", &["pandas", "requests", "scikit-learn"])]);
    assert_eq!(of(&[("a/flow.py", ""), ("requirements.txt", "x"), ("a/requirements.txt", "y")]), [one("a/requirements.txt", &["y"])]);
    assert_eq!(of(&[("a/flow.py", ""), ("pyproject.toml", project)]), [one("pyproject.toml", &["polars", "httpx"])]);
    assert_eq!(of(&[("flow.py", ""), ("pyproject.toml", poetry)]), [one("pyproject.toml", &["numpy"])]);
    assert_eq!(of(&[("flow.py", script), ("requirements.txt", "x")]), [one("flow.py", &["rich", "duckdb"])]);
    assert_eq!(of(&[("flow.py", "print(1)\n")]), []);

    let many = one("requirements.txt", &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    assert_eq!(many.note(), "the image must hold a, b, c, d, e, f, g, h and 2 more (requirements.txt)");
    assert_eq!(names(&[one("x", &["Scikit-Learn", "a.b"])]).into_iter().collect::<Vec<_>>(), ["a_b", "scikit_learn"]);
}
