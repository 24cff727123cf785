//! `\plan`: draws a statement's plan as a tree, from the output of `EXPLAIN (FORMAT JSON)`.

use arrow::array::AsArray;
use nu_ansi_term::{Color, Style};
use portolan_catalog::printable;
use portolan_node::{Error, Result};
use serde::Deserialize;
use unicode_width::UnicodeWidthStr;

use crate::connection::Connection;
use crate::lexer::{Position, content_tokens};
use crate::place::draw;
use crate::render::fit;
use crate::terminal::{BLUE, BROWN, GREEN, PURPLE, RED, TEAL};
use crate::units::{show_bytes, show_count};

/// The colours of the sites. Operators at the local node have the terminal's own colour.
const COLOURS: &[Color] = &[TEAL, GREEN, BROWN, PURPLE, BLUE, RED];
/// The smallest length to which an operator is cut to fit the terminal.
const NARROWEST: usize = 30;

/// The parts of a plan that are drawn.
#[derive(Debug, Deserialize)]
pub struct Plan {
    sites: Vec<Site>,
    fragments: Vec<Fragment>,
    plan: Operator,
}

#[derive(Debug, Deserialize)]
struct Site {
    url: String,
}

#[derive(Debug, Deserialize)]
struct Fragment {
    number: usize,
    edge: Edge,
}

#[derive(Debug, Deserialize)]
struct Edge {
    strategy: String,
    keys: Option<Keys>,
    #[serde(default)]
    pulls_from: Vec<String>,
    rows: Option<u64>,
    bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Keys {
    from: String,
}

#[derive(Debug, Deserialize)]
struct Operator {
    operator: String,
    site: Option<String>,
    domains: Vec<String>,
    reason: Option<String>,
    fragment: Option<usize>,
    decision: Option<Decision>,
    #[serde(default)]
    subqueries: Vec<Operator>,
    inputs: Vec<Operator>,
}

#[derive(Debug, Deserialize)]
struct Decision {
    chosen: Alternative,
}

#[derive(Debug, Deserialize)]
struct Alternative {
    what: String,
}

/// True if a statement has a plan, unlike `EXPLAIN`, `SHOW`, `DESCRIBE` and statements that change settings.
pub fn has_plan(sql: &str) -> bool {
    const HAVE_NONE: &[&str] = &["EXPLAIN", "SET", "RESET", "USE", "SHOW", "DESCRIBE", "DESC"];
    words(sql).next().is_some_and(|(first, _)| !HAVE_NONE.contains(&first.as_str()))
}

/// Returns the statement with a plan: the statement itself, or the one that an `EXPLAIN` explains.
pub fn planned(sql: &str) -> Option<&str> {
    if has_plan(sql) {
        return Some(sql);
    }
    let mut words = words(sql).peekable();
    words.next_if(|(word, _)| word == "EXPLAIN")?;
    // `EXPLAIN (ANALYZE, FORMAT JSON)`. A query in parentheses has another first word.
    let is_option = |word: &str| matches!(word, "ANALYZE" | "VERBOSE" | "FORMAT");
    let mut rest = words.clone().map(|(word, _)| word);
    if rest.next().as_deref() == Some("(") && rest.next().is_some_and(|word| is_option(&word)) {
        words.by_ref().find(|(word, _)| word == ")")?;
    }
    while words.next_if(|(word, _)| matches!(word.as_str(), "ANALYZE" | "VERBOSE")).is_some() {}
    if words.next_if(|(word, _)| word == "FORMAT").is_some() {
        words.next()?;
    }
    words.next().map(|(_, start)| &sql[start..]).filter(|sql| has_plan(sql))
}

/// Returns the words of a statement in upper case, each with its start.
fn words(sql: &str) -> impl Iterator<Item = (String, usize)> + Clone {
    content_tokens(sql).map(move |token| (sql[token.range.clone()].to_uppercase(), token.range.start))
}

/// Fetches a statement's plan.
///
/// # Errors
/// The node's error about the statement, or an answer that is not a plan.
pub async fn fetch(connection: &Connection, sql: &str) -> Result<Plan> {
    let explain = format!("EXPLAIN (FORMAT JSON) {sql}");
    // An error has its place in the EXPLAIN statement.
    let failed = |e: portolan_engine::Error| Error::failed(draw(&e.owner_chain(), &explain, Position::START));
    let (_, batches) = connection.query(&explain, 1).await.map_err(failed)?;
    let unknown = || Error::failed("cannot read the node's plan; use EXPLAIN instead");
    let batch = batches.first().filter(|b| b.num_rows() == 1).ok_or_else(unknown)?;
    let text = batch.column_by_name("plan").and_then(|c| c.as_string_opt::<i32>()).ok_or_else(unknown)?;
    serde_json::from_str(text.value(0)).map_err(|e| unknown().with_source(e))
}

impl Plan {
    /// Returns the tree, in colours if `colours` is true, and no wider than `width` if there is one.
    pub fn show(&self, colours: bool, width: Option<usize>) -> String {
        let mut drawing = Drawing { plan: self, colours, width, text: String::new() };
        drawing.operator(&self.plan, "", "");
        drawing.text
    }
}

struct Drawing<'a> {
    plan: &'a Plan,
    colours: bool,
    width: Option<usize>,
    text: String,
}

