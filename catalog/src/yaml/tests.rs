//! Tests of the messages that a user sees about a file with mistakes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: String,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    peers: Vec<Peer>,
    #[serde(default)]
    sources: BTreeMap<String, Source>,
    ratio: Option<f64>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    memory_mb: u64,
    port: u16,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Peer {
    url: String,
    #[serde(default)]
    tls: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Source {
    Anonymous,
    Static { key: String },
}

fn check(text: &str, expected: &str) {
    let errors = parse::<Config>(text, Path::new("node.yaml")).expect_err("must be refused");
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn a_good_file() {
    let text = "# a node\nlisten: 127.0.0.1:50051\nlimits: {memory_mb: 5}\npeers:\n- url: &u grpc://a\n- {url: *u, tls: true}\nsources:\n  lake: {static: {key: k}}\n  open: anonymous\nratio: 2\n";
    let config = parse::<Config>(text, Path::new("node.yaml")).unwrap();
    assert_eq!(config.limits.memory_mb, 5);
    assert_eq!(config.peers[1], Peer { url: "grpc://a".into(), tls: true });
    assert_eq!(config.sources["lake"], Source::Static { key: "k".into() });
    assert_eq!(config.sources["open"], Source::Anonymous);
    assert_eq!(config.ratio, Some(2.0));
}

#[test]
fn unknown_keys_are_all_reported_with_the_nearest_one() {
    check(
        "listen: a\nlimit:\n  memory_mb: 1\npeers:\n- url: u\n  tsl: true\nlimits:\n  xyz: 1\n",
        "node.yaml:2: limit: unknown key `limit`; did you mean `limits`?\n\
         node.yaml:6: peers[0].tsl: unknown key `tsl`; did you mean `tls`?\n\
         node.yaml:8: limits.xyz: unknown key `xyz`; one of `memory_mb`, `port`",
    );
}

#[test]
fn wrong_types_and_values() {
    check("listen: 5\n", "node.yaml:1: listen: expected a string, found an integer");
    check("listen: [a]\n", "node.yaml:1: listen: expected a string, found a list");
    check("listen:\n", "node.yaml:1: listen: expected a string, found nothing");
    check(
        "listen: a\nlimits:\n  memory_mb: lots\n",
        "node.yaml:3: limits.memory_mb: expected an integer, found a string",
    );
    check("listen: a\nlimits: 5\n", "node.yaml:2: limits: expected a mapping, found an integer");
    check(
        "listen: a\nlimits:\n  port: 70000\n",
        "node.yaml:3: limits.port: expected an integer from 0 to 65535, found 70000",
    );
    check(
        "listen: a\nlimits: {memory_mb: -1}\n",
        "node.yaml:2: limits.memory_mb: expected an integer that is not negative, found -1",
    );
    check("listen: a\npeers:\n- url: u\n  tls: yes\n", "node.yaml:4: peers[0].tls: expected a boolean, found a string");
    check("- a\n", "node.yaml:1: expected a mapping, found a list");
    check("listen: a\nratio: x\n", "node.yaml:2: ratio: expected a number, found a string");
}

#[test]
fn a_secret_of_the_wrong_kind_is_not_shown() {
    let errors = parse::<Limits>("memory_mb: hunter2\n", Path::new("f")).unwrap_err().to_string();
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn enums() {
    check(
        "listen: a\nsources:\n  lake: anonymus\n",
        "node.yaml:3: sources.lake: `anonymus` is not valid here; one of `anonymous`, `static`; did you mean `anonymous`?",
    );
    check(
        "listen: a\nsources:\n  lake:\n    static: {keys: k}\n",
        "node.yaml:4: sources.lake.static.keys: unknown key `keys`; did you mean `key`?\n\
         node.yaml:4: sources.lake.static: the key `key` is missing",
    );
}

#[test]
fn missing_keys() {
    check("limits: {}\n", "node.yaml:1: the key `listen` is missing");
    check("listen: a\npeers:\n- url: u\n- tls: true\n", "node.yaml:4: peers[1]: the key `url` is missing");
}

#[test]
fn errors_of_all_kinds_are_reported_at_once() {
    check(
        "listen: 5\nlimit: {}\nlimits: {memory_mb: lots, port: 70000}\npeers:\n- {url: u, tls: 7}\nratio: x\n",
        "node.yaml:1: listen: expected a string, found an integer\n\
         node.yaml:2: limit: unknown key `limit`; did you mean `limits`?\n\
         node.yaml:3: limits.memory_mb: expected an integer, found a string\n\
         node.yaml:3: limits.port: expected an integer from 0 to 65535, found 70000\n\
         node.yaml:5: peers[0].tls: expected a boolean, found an integer\n\
         node.yaml:6: ratio: expected a number, found a string",
    );
    // An error does not cause another one around it.
    check(
        "listen: a\npeers:\n- {url: 5}\nratio: x\n",
        "node.yaml:3: peers[0].url: expected a string, found an integer\n\
         node.yaml:4: ratio: expected a number, found a string",
    );
}

#[test]
fn a_value_is_returned_without_the_entries_with_errors() {
    let document = |text: &str| Document::parse(text, Path::new("node.yaml")).unwrap();
    let part = |text: &str| from_document_in_part::<Config>(document(text));
    let (config, errors) = part("listen: a\nlimits: {memory_mb: lots, port: 7}\n");
    assert_eq!((config.unwrap().limits, errors.len()), (Limits { memory_mb: 0, port: 7 }, 1));
    let (config, errors) = part("listen: 5\nratio: x\n");
    assert_eq!((config, errors.len()), (None, 2));
}

#[test]
fn bad_syntax() {
    check("", "node.yaml: the file is empty");
    check("# nothing\n", "node.yaml: the file is empty");
    check(
        "listen: a\nlimits:\n\tmemory_mb: 1\n",
        "node.yaml:3: not valid YAML: tabs disallowed within this context (block indentation)",
    );
    check("listen: \"a\nratio: 1\n", "node.yaml:2: not valid YAML: invalid indentation in multiline quoted scalar");
    check("listen: a\npeers: [a, b\n", "node.yaml:2: not valid YAML: unclosed bracket '['");
    check("listen: a\n---\nlisten: b\n", "node.yaml:3: more than one YAML document; put each into a file of its own");
    check("listen: a\nlisten: b\n", "node.yaml:2: the key `listen` occurs twice in one mapping");
    check("listen: *nowhere\n", "node.yaml:1: an alias (`*name`) without its anchor (`&name`)");
    check("listen: a\nratio: .nan\n", "node.yaml:2: `.nan` is not a finite number");
    check("listen: a\n  ratio: 1\n", "node.yaml:2: not valid YAML: mapping values are not allowed in this context");
}

#[test]
fn bombs_are_refused() {
    let deep = format!("listen: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    check(&deep, "node.yaml:1: too large or too deep: at most 40 levels and 200000 values, with aliases expanded");
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        aliases.push_str(&format!("a{i}: &a{i} [{items}]\n"));
    }
    check(&aliases, "node.yaml:6: too large or too deep: at most 40 levels and 200000 values, with aliases expanded");
    check(
        &format!("peers: [{}]\n", "x, ".repeat(250_000)),
        "node.yaml:1: too large or too deep: at most 40 levels and 200000 values, with aliases expanded",
    );
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    let error = |f: &Path| read(f).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "");
    assert_eq!(error(&file), "/x.yaml: cannot be read: No such file or directory (os error 2)");
    std::fs::write(&file, b"a: b\nc: \xff\n").unwrap();
    assert_eq!(error(&file), "/x.yaml:2: is not valid UTF-8 at byte 8; save the file as UTF-8");
    std::fs::write(&file, vec![b' '; MAX_FILE_BYTES as usize + 1]).unwrap();
    assert_eq!(error(&file), "/x.yaml: is larger than 4 MiB");
    std::fs::write(&file, "a: b\n").unwrap();
    assert_eq!(read(&file).unwrap(), "a: b\n");
}

#[test]
fn places_and_pointers() {
    let text = "schema:\n- name: a\n  properties:\n  - name: x\n  - {name: y}\n\"1\": z\n";
    let document = Document::parse(text, Path::new("c.yaml")).unwrap();
    let at = |pointer: &str| document.place(&document.steps(pointer)).to_string();
    assert_eq!(at("/schema/0/properties/1/name"), "c.yaml:5: schema[0].properties[1].name");
    assert_eq!(at("/schema/0"), "c.yaml:2: schema[0]");
    assert_eq!(at("/schema/0/properties"), "c.yaml:3: schema[0].properties");
    assert_eq!(at("/schema/0/none"), "c.yaml:2: schema[0].none");
    assert_eq!(at("/1"), "c.yaml:6: 1");
    assert_eq!(pointer_token("a/b~1"), "a~1b~01");
    assert_eq!(document.steps(&format!("/{}", pointer_token("a/b~1"))), [Step::Key("a/b~1".to_owned())]);
    assert_eq!(at(""), "c.yaml:1");
    assert_eq!(document.to_json()["schema"][0]["properties"][1]["name"], "y");
}
