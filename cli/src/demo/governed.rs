//! The demo with policies: one query gives an analyst and an owner two answers. `--run` checks both answers against the
//! rows that one process computes without policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_catalog::printable_lines;
use portolan_engine::{Engine, ErrorKind};
use portolan_node::client::Client;
use portolan_node::{Error, Result};
use portolan_testbed::compare::{Order, compare};
use portolan_testbed::mesh::{LocalMesh, Login};
use portolan_testbed::single::single_process;

use crate::output::print;
use crate::render::{Drawing, View};
use crate::repl::label;
use crate::terminal;

/// The analyst.
const ANN: &str = "ann";
/// The owner.
const BOB: &str = "bob";

/// The query of both.
const QUERY: &str = "\
SELECT c_custkey AS customer, c_phone AS phone, n_name AS nation,
       o_totalprice AS price
  FROM sales.customers.customer
  JOIN sales.orders.orders ON o_custkey = c_custkey
  JOIN geo.places.nation ON n_nationkey = c_nationkey
  WHERE c_mktsegment = 'BUILDING'
  ORDER BY price DESC, customer LIMIT 5";

/// The query with the row filter and the mask of the policies, written by hand.
const BY_HAND: &str = "\
SELECT c_custkey AS customer, translate(left(c_phone, 11), '0123456789', 'nnnnnnnnnn') || right(c_phone, 4) AS phone,
       n_name AS nation, o_totalprice AS price
  FROM sales.customers.customer
  JOIN sales.orders.orders ON o_custkey = c_custkey
  JOIN geo.places.nation ON n_nationkey = c_nationkey
  JOIN geo.places.region ON r_regionkey = n_regionkey
  WHERE c_mktsegment = 'BUILDING' AND r_name = 'EUROPE'
  ORDER BY price DESC, customer LIMIT 5";

/// A query that an agreement permits for a purpose.
const LINES: &str = "SELECT count(*) AS items FROM sales.orders.lineitem";
const DECLARE: &str = "SET portolan.purpose = 'returns'";

/// The columns of `EXPLAIN (POLICY)` that fit a terminal.
const SHOWN: [&str; 4] = ["port", "subject", "decision", "decided_by"];
/// The columns of a terminal that does not report them.
const USUAL_COLUMNS: usize = 80;

/// The columns and the rows of a query, and the line about their label.
struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    label: String,
}

/// Returns the users, from their logins: the analyst of Europe, and the owner.
pub fn users(login: impl Fn(&str) -> Login) -> Vec<Login> {
    let attributes = BTreeMap::from([("region", vec!["EUROPE"])]);
    let ann = Login { groups: vec!["analysts"], attributes, ..login(ANN) };
    let bob = Login { groups: vec!["owners"], ..login(BOB) };
    vec![ann, bob]
}

/// Returns the introduction: where the policies are, who the users are, and what to type. `password` describes the
/// password of both users. A prompt is that of the analyst.
pub fn introduction(files: &[PathBuf], url: &str, password: &str, is_prompt: bool) -> String {
    let files: String = files.iter().map(|file| format!("  {}\n", file.display())).collect();
    let (before, after) = match is_prompt {
        true => (
            "You are ann, an analyst of Europe. ".to_owned(),
            format!("To become bob, type the password {password} after\n  \\c {url} {BOB}\n\n"),
        ),
        false => {
            let command = |user: &str| format!("  portolan sql --url {url} --user {user}\n");
            let both = format!("{}{}", command(ANN), command(BOB));
            let who = "ann is an analyst of Europe, and bob owns the data. Both have the password";
            (format!("{who}\n{password}. In another terminal:\n{both}\n"), String::new())
        }
    };
    format!(
        "The domain sales governs its ports by policies, which you can read and change:\n{files}\n\
         {before}A query gives ann and bob two answers.\nEXPLAIN (POLICY) before it says why:\n{};\n\n\
         ann may read the lines of orders for a purpose only:\n  {DECLARE};\n  {LINES};\n\n{after}",
        indented(QUERY)
    )
}

/// Runs the query as both users at the gateway, prints the answers and their reasons, and checks them.
///
/// # Errors
/// An answer that is not the expected one.
pub async fn run(mesh: &LocalMesh, data: &Path, users: &[Login]) -> Result<()> {
    let [ann, bob] = users else { return Err(Error::failed("expected two users")) };
    let single = single_process(data).await?;
    let ann = Client::connect(mesh.gateway().url(), &ann.connect()).await?;
    let bob = Client::connect(mesh.gateway().url(), &bob.connect()).await?;

    print(&format!("ann and bob send the same query to the gateway:\n\n{}\n\n", indented(QUERY)))?;
    let of_ann = answer(&ann, QUERY).await?;
    print(&of_ann.drawn("ann, an analyst of Europe:", width())?)?;
    let of_bob = answer(&bob, QUERY).await?;
    print(&of_bob.drawn("bob, who owns the data:", width())?)?;
    let reasons = answer(&ann, &format!("EXPLAIN (POLICY) {QUERY}")).await?;
    print(&reasons.narrowed()?.drawn("EXPLAIN (POLICY), as ann:", width())?)?;

    let is_told = reasons.drawn("", None)?.contains("sales.customers.customer");
    let reasons = if is_told { Ok(()) } else { Err("it does not name sales.customers.customer".to_owned()) };
    let checks = [
        ("ann gets the rows of Europe, with masked telephone numbers", of_ann.check(&single, BY_HAND).await?),
        ("bob gets the rows that there are without policies", of_bob.check(&single, QUERY).await?),
        ("EXPLAIN (POLICY) names the ports and what decided", reasons),
        ("ann reads the lines of orders for the purpose `returns` only", purpose(&ann, &single).await?),
    ];
    for (what, outcome) in &checks {
        print(&checked(what, outcome))?;
    }
    match checks.iter().filter(|(_, outcome)| outcome.is_err()).count() {
        0 => Ok(()),
        wrong => Err(Error::failed(format!("{wrong} of {} checks failed", checks.len()))),
    }
}