impl Drawing<'_> {
    /// Draws an operator after the prefix `before`, and its inputs after the prefix `below`.
    fn operator(&mut self, operator: &Operator, before: &str, below: &str) {
        let place = match operator.site.as_deref() {
            Some("here") => "here".to_owned(),
            None => String::new(),
            Some(_) => operator.domains.join(", "),
        };
        let mut notes = vec![place];
        notes.extend(operator.fragment.and_then(|number| self.edge(number)));
        notes.extend(operator.decision.as_ref().map(|d| format!("by {}", d.chosen.what)));
        notes.extend(operator.reason.clone());
        notes.retain(|n| !n.is_empty());
        let notes = printable(&notes.join("; ")).into_owned();
        let notes = if notes.is_empty() { notes } else { format!("  [{notes}]") };
        let line = printable(&operator.operator).into_owned();
        let room = self.width.map(|w| w.saturating_sub(before.width() + notes.width()).max(NARROWEST));
        let line =
            room.filter(|room| line.width() > *room).map_or_else(|| line.clone(), |room| fit(&line, room, false));
        let line = match self.colour(operator.site.as_deref()) {
            Some(style) => format!("{}{}", style.bold().paint(line), style.paint(notes)),
            None => line + &notes,
        };
        self.text.push_str(&format!("{before}{line}\n"));
        let children: Vec<_> = operator.subqueries.iter().chain(&operator.inputs).collect();
        for (number, child) in children.iter().enumerate() {
            let (branch, bar) = if number + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.operator(child, &format!("{below}{branch}"), &format!("{below}{bar}"));
        }
    }

    /// Describes a fragment's edge, such as `gather, 37,500 rows, 1.2 MB`.
    fn edge(&self, number: usize) -> Option<String> {
        let edge = &self.plan.fragments.iter().find(|f| f.number == number)?.edge;
        let mut text = match (&edge.keys, edge.pulls_from.as_slice()) {
            (Some(keys), _) => format!("keys from {}", keys.from),
            (None, [_, ..]) => format!("{}: pulls from {}", edge.strategy, edge.pulls_from.join(", ")),
            (None, []) => edge.strategy.clone(),
        };
        if let Some(rows) = edge.rows {
            text.push_str(&format!(", {} rows", show_count(rows)));
        }
        if let Some(bytes) = edge.bytes {
            text.push_str(&format!(", {}", show_bytes(bytes)));
        }
        Some(text)
    }

    fn colour(&self, site: Option<&str>) -> Option<Style> {
        let number = self.plan.sites.iter().position(|s| Some(s.url.as_str()) == site).filter(|_| self.colours)?;
        COLOURS.get(number % COLOURS.len()).map(|colour| Style::new().fg(*colour))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn plan() -> Plan {
        serde_json::from_str(
            r#"{"sites": [{"url": "grpc://geo", "domains": ["geo"]}, {"url": "grpc://sales", "domains": ["sales"]}],
            "fragments": [
              {"number": 1, "edge": {"strategy": "gather", "keys": null, "rows": 25, "bytes": null}},
              {"number": 2, "edge": {"strategy": "keys", "keys": {"from": "geo"}, "rows": 37500, "bytes": 1200000}}],
            "plan": {"operator": "Inner Join: a = b", "site": "here", "domains": ["geo", "sales"],
              "reason": "combines geo with sales", "decision": {"chosen": {"what": "keys from geo"}, "runners_up": []},
              "rows": null,
              "inputs": [
                {"operator": "TableScan: nation", "site": "grpc://geo", "domains": ["geo"], "fragment": 1, "inputs": []},
                {"operator": "Filter: x > 1", "site": "grpc://sales", "domains": ["sales"], "fragment": 2, "inputs": [
                  {"operator": "TableScan: customer", "site": "grpc://sales", "domains": ["sales"], "inputs": []}]}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_plan_is_a_tree() {
        let wanted = "\
Inner Join: a = b  [here; by keys from geo; combines geo with sales]
├─ TableScan: nation  [geo; gather, 25 rows]
└─ Filter: x > 1  [sales; keys from geo, 37,500 rows, 1.2 MB]
   └─ TableScan: customer  [sales]
";
        assert_eq!(plan().show(false, None), wanted);
    }

    #[test]
    fn each_site_has_its_colour() {
        let text = plan().show(true, None);
        let colours: Vec<_> = text.lines().map(|l| l.split("\u{1b}[1;38;5;").nth(1).map(|c| &c[..2])).collect();
        assert_eq!(colours, [None, Some("30"), Some("28"), Some("28")]);
    }

    #[test]
    fn long_operators_are_cut() {
        let mut long = plan();
        long.plan.operator = format!("Projection: {}", "c, ".repeat(100));
        let text = long.show(false, Some(100));
        let first = text.lines().next().unwrap();
        assert!(first.contains('…') && first.ends_with("sales]") && first.width() <= 100, "{first}");
    }

    #[test]
    fn an_explained_statement_has_a_plan() {
        for explained in [
            "SELECT 1",
            "EXPLAIN SELECT 1",
            "explain /* why */ analyze verbose SELECT 1",
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1",
            "EXPLAIN FORMAT TREE SELECT 1",
        ] {
            assert!(planned(explained).unwrap().ends_with("SELECT 1"), "{explained}");
            assert!(!planned(explained).unwrap().contains("TREE"), "{explained}");
        }
        assert_eq!(planned("EXPLAIN (SELECT 1)"), Some("(SELECT 1)"));
        assert_eq!((planned("SHOW portolan.all"), planned("EXPLAIN")), (None, None));
    }

    #[test]
    fn statements_about_plans_have_none() {
        assert!(has_plan("SELECT 1") && has_plan("(SELECT 1)") && has_plan("with a AS (SELECT 1) SELECT 2"));
        assert!(!has_plan("explain SELECT 1") && !has_plan("SET a = 1") && !has_plan(""));
        assert!(!has_plan("-- a comment\nSET a = 1"));
    }
}
