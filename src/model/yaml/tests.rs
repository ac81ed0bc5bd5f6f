use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse_json(text: &str) -> serde_json::Value {
    parse(text).expect("valid YAML").expect("a document").to_json()
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("refused").to_string()
}

#[test]
fn positions_count_from_one() {
    let node = parse("a: 1\nb:\n  - {c: x}\n").expect("valid YAML").expect("a document");
    let Value::Mapping(entries) = &node.value else { panic!("{node:?}") };
    let (key, list) = &entries[1];
    assert_eq!((key.text.as_str(), key.position), ("b", Position { line: 2, column: 1 }));
    let Value::Sequence(items) = &list.value else { panic!("{list:?}") };
    let Value::Mapping(inner) = &items[0].value else { panic!("{items:?}") };
    assert_eq!(inner[0].1.position, Position { line: 3, column: 9 });
}

#[test]
fn plain_scalars_become_what_kubectl_makes_of_them() {
    assert_eq!(
        parse_json("{a: 0644, b: 0x1f, c: -7, d: 1.5, e: '1', f: true, g: ~, h: 1.2.3, i: 099, j: !!str 5, k: no, l: .5, m: 1e3}"),
        json!({"a": 420, "b": 31, "c": -7, "d": 1.5, "e": "1", "f": true, "g": null, "h": "1.2.3", "i": 99, "j": "5", "k": "no", "l": 0.5, "m": 1000.0})
    );
}

#[test]
fn aliases_are_followed_but_never_multiply() {
    assert_eq!(parse_json("a: &x [1, 2]\nb: *x\n"), json!({"a": [1, 2], "b": [1, 2]}));
    let level = |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level.saturating_sub(1)); 10].join(", "));
    let bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()].into_iter().chain((1..10).map(level)).collect::<Vec<_>>().concat();
    assert!(refusal(&bomb).contains("too large"), "{}", refusal(&bomb));
    let copies = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 16), vec!["*a"; 100].join(", "));
    assert!(refusal(&copies).contains("too large"), "{}", refusal(&copies));
    let copies = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 1 << 14].join(", "), vec!["*a"; 1000].join(", "));
    assert!(refusal(&copies).contains("too large"), "{}", refusal(&copies));
    assert!(refusal("a: &x [*x]").contains("inside the value"), "{}", refusal("a: &x [*x]"));
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, expected) in [
        ("a: b: c", "line 1, column 5: this is not YAML"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("a: !secret x", "line 1, column 12: tags are not known"),
        ("[a]: 1", "line 1, column 1: a key must be a text"),
        ("a: &b {c: 1}\nd:\n  <<: *b", "line 3, column 3: `<<` is not known"),
        ("a: [", "this is not YAML"),
        ("a:\n\t- b", "this is not YAML"),
    ] {
        assert!(refusal(text).contains(expected), "{text:?}: {}", refusal(text));
    }
    for depth in [100, 5000] {
        let (list, mapping) = ("[".repeat(depth) + &"]".repeat(depth), "{a: ".repeat(depth) + &"}".repeat(depth));
        for text in [list, mapping] {
            assert!(refusal(&text).contains("nested") || refusal(&text).contains("recursion limit"), "{}", refusal(&text));
        }
    }
    assert_eq!(parse(""), Ok(None));
    assert_eq!(parse("# only a comment\n"), Ok(None));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        drop(parse(&text));
    }

    #[test]
    fn no_punctuation_makes_the_reader_panic(text in "[-:{}\\[\\],&*!|>'\"%@`#?~ \\t\\n<ab0]{0,60}") {
        if let Ok(Some(node)) = parse(&text) {
            drop(node.to_json());
        }
    }
}
