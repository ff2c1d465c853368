use super::*;

/// Sets `/p/t` to 5, or removes or replaces a member, in a text of one document.
fn edited(text: &str, edit: Edit) -> String {
    match super::edit(text, &[Placed { document: 0, edit }]) {
        Ok(Edited { text, refused }) if refused.is_empty() => text,
        Ok(Edited { text: same, refused }) => {
            assert_eq!(same, text, "refused, and yet changed");
            format!("refused: {}", refused[0].reason)
        }
        Err(mismatch) => format!("error: {mismatch}"),
    }
}

fn check(cases: impl IntoIterator<Item = (&'static str, Edit, &'static str)>) {
    let wrong: Vec<String> = cases
        .into_iter()
        .map(|(text, edit, expected)| (text, edited(text, edit), expected))
        .filter(|(_, found, expected)| found != expected)
        .map(|(text, found, expected)| format!("{text:?}\n  gives {found:?}\n    not {expected:?}\n"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn adds_a_member() {
    let cases = [
        ("p:\n  a: 1\nq: 1\n", "p:\n  a: 1\n  t: 5\nq: 1\n"),
        ("p:\n  a: 1", "p:\n  a: 1\n  t: 5"),
        ("p:\r\n  a: 1 # c\r\nq: 1\r\n", "p:\r\n  a: 1 # c\r\n  t: 5\r\nq: 1\r\n"),
        ("\u{feff}p:\n  a: 1\n", "\u{feff}p:\n  a: 1\n  t: 5\n"),
        ("p:\n    a: 1\n\n    # c\n\nq: 1\n", "p:\n    a: 1\n    t: 5\n\n    # c\n\nq: 1\n"),
        ("p:\n  \"a\": 1\n", "p:\n  \"a\": 1\n  \"t\": 5\n"),
        ("p:\n  a:\n  - x\n  - y\nq: 1\n", "p:\n  a:\n  - x\n  - y\n  t: 5\nq: 1\n"),
        ("p:\n  a:\n    - x: 1\n      y:\n      - z\nq: 1\n", "p:\n  a:\n    - x: 1\n      y:\n      - z\n  t: 5\nq: 1\n"),
        ("p:\n  a: x\n    y\n    z\nq: 1\n", "p:\n  a: x\n    y\n    z\n  t: 5\nq: 1\n"),
        ("p:\n  a: 'x\ny'\nq: 1\n", "p:\n  a: 'x\ny'\n  t: 5\nq: 1\n"),
        ("p:\n  a: [\n  1\n  ]\nq: 1\n", "p:\n  a: [\n  1\n  ]\n  t: 5\nq: 1\n"),
        ("p:\n  a:\n  b:\nq: 1\n", "p:\n  a:\n  b:\n  t: 5\nq: 1\n"),
        ("p:\n  a:\n  - |\n    x\n\nq: 1\n", "p:\n  t: 5\n  a:\n  - |\n    x\n\nq: 1\n"),
        ("p:\n  a: >+ # c\n    'x'", "p:\n  t: 5\n  a: >+ # c\n    'x'"),
        ("p: &x\n  a: 1\nq: 1\n", "p: &x\n  a: 1\n  t: 5\nq: 1\n"),
        ("p: {a: 1}\n", "p: {a: 1, t: 5}\n"),
        ("p: { a: { b: 1 } } # c\n", "p: { a: { b: 1 }, t: 5 } # c\n"),
        ("p: &x { a: 1, }\n", "p: &x { a: 1, t: 5, }\n"),
        ("p: {\n  a: 1, # c\n}\n", "p: {\n  a: 1, # c\n  t: 5,\n}\n"),
        ("p: {\n  a: 1 # c\n}\n", "p: {\n  a: 1, # c\n  t: 5\n}\n"),
        ("p: {\n  a: 1,\n  b: 2}\n", "p: {\n  a: 1,\n  b: 2,\n  t: 5}\n"),
        ("p: {}\n", "p: { t: 5 }\n"),
        ("{\"p\":{\"a\":1}}", "{\"p\":{\"a\":1,\"t\":5}}"),
        ("{\"p\": {\"a\": 1}}\n", "{\"p\": {\"a\": 1, \"t\": 5}}\n"),
        ("{\n  \"p\": {\n    \"a\": 1\n  }\n}\n", "{\n  \"p\": {\n    \"a\": 1,\n    \"t\": 5\n  }\n}\n"),
        ("x: &x {a: 1}\np:\n  <<: *x\nq: 1\n", "x: &x {a: 1}\np:\n  <<: *x\n  t: 5\nq: 1\n"),
        ("x: &x {a: 1}\np:\n  b: *x\nq: 1\n", "x: &x {a: 1}\np:\n  b: *x\n  t: 5\nq: 1\n"),
        ("x: &x {a: 1}\np:\n  b:\n    c: 1\n    <<: *x\nq: 1\n", "x: &x {a: 1}\np:\n  b:\n    c: 1\n    <<: *x\n  t: 5\nq: 1\n"),
        ("x: &x {a: 1}\np: {b: *x }\n", "x: &x {a: 1}\np: {b: *x, t: 5 }\n"),
        ("x: &x {a: 1}\np: {<<: *x}\n", "x: &x {a: 1}\np: {<<: *x, t: 5}\n"),
        ("x: &x {a: 1}\np: *x\n", "refused: it comes from an anchor"),
        ("p: &x {a: 1}\nx: *x\n", "refused: an alias repeats this value elsewhere"),
        ("p: &x\n  a: 1\nx:\n  <<: *x\n", "refused: an alias repeats this value elsewhere"),
        ("y:\n  p: &x\n    a: 1\n  <<: *x\np: 1\n", "refused: there is no mapping to put it into"),
        ("p: 1\n", "refused: there is no mapping to put it into"),
        ("q: {}\n", "refused: there is no mapping to put it into"),
    ];
    check(cases.map(|(text, expected)| (text, Edit::set("/p/t", 5), expected)));
    assert_eq!(edited("- - p: 1\n", Edit::set("/0/0/t", 5)), "- - p: 1\n    t: 5\n");
}

#[test]
fn inserts_a_mapping() {
    let value = serde_json::json!({ "m": 5, "on": { "a": ["x y", "80"], "b": {}, "c": null, "d": "a: b\n" } });
    let yaml = r#"{ "on": { b: {}, a: ["x y", "80"], c: null, d: "a: b\n" }, m: 5 }"#;
    let lines = "    \"on\":\n      b: {}\n      a: [\"x y\", \"80\"]\n      c: null\n      d: \"a: b\\n\"\n    m: 5";
    let json = r#"{ "on": { "b": {}, "a": ["x y", "80"], "c": null, "d": "a: b\n" }, "m": 5 }"#;
    let cases = [
        ("p:\n  a: 1\nq: 1\n", format!("p:\n  a: 1\n  t:\n{lines}\nq: 1\n")),
        ("p:\r\n  a: 1", format!("p:\r\n  a: 1\r\n  t:\r\n{}", lines.replace('\n', "\r\n"))),
        ("p:\n  a: |\n    x\n", format!("p:\n  t:\n{lines}\n  a: |\n    x\n")),
        ("p:\n  t:\n", format!("p:\n  t: {yaml}\n")),
        ("p:\n  t: null # c\n", format!("p:\n  t: {yaml} # c\n")),
        ("p: { a: 1 }\n", format!("p: {{ a: 1, t: {yaml} }}\n")),
        ("{\"p\":{\"a\":1}}", format!("{{\"p\":{{\"a\":1,\"t\":{json}}}}}")),
        ("{\"p\":{\"t\":null}}", format!("{{\"p\":{{\"t\":{json}}}}}")),
        ("p:\n  t: 1\n", "refused: something stands there already".to_owned()),
        ("p:\n  t: {}\n", "refused: something stands there already".to_owned()),
        ("q: 1\n", "refused: there is no mapping to put it into".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(text, Edit::insert("/p/t", value.clone())), expected, "{text:?}");
    }
}

#[test]
fn sets_a_member() {
    let text = |new: &str| Edit::set("/p/t", new);
    let cases = [
        ("p:\n  t: 1 # c\n", Edit::set("/p/t", 5), "p:\n  t: 5 # c\n"),
        ("p:\n  t: # c\n", Edit::set("/p/t", 5), "p:\n  t: 5 # c\n"),
        ("p:\n  t:\nq: 1\n", Edit::set("/p/t", 5), "p:\n  t: 5\nq: 1\n"),
        ("p: {t: null, a: 1}\n", Edit::set("/p/t", 5), "p: {t: 5, a: 1}\n"),
        ("p:\n  t: \"80\"\n", Edit::set("/p/t", 80), "p:\n  t: 80\n"),
        ("p:\n  t: web\n", text("http"), "p:\n  t: http\n"),
        ("p:\n  t: web\n", text("80"), "p:\n  t: \"80\"\n"),
        ("p:\n  t: web\n", text("/a b"), "p:\n  t: \"/a b\"\n"),
        ("p:\n  t: 'we''b'\n", text("it's"), "p:\n  t: 'it''s'\n"),
        ("p:\n  t: \"web\"\n", text("http"), "p:\n  t: \"http\"\n"),
        ("{\"p\":{\"t\":1}}\n", text("http"), "{\"p\":{\"t\":\"http\"}}\n"),
        ("p:\n  t: &x 1\n", Edit::set("/p/t", 5), "p:\n  t: &x 5\n"),
        ("p:\n  t: &x 1\nq: *x\n", Edit::set("/p/t", 5), "refused: an alias repeats this value elsewhere"),
        ("q: &x 1\np:\n  t: *x\n", Edit::set("/p/t", 5), "refused: it comes from an anchor"),
        ("q: &x {t: 1}\np:\n  <<: *x\n", Edit::set("/p/t", 5), "refused: it comes from an anchor"),
        ("p:\n  t: !!int 1\n", Edit::set("/p/t", 5), "refused: its value has a tag"),
        ("p:\n  t: |\n    web\n", text("http"), "refused: its value is a block of text"),
        ("p: {t: {}}\n", text("http"), "refused: a list or mapping stands here"),
        ("p: {t: 1}\np: {t: 2}\n", Edit::set("/p/t", 5), "p: {t: 1}\np: {t: 5}\n"),
    ];
    check(cases);
}

#[test]
fn removes_a_member() {
    let cases = [
        ("p:\n  t: 1 # c\n  a: 1\n", "p:\n  a: 1\n"),
        ("p:\n  a: 1\n  t: 1\nq: 1\n", "p:\n  a: 1\nq: 1\n"),
        ("p:\r\n  a: 1\r\n  t: 1", "p:\r\n  a: 1"),
        ("p:\n- t: 1\n  a: 1\n", "refused: there is no mapping to put it into"),
        ("p: {t: 1, a: 1}\n", "p: {a: 1}\n"),
        ("p: { a: 1, t: 1 }\n", "p: { a: 1 }\n"),
        ("p: {\n  t: 1,\n  a: 1\n}\n", "p: {\n  a: 1\n}\n"),
        ("p: {\n  a: 1,\n  t: 1\n}\n", "p: {\n  a: 1\n}\n"),
        ("p: {\n  t: 1, # c\n  a: 1\n}\n", "refused: a comment would be lost"),
        ("{\"p\":{\"t\":1,\"a\":1}}\n", "{\"p\":{\"a\":1}}\n"),
        ("p: {t: 1}\n", "refused: nothing would remain of its mapping"),
        ("p:\n  t: |\n    x\n  a: 1\n", "refused: its value spans several lines"),
        ("p: {t: 1, t: 2, a: 1}\n", "refused: the key is given twice"),
        ("p: {a: 1, b: 1}\n", "refused: it is not there"),
    ];
    check(cases.map(|(text, expected)| (text, Edit::remove("/p/t"), expected)));
    assert_eq!(edited("p:\n- t: 1\n  a: 1\n", Edit::remove("/p/0/t")), "p:\n- a: 1\n");
    assert_eq!(edited("p:\n- t: 1\n  # c\n  a: 1\n", Edit::remove("/p/0/t")), "refused: a comment would be lost");
}

#[test]
fn replaces_a_member() {
    let edit = || Edit::replace("/p/exec", "httpGet", vec![("path", "/x".into()), ("port", 80.into())]);
    let cases = [
        ("p:\n  exec:\n    command: [a]\n  b: 1\n", "p:\n  httpGet:\n    path: /x\n    port: 80\n  b: 1\n"),
        ("p:\n    exec:\n        command:\n        - a\n        - b # c\n    b: 1\n", "refused: a comment would be lost"),
        ("p:\n    exec:\n        command:\n        - a\n        - b\n", "p:\n    httpGet:\n        path: /x\n        port: 80\n"),
        ("p:\r\n  exec:\r\n    command: [a]", "p:\r\n  httpGet:\r\n    path: /x\r\n    port: 80"),
        ("p:\n  exec: {command: [a]} # c\n", "p:\n  httpGet: { path: /x, port: 80 } # c\n"),
        ("p: {exec: {command: [a]}, b: 1}\n", "p: {httpGet: { path: /x, port: 80 }, b: 1}\n"),
        ("{\"p\":{\"exec\":{\"command\":[]}}}", "{\"p\":{\"httpGet\": { \"path\": \"/x\", \"port\": 80 }}}"),
        ("p:\n  exec:\n    command:\n    - |\n      a\n", "refused: it ends in a block of text"),
    ];
    check(cases.map(|(text, expected)| (text, edit(), expected)));
}

#[test]
fn several_at_once_and_in_any_document() {
    let text = "# a\n---\np:\n  a: 1\n  b: 1\n--- # c\n{\"p\": {\"a\": 1}}\n---\nx: {{ y }}\n";
    let place = |document, edit| Placed { document, edit };
    let edits = [
        place(0, Edit::remove("/p/b")),
        place(0, Edit::set("/p/a", 2)),
        place(1, Edit::set("/p/t", 5)),
        place(1, Edit::set("/p/u", 6)),
        place(2, Edit::set("/p/t", 5)),
    ];
    let edited = super::edit(text, &edits).unwrap();
    let expected = "# a\n---\np:\n  a: 2\n--- # c\n{\"p\": {\"a\": 1, \"t\": 5, \"u\": 6}}\n---\nx: {{ y }}\n";
    assert_eq!((edited.text.as_str(), edited.refused), (expected, Vec::new()));
    assert_eq!(super::edit(text, &[]).unwrap().text, text);
}
