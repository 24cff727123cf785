//! The book's table of clients: what was measured, and whether the book says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The part of the book.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/clients/table.md");
/// So many clients make a feature one of the table.
const COMMON: usize = 3;

/// What a program found of one client.
#[derive(Debug)]
pub struct Client {
    name: String,
    version: String,
    /// By feature: nothing where it works, else why it does not.
    found: BTreeMap<String, Option<String>>,
}

impl Client {
    /// Reads lines `client NAME VERSION`, `ok FEATURE` and `no FEATURE: why`.
    pub fn parse(said: &str) -> Self {
        let mut client = Self { name: String::new(), version: String::new(), found: BTreeMap::new() };
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("client", rest)) => {
                    let (name, version) = rest.rsplit_once(' ').unwrap();
                    (client.name, client.version) = (name.to_owned(), version.to_owned());
                }
                Some(("ok", feature)) => _ = client.found.insert(feature.to_owned(), None),
                Some(("no", rest)) => {
                    let (feature, why) = rest.split_once(": ").unwrap();
                    client.found.insert(feature.to_owned(), Some(why.to_owned()));
                }
                _ => assert_eq!(line, "fine", "{said}"),
            }
        }
        assert!(!client.name.is_empty() && !client.found.is_empty(), "{said}");
        client
    }
}

/// Checks that the book has the table of these clients, or writes it where `PORTOLAN_UPDATE` says so.
#[track_caller]
pub fn compare(clients: &[Client]) {
    let (path, measured) = (Path::new(TABLE), render(clients));
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        fs::write(path, &measured).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == measured, "{TABLE} says other things: PORTOLAN_UPDATE=1 writes it anew. Measured:\n{measured}");
}

fn render(clients: &[Client]) -> String {
    let mut text =
        "<!-- Written by the test `clients_find_their_features`; PORTOLAN_UPDATE=1 writes it anew. -->\n\n".to_owned();
    let titles: Vec<_> = clients.iter().map(|client| format!("{}<br>{}", client.name, client.version)).collect();
    writeln!(text, "| | {} |", titles.join(" | ")).unwrap();
    writeln!(text, "|---{}|", "|:-:".repeat(clients.len())).unwrap();
    let mut notes: Vec<&str> = vec![];
    let (common, rare): (Vec<_>, Vec<_>) =
        features(clients).into_iter().partition(|feature| is_common(feature, clients));
    for feature in common {
        let cells: Vec<_> = clients.iter().map(|client| cell(client, feature, &mut notes)).collect();
        writeln!(text, "| `{feature}` | {} |", cells.join(" | ")).unwrap();
    }
    text.push_str("\nTried with fewer clients:\n\n| | |\n|---|---|\n");
    for feature in rare {
        let with = clients.iter().filter(|client| client.found.contains_key(feature));
        let cells: Vec<_> = with
            .map(|client| format!("{} {} {}", client.name, client.version, cell(client, feature, &mut notes)))
            .collect();
        writeln!(text, "| `{feature}` | {} |", cells.join(", ")).unwrap();
    }
    text.push('\n');
    for (nth, note) in notes.iter().enumerate() {
        writeln!(text, "{}. {}", nth + 1, note.replace('<', "&lt;")).unwrap();
    }
    text
}

fn cell<'a>(client: &'a Client, feature: &str, notes: &mut Vec<&'a str>) -> String {
    match client.found.get(feature) {
        None => "–".to_owned(),
        Some(None) => "✓".to_owned(),
        Some(Some(why)) => {
            let nth = notes.iter().position(|note| note == why).unwrap_or_else(|| {
                notes.push(why);
                notes.len() - 1
            });
            format!("no ({})", nth + 1)
        }
    }
}

/// Whether it is worth a line of the table, which has a column for each client.
fn is_common(feature: &str, clients: &[Client]) -> bool {
    known(feature, clients) >= COMMON
}

/// With how many clients it was tried.
fn known(feature: &str, clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.found.contains_key(feature)).count()
}

/// The ways to connect, then what most clients have.
fn features(clients: &[Client]) -> Vec<&str> {
    let all: BTreeSet<&str> = clients.iter().flat_map(|client| client.found.keys().map(String::as_str)).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|feature| (!feature.starts_with("connect-"), usize::MAX - known(feature, clients)));
    all
}
