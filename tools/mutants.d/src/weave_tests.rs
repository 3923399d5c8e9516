use crate::mutant::{Mutant, Place, Span};

use super::{apply, weave};

const TEXT: &str = "const A: u32 = 1 + 2;

fn f(x: u32) -> bool {
    // ä: columns are characters
    x > A
}

fn g() -> impl Fn(u32) -> u32 {
    |x| x + 1
}

fn h() -> impl Iterator<Item = u32> {
    0..2 + 1
}
";

/// The change of the first `from` on this line.
fn change(line: usize, from: &str, to: &str) -> Mutant {
    let text = TEXT.lines().nth(line - 1).unwrap();
    let column = 1 + text[..text.find(from).unwrap()].chars().count();
    let (start, end) = (Place { line, column }, Place { line, column: column + from.len() });
    let json = serde_json::json!({
        "file": "a.rs", "package": "a", "genre": "BinaryOperator", "replacement": to,
        "name": format!("a.rs:{line}:{column}: replace {from} with {to}"),
        "span": {
            "start": {"line": start.line, "column": start.column},
            "end": {"line": end.line, "column": end.column},
        },
    });
    let mutant: Mutant = serde_json::from_value(json).unwrap();
    assert_eq!(mutant.span, Span { start, end });
    mutant
}

#[test]
fn a_function_has_a_body_for_each_of_its_mutants_and_its_own() {
    let (less, equal) = (change(5, ">", "<"), change(5, ">", "=="));
    let woven = weave(TEXT, &[(3, &less), (4, &equal)]).unwrap();
    assert!(syn::parse_file(&woven.text).is_ok(), "{}", woven.text);
    let lines: Vec<_> = woven.text.lines().collect();
    for (arm, body) in woven.arms.iter().zip(["x < A", "x == A"]) {
        assert_eq!(arm.function, 3);
        assert!(lines[arm.lines.start - 1..arm.lines.end - 1].join("\n").contains(body));
    }
    assert!(woven.text.contains("x > A") && woven.alone.is_empty());
}

#[test]
fn what_cannot_be_switched_is_built_alone() {
    let (constant, opaque) = (change(1, "+", "-"), change(9, "+", "*"));
    let woven = weave(TEXT, &[(0, &constant), (1, &opaque)]).unwrap();
    assert_eq!(woven.text, TEXT);
    assert_eq!(woven.alone, [1, 0]);
    assert!(apply(TEXT, &constant).starts_with("const A: u32 = 1 - 2;"));
}

#[test]
fn iterators_of_several_types_become_one() {
    let (times, minus) = (change(13, "+", "*"), change(13, "+", "-"));
    let woven = weave(TEXT, &[(0, &times), (1, &minus)]).unwrap();
    assert!(syn::parse_file(&woven.text).is_ok(), "{}", woven.text);
    assert_eq!((woven.arms.len(), woven.alone.len()), (2, 0));
    for (body, one, other) in [("2 * 1", 1, 0), ("2 - 1", 1, 1), ("2 + 1", 0, 2)] {
        let at = woven.text.find(body).unwrap();
        let arm = &woven.text[..at];
        let arm = &arm[arm.rfind("=>").unwrap()..];
        let count = |what: &str| arm.matches(what).count();
        assert_eq!((count("Either::One("), count("Either::Other(")), (one, other), "{body}");
    }
}

#[test]
fn a_mutant_is_known_by_its_line_with_the_place_marked() {
    let mutant = change(5, ">", "<");
    assert_eq!(mutant.marked(TEXT), "x «>» A");
    assert_eq!(mutant.what(), "replace > with <");
}
