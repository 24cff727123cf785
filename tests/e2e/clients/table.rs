//! The book's table of clients: the measured features, and the comparison with the book.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The part of the book with the table.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/src/clients/table.md");
/// The number of clients that makes a feature a line of the table.
const COMMON: usize = 3;

/// The features that a program found in one client.
#[derive(Debug)]
pub struct Client {
    name: String,
    version: String,
    /// Each feature with the reason why it does not work; `None` if it works.
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

/// Checks that the book has the table of these clients, or writes the table if `PORTOLAN_UPDATE` is set.
#[track_caller]
pub fn compare(clients: &[Client]) {
    let (path, measured) = (Path::new(TABLE), render(clients));
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        fs::write(path, &measured).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == measured, "{TABLE} is out of date: PORTOLAN_UPDATE=1 writes it again. Measured:\n{measured}");
}

fn render(clients: &[Client]) -> String {
    let mut text =
        "<!-- Written by the test `clients_match_their_table`; PORTOLAN_UPDATE=1 writes it again. -->\n\n".to_owned();
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
    text.push_str("\nTested with fewer clients:\n\n| | |\n|---|---|\n");
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

/// True if the feature gets a line of the table, which has a column for each client.
fn is_common(feature: &str, clients: &[Client]) -> bool {
    known(feature, clients) >= COMMON
}

/// Returns the number of clients with which the feature was tested.
fn known(feature: &str, clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.found.contains_key(feature)).count()
}

/// Returns the features: the ways to connect first, then those that most clients have.
fn features(clients: &[Client]) -> Vec<&str> {
    let all: BTreeSet<&str> = clients.iter().flat_map(|client| client.found.keys().map(String::as_str)).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|feature| (!feature.starts_with("connect-"), usize::MAX - known(feature, clients)));
    all
}
