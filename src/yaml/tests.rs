use proptest::prelude::*;
use serde_json::json;

use super::{Document, Place, parse};

fn json_of(document: &Document<'_>) -> serde_json::Value {
    let mut text = String::new();
    match &document.root {
        Ok(root) => root.to_json(&mut text),
        Err(error) => return json!(format!("{error}")),
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn all(text: &str) -> Vec<serde_json::Value> {
    parse(text).iter().map(json_of).collect()
}

/// The value of `a` when the text is its plain scalar.
fn scalar(text: &str) -> serde_json::Value {
    let documents = parse(text);
    assert_eq!(documents.len(), 1, "{text}");
    json_of(&documents[0])
}

#[test]
fn scalars_are_what_kubectl_makes_of_them() {
    // Each line was checked against `YAMLToJSON` of sigs.k8s.io/yaml 1.6.0.
    for (text, expected) in [
        ("a: y", json!(true)),
        ("a: Yes", json!(true)),
        ("a: on", json!(true)),
        ("a: off", json!(false)),
        ("a: N", json!(false)),
        ("a: yEs", json!("yEs")),
        ("a: 'off'", json!("off")),
        ("a: ~", json!(null)),
        ("a:", json!(null)),
        ("a: NULL", json!(null)),
        ("a: nULL", json!("nULL")),
        ("a: 017", json!(15)),
        ("a: 0o17", json!(15)),
        ("a: 08", json!(8)),
        ("a: 0x1F", json!(31)),
        ("a: -0x1F", json!(-31)),
        ("a: 0b101", json!(5)),
        ("a: -0b101", json!(-5)),
        ("a: 1_000", json!(1000)),
        ("a: +5", json!(5)),
        ("a: 1e3", json!(1000)),
        ("a: 1.50", json!(1.5)),
        ("a: .5", json!(0.5)),
        ("a: 1.", json!(1)),
        ("a: 1.e1", json!(10)),
        ("a: 1e999", json!("1e999")),
        ("a: '5'", json!("5")),
        ("a: 1.2.3", json!("1.2.3")),
        ("a: 5s", json!("5s")),
        ("a: 12:30", json!("12:30")),
        ("a: -", json!("1:4: a list cannot begin on the line of its key: put `- ` on the next line")),
        ("a: +", json!("+")),
        ("a: 0x", json!("0x")),
        ("a: 0_7", json!(7)),
        ("a: --5", json!("--5")),
        ("a: 2027-03-31", json!("2027-03-31")),
        ("a: 2006-1-2T15:4:5Z", json!("2006-1-2T15:4:5Z")),
        ("a: 9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("a: -9223372036854775808", json!(i64::MIN)),
        ("a: 9223372036854775808", json!(9_223_372_036_854_775_808_u64)),
        ("a: !!str 5", json!("5")),
        ("a: !!int '5'", json!(5)),
        ("a: !!float 5", json!(5)),
        ("a: !!binary aGk=", json!("hi")),
        ("a: !custom 5", json!("5")),
        ("a: ! 5", json!("5")),
        ("a: |\n  x\n  y\n", json!("x\ny\n")),
        ("a: >-\n  x\n  y\n", json!("x y")),
        ("a: \"\\u00e9\\n\"", json!("é\n")),
        ("a: !!int x", json!("1:4: `x` is not what its tag !!int says: remove the tag or change the value")),
    ] {
        let value = scalar(text);
        assert_eq!(value.get("a").unwrap_or(&value), &expected, "{text}");
    }
    assert!(scalar("a: .inf").as_str().is_some_and(|error| error.starts_with("1:4: `.inf` cannot be sent")));
}

#[test]
fn keys_become_strings() {
    assert_eq!(all("on: 1\n5: 2\n0x10: 3\n1.5: 4\n'off': 5\n")[0], json!({"true": 1, "5": 2, "16": 3, "1.5": 4, "off": 5}));
    assert_eq!(all("~: 1\n")[0], json!("1:1: a key is missing before `:`, or is null: quote it if it is meant as text"));
    assert_eq!(
        all("a: {{ .Values.x }}\n")[0],
        json!("1:5: this looks like a template, not YAML: render it first (`helm template`) and lint the result")
    );
}

#[test]
fn merge_keys_and_aliases() {
    assert_eq!(all("x: &x {a: 1, b: 2}\nm: {<<: *x, b: 3}\n")[0]["m"], json!({"a": 1, "b": 3}));
    // go-yaml 2 lets a merge replace what stands before it.
    assert_eq!(all("x: &x {a: 1, b: 2}\nm: {b: 3, <<: *x}\n")[0]["m"], json!({"a": 1, "b": 2}));
    assert_eq!(all("x: &x {a: 1}\nz: &z {a: 2, b: 2}\nm: {<<: [*x, *z]}\n")[0]["m"], json!({"a": 1, "b": 2}));
    assert_eq!(all("a: &p [1]\nb: *p\n")[0], json!({"a": [1], "b": [1]}));
    assert_eq!(all("'<<': 1\n")[0], json!({"<<": 1}));
    assert!(all("<<: 1\n")[0].as_str().is_some_and(|error| error.starts_with("1:1: only a mapping")));
    assert!(all("a: &a [*a]\n")[0].as_str().is_some_and(|error| error.starts_with("1:8: the anchor")));
    assert!(all("a: *b\n")[0].as_str().is_some_and(|error| error.starts_with("1:4: no anchor")));
}

#[test]
fn hostile_input_is_an_error() {
    let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi"] {
        let (from, to) = pair.split_at(1);
        let alias = format!("*{from},");
        laughs += &[to, ": &", to, " [", &alias.repeat(9), "]\n"].concat();
    }
    assert!(all(&laughs)[0].as_str().is_some_and(|error| error.contains("aliases make more than")));
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{\"a\":".repeat(100_000), "{a: ".repeat(500)] {
        assert!(all(&deep)[0].as_str().is_some(), "{}", &deep[..10]);
    }
    let nested = "x: ".to_owned() + &"[".repeat(130) + &"]".repeat(130);
    assert!(all(&nested)[0].as_str().is_some_and(|error| error.contains("levels deep")), "{:?}", all(&nested));
}

#[test]
fn documents_stand_alone() {
    let text = "# licence\n---\na: 1\n---\n# nothing\n---\nb: [\n---\nc: 3\n--- # end\nd: 4\n--- e: 5\n---\nf: \"6\n";
    assert_eq!(
        all(text),
        [
            json!({"a": 1}),
            json!("8:1: a value is missing here, or a bracket above is not closed"),
            json!({"c": 3}),
            json!({"d": 4}),
            json!("12:1: only a comment may follow `---` on its line: put the document on the next line"),
            json!("14:4: the quotes that begin here are never closed"),
        ]
    );
    assert_eq!(all("%YAML 1.1\n---\na: 1\n...\n"), [json!({"a": 1})]);
    assert_eq!(all("a: 1\n...\nb: 1\n"), [json!("3:1: kubectl reads nothing behind this point: separate documents with `---`")]);
    assert_eq!(all(""), Vec::<serde_json::Value>::new());
    assert_eq!(all("\u{feff}---\r\na: 1\r\n---\r\nb: 2\r\n"), [json!({"a": 1}), json!({"b": 2})]);
}

#[test]
fn json_is_read_as_json() {
    assert_eq!(all("{\n\t\"a\": [1, 2.0, -3, true, null],\n\t\"b\": {}\n}\n"), [json!({"a": [1, 2, -3, true, null], "b": {}})]);
    assert_eq!(all("{\"a\": \"\\ud83d\\ude00\\/\"}"), [json!({"a": "😀/"})]);
    assert_eq!(all("{\"a\": 1}\n{\"a\": 2}{\"a\":3}"), [json!({"a": 1}), json!({"a": 2}), json!({"a": 3})]);
    assert_eq!(all("{\"a\": 1}\n---\n{\"a\": 2}\n"), [json!({"a": 1}), json!({"a": 2})]);
    // Not JSON, but YAML in flow style.
    assert_eq!(all("{\"a\": 1,}"), [json!({"a": 1})]);
    assert_eq!(all("{a: yes}"), [json!({"a": true})]);
}

#[test]
fn later_keys_win_and_are_remembered() {
    for text in ["a: 1\nb: 2\na: 3\n", "{\"a\": 1,\n \"b\": 2,\n \"a\": 3}"] {
        let documents = parse(text);
        assert_eq!(json_of(&documents[0]), json!({"a": 3, "b": 2}));
        let duplicate = &documents[0].duplicates[0];
        assert_eq!((&*duplicate.key, duplicate.first.start.line, duplicate.last.start.line), ("a", 1, 3));
    }
    let many = (0..100).fold(String::new(), |text, number| text + "k" + &number.to_string() + ": 1\n");
    let documents = parse(&many);
    assert!(documents[0].duplicates.is_empty());
    let twice = many.clone() + "k50: 2\nk3: 2\n";
    assert_eq!(parse(&twice)[0].duplicates.len(), 2);
    assert_eq!(all(&twice)[0]["k50"], json!(2));
}

#[test]
fn places() {
    let text = "# é\nspec:\n  containers:\n  - name: web # ü\n    args: [\"é\", b]\n    livenessProbe:\n      httpGet: {port: http, path: /}\n      periodSeconds:\n  - name: \"x\n      y\"\n";
    let documents = parse(text);
    let root = documents[0].root.as_ref().unwrap();
    let show = |place: Place<'_, '_>| {
        let span = place.span();
        format!("{}:{} {:?}", span.start.line, span.start.column, &text[span.start.offset..span.end.offset])
    };
    for (pointer, exact, expected) in [
        ("/spec", true, "2:1 \"spec\""),
        ("/spec/containers/0", true, "4:5 \"name: web\""),
        ("/spec/containers/0/args/1", true, "5:17 \"b\""),
        ("/spec/containers/0/args/0", true, "5:12 \"\\\"é\\\"\""),
        ("/spec/containers/0/livenessProbe", true, "6:5 \"livenessProbe\""),
        ("/spec/containers/0/livenessProbe/httpGet/port", true, "7:17 \"port: http\""),
        ("/spec/containers/0/livenessProbe/httpGet/path", true, "7:29 \"path: /\""),
        ("/spec/containers/0/livenessProbe/periodSeconds", true, "8:7 \"periodSeconds\""),
        ("/spec/containers/0/livenessProbe/timeoutSeconds", false, "6:5 \"livenessProbe\""),
        ("/spec/containers/0/readinessProbe/timeoutSeconds", false, "4:5 \"name: web\""),
        ("/spec/containers/1/name", true, "9:5 \"name: \\\"x\\n      y\\\"\""),
        ("/metadata", false, "2:1 \"spec:\\n"),
    ] {
        let place = root.nearest(pointer);
        assert_eq!(place.exact, exact, "{pointer}");
        assert!(show(place).starts_with(expected.trim_end_matches('"')), "{pointer}: {}", show(place));
    }
    // Long lines are not counted from their beginning for every value.
    let line = format!(
        "{{{}\n\"é\": {{\"x\": \"é\"}}}}",
        (0..50_000).map(|at| format!("\"é{at}\": \"ü\",")).collect::<Vec<_>>().concat()
    );
    let documents = parse(&line);
    let span = documents[0].root.as_ref().unwrap().nearest("/é/x").span();
    assert_eq!((span.start.line, span.start.column, &line[span.start.offset..span.end.offset]), (2, 7, "\"x\": \"é\""));
    let escaped = parse("a/b: {c~d: 1}\n");
    assert_eq!(escaped[0].root.as_ref().unwrap().pointer("/a~1b/c~0d").unwrap().as_i64(), Some(1));
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (text, expected) in [
        ("a: b: c\n", "1:5: a second `: ` on this line"),
        ("a: 1\nb\n# x\n\n", "2:1: a `:` is missing"),
        ("a:\n\tb: c\n", "2:2: a tab stands where YAML wants spaces"),
        ("foo:\n  - bar: 1\n   qux: 3\n", "3:4: no element of the list above"),
        ("a: @b\n", "1:4: a plain value cannot begin with this character"),
        ("{{- if x }}\na: b\n", "1:3: this looks like a template"),
        ("{a: b}: c\n", "1:1: a list or mapping cannot be a key"),
        ("a: \"\\d\"\n", "1:4: unknown escape"),
        ("a: \u{0}\n", "1:4: control character"),
        ("a: [1, 2\n", "2:1: `,` or `]` is missing before this point"),
        ("a: 1\nb: [1, é", "2:9: `,` or `]` is missing before this point"),
    ] {
        let documents = all(text);
        let shown = documents[0].as_str().unwrap_or_default();
        assert!(shown.starts_with(expected), "{text}: {shown}");
    }
}

#[test]
fn lines_may_continue_further_left() {
    // kubectl takes all of these, and YAML 1.2 none.
    for (text, expected) in [
        ("x:\n  - a: [\n      b, # it's ]\n    c]\n    d: e\n", json!({"x": [{"a": ["b", "c"], "d": "e"}]})),
        ("x:\n  a: [\n    \"é\", 'it''s ]',\n  ]\n  d: e\n", json!({"x": {"a": ["é", "it's ]"], "d": "e"}})),
        ("x:\n  a: {\nb: c, e: [\n1, 2\n]}\n  d: e\n", json!({"x": {"a": {"b": "c", "e": [1, 2]}, "d": "e"}})),
        ("x:\n  a: \"é\nc\\\n  f\n\n\"\n  d: e\n", json!({"x": {"a": "é cf\n", "d": "e"}})),
        ("x:\n  a: 'b\n''c'\n  d: e\n", json!({"x": {"a": "b 'c", "d": "e"}})),
        ("x:\n  a:\tb\n  c:\t\tf\n  d: e\n", json!({"x": {"a": "b", "c": "f", "d": "e"}})),
        ("x:\n  a: [\n  b\n  ]\n  c: [\n  b\n  ]\n  d: e\n", json!({"x": {"a": ["b"], "c": ["b"], "d": "e"}})),
    ] {
        let documents = parse(text);
        assert_eq!(json_of(&documents[0]), expected, "{text}");
        let root = documents[0].root.as_ref().unwrap();
        let d = ["/x/d", "/x/0/d"].iter().find_map(|pointer| Some(root.nearest(pointer)).filter(|place| place.exact)).unwrap();
        let span = d.span();
        assert_eq!(&text[span.start.offset..span.end.offset], "d: e", "{text}");
        let line = text.lines().nth(span.start.line - 1).unwrap();
        assert_eq!(line.chars().skip(span.start.column - 1).collect::<String>(), "d: e", "{text}");
    }
    let text = "x:\n  a: [\nb,\n  c: d]\n";
    let documents = parse(text);
    let span = documents[0].root.as_ref().unwrap().nearest("/x/a/1/c").span();
    assert_eq!((span.start.line, span.start.column, &text[span.start.offset..span.end.offset]), (4, 3, "c: d"));
    assert!(all("x:\n  a: [\nb,\nc: d\n")[0].is_string());
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "a", "b: ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ",", ": ", "&x ", "*x", "<<: ", "!!int ", "! ", "'", "\"", "|\n", ">-\n ", "# c", "---\n", "...\n", "\t", "\r\n",
            "\\u00", "0x", "1e", "~", "?", "%YAML", "é", "\u{feff}", "\u{1F600}", "\0",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        // Eighths, because serde_json reads other fractions back with an error in the last digit.
        any::<i32>().prop_map(|value| json!(f64::from(value) + 0.125)),
        any::<String>().prop_map(|value| json!(value)),
        "[a-zA-Z0-9.:/{}~-]{0,8}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in prop::collection::vec(fragment(), 0..40)) {
        let text = text.concat();
        for document in parse(&text) {
            if let Ok(root) = &document.root {
                let mut json = String::new();
                root.to_json(&mut json);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
                prop_assert!(text.get(root.span.start.offset..root.span.end.offset).is_some());
            }
        }
    }

    #[test]
    fn json_comes_back(value in json_value()) {
        let value = json!({ "v": value });
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(&all(&text)[0], &value);
    }
}

#[test]
fn a_thinned_tree_keeps_its_places() {
    let text = "a:\n  env:\n    - { name: x, value: y }\n  port: 1\nenv: text\n";
    let mut node = parse(text).remove(0).root.unwrap();
    let before = (node.nearest("/a/env").span(), node.nearest("/a/port").span());
    node.thin(&["env"]);
    assert_eq!((node.nearest("/a/env").span(), node.nearest("/a/port").span()), before);
    assert_eq!(node.nearest("/a/env/0/name").span(), before.0);
    let mut json = String::new();
    node.to_json(&mut json);
    assert_eq!(json, r#"{"a":{"env":[],"port":1},"env":"text"}"#);
}

#[test]
fn a_flow_list_may_go_on_at_the_column_of_its_key() {
    // As a public chart writes it; `kubectl` reads it.
    let text = "a:\n  - command: [ \"/bin/sh\",\n    \"-ce\",\n    \"x\" ]\n    v: 1\n";
    let documents = parse(text);
    let root = documents[0].root.as_ref().expect("a document");
    let mut json = String::new();
    root.to_json(&mut json);
    assert_eq!(json, r#"{"a":[{"command":["/bin/sh","-ce","x"],"v":1}]}"#);
    let place = root.nearest("/a/0/command/1").span().start;
    assert_eq!((place.line, place.column), (3, 5));
}