/// Checks that the agreement permits the lines of orders for its purpose, and for no other.
async fn purpose(ann: &Client, single: &Engine) -> Result<Result<(), String>> {
    match ann.query(LINES).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        Err(error) => return Ok(Err(error.chain())),
        Ok(_) => return Ok(Err("she reads them without a purpose".to_owned())),
    }
    ann.query(DECLARE).await?;
    answer(ann, LINES).await?.check(single, LINES).await
}

async fn answer(client: &Client, sql: &str) -> Result<Answer> {
    let statement = client.prepare(sql).await?;
    let batches: Vec<_> = client.rows(&statement).try_collect().await?;
    let label = client.label(&statement).await.and_then(|label| label::line(&label, Some(width_or_usual())));
    Ok(Answer { schema: statement.schema().clone(), batches, label: label.unwrap_or_default() })
}

impl Answer {
    /// Compares the answer with the rows of a query in one process without policies. Returns the difference, if there is
    /// one.
    async fn check(&self, single: &Engine, sql: &str) -> Result<Result<(), String>> {
        let stream = single.sql(sql).await?;
        let schema = stream.schema();
        let expected: Vec<_> = stream.try_collect().await?;
        let compared = compare((&schema, &expected), (&self.schema, &self.batches), &Order::Exact);
        Ok(compared.map_err(|difference| difference.to_string()))
    }

    /// Returns the answer with the columns that fit a terminal, if it has them.
    fn narrowed(&self) -> Result<Self> {
        let places: Vec<usize> = SHOWN.iter().filter_map(|name| self.schema.index_of(name).ok()).collect();
        if places.is_empty() {
            return Ok(Self { schema: self.schema.clone(), batches: self.batches.clone(), label: String::new() });
        }
        let schema = self.schema.project(&places).map_err(unshown)?.into();
        let batches = self.batches.iter().map(|batch| batch.project(&places));
        Ok(Self { schema, batches: batches.collect::<Result<_, _>>().map_err(unshown)?, label: String::new() })
    }

    /// Returns the answer as text, for a terminal of `width` columns if there is one.
    fn drawn(&self, title: &str, width: Option<usize>) -> Result<String> {
        let view = View { title: format!("{title}\n"), notes: format!("{}\n", self.label), ..View::default() };
        let mut drawing = Drawing::new(self.schema.clone(), view, width);
        let mut text = drawing.draw(&self.batches).map_err(unshown)?;
        text.push_str(&drawing.end(None, None).map_err(unshown)?);
        Ok(text)
    }
}

fn unshown(error: ArrowError) -> Error {
    Error::failed("cannot show the rows").with_source(error)
}

fn width() -> Option<usize> {
    Some(width_or_usual())
}

fn width_or_usual() -> usize {
    terminal::width().unwrap_or(USUAL_COLUMNS)
}

/// Returns the line about a check.
fn checked(what: &str, outcome: &Result<(), String>) -> String {
    let (mark, colour) = if outcome.is_ok() { ("✓", terminal::GREEN) } else { ("✗", terminal::RED) };
    let mark = match terminal::has_colours(&std::io::stdout()) {
        true => colour.paint(mark).to_string(),
        false => mark.to_owned(),
    };
    let difference = outcome.as_ref().err().map(|difference| format!(": {}", printable_lines(difference)));
    format!("{mark} {what}{}\n", difference.unwrap_or_default())
}

/// Returns a query with each line indented.
fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_introduction_fits_a_terminal_and_says_what_to_type() {
        let files = [PathBuf::from("/tmp/portolan-abcdef/sales/products/customers/policies/customers.cedar")];
        for (is_prompt, command) in [(true, "\\c grpc://127.0.0.1:50051 bob"), (false, "--user ann\n")] {
            let password = "0123456789abcdef0123456789abcdef";
            let text = introduction(&files, "grpc://127.0.0.1:50051", password, is_prompt);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            for part in [command, password, "customers.cedar", "EXPLAIN (POLICY)", "LIMIT 5;", DECLARE] {
                assert!(text.contains(part), "{part}\n{text}");
            }
        }
    }

    #[test]
    fn a_check_that_failed_shows_the_difference() {
        assert!(checked("a", &Ok(())).ends_with(" a\n"));
        assert!(checked("a", &Err("got b".to_owned())).ends_with("a: got b\n"));
    }
}
