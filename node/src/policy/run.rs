//! Runs the test cases of policies: each query as its principal, in an engine that has only the node's domain.

use std::path::PathBuf;

use futures::TryStreamExt;
use portolan_catalog::Place;
use portolan_engine::{Engine, ErrorKind, Session, StatementKind};

use super::ResolvedDomain;
use super::cases::{Case, CasePrincipal, Expected, find_files, read_cases};
use super::principal::AskedPrincipal;
use super::text::{TextRow, text_rows};
use crate::assemble::with_resources;
use crate::host::memory_limits;
use crate::{Error, NodeConfig, Result};

/// The largest number of rows of a failure that are shown, beyond the expected ones.
const MORE_ROWS: usize = 20;

/// The outcome of test cases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PolicyTestReport {
    /// The cases, in the order of the files.
    pub cases: Vec<CaseReport>,
}

/// The outcome of a test case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The place of the case.
    pub place: Place,
    /// The name of the case.
    pub name: String,
    /// The name of the principal.
    pub user: String,
    /// The difference; `None` if the outcome is the expected one.
    pub failure: Option<CaseFailure>,
}

/// The difference between the outcome of a case and the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// The expected outcome, in lines.
    pub expected: Vec<String>,
    /// The outcome, in lines.
    pub got: Vec<String>,
}

/// Runs the test cases in `files`, or all test cases of the domain if there are no files: `policies/*.test.yaml` beside
/// the descriptors, and `*.test.yaml` in the folder of the mesh's policies. Must be called on a tokio runtime.
///
/// # Errors
/// Invalid descriptors; policies or files with errors; no case; an engine that does not start.
pub async fn test_policies(config: &NodeConfig, files: &[PathBuf]) -> Result<PolicyTestReport> {
    let resolved = ResolvedDomain::load(config).await?;
    resolved.require_valid()?;
    let files = match files {
        [] => find_files(&resolved.domain.catalog, config.policies.as_deref())?,
        files => files.to_vec(),
    };
    let cases = read_cases(&files)?;
    if cases.is_empty() {
        return Err(Error::config(
            "there are no test cases: write them in `policies/*.test.yaml` beside the descriptor of a product, or name a \
             file",
        ));
    }
    let limits = config.limits(memory_limits().first().map(|limit| limit.bytes));
    let builder = Engine::builder().limits(limits).runtime_env(resolved.runtime.clone());
    let engine = with_resources(builder.local_domain(resolved.domain.clone()), config).build()?;
    let mut reports = vec![];
    for Case { place, name, principal, query, expected } in cases {
        let got = match session(config, &engine, &principal) {
            Ok(session) => run(&session, &query, &expected).await,
            Err(error) => Got::Failed(error.owner_chain()),
        };
        let failure = compare(&expected, &got);
        reports.push(CaseReport { place, name, user: principal.user, failure });
    }
    Ok(PolicyTestReport { cases: reports })
}

impl PolicyTestReport {
    /// Returns the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }
}

/// The outcome of a query.
enum Got {
    /// The rows. `is_cut` is true if there were more.
    Rows {
        rows: Vec<TextRow>,
        is_cut: bool,
    },
    Refused(String),
    /// Another error.
    Failed(String),
}

fn session(config: &NodeConfig, engine: &Engine, principal: &CasePrincipal) -> Result<Session> {
    let asked = AskedPrincipal::new(config, &principal.user, principal.groups(), principal.attributes())?;
    let session = engine.session(asked.principal());
    if let Some(purpose) = &principal.purpose {
        session.set("portolan.purpose", purpose)?;
    }
    Ok(session)
}

async fn run(session: &Session, query: &str, expected: &Expected) -> Got {
    let most = match expected {
        Expected::Rows(rows) => rows.len() + MORE_ROWS,
        Expected::Refused(_) => MORE_ROWS,
    };
    match rows_of(session, query, most).await {
        Ok((rows, is_cut)) => Got::Rows { rows, is_cut },
        // A port or a column that the principal may not even see does not exist for the principal.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
            Got::Refused(error.owner_chain())
        }
        Err(error) => Got::Failed(error.owner_chain()),
    }
}

/// Returns the first rows of a query, at most `most`, and true if there are more.
async fn rows_of(session: &Session, query: &str, most: usize) -> portolan_engine::Result<(Vec<TextRow>, bool)> {
    let statement = session.prepare(query.trim().trim_end_matches(';')).await?;
    if statement.kind() != StatementKind::Query {
        let message = "a test case runs only queries: a statement could change data";
        return Err(portolan_engine::Error::new(ErrorKind::InvalidQuery, message));
    }
    let mut stream = statement.execute(&[]).await?;
    let mut rows: Vec<TextRow> = vec![];
    while let Some(batch) = stream.try_next().await? {
        let room = most - rows.len();
        let found = text_rows(&batch, room)
            .map_err(|e| portolan_engine::Error::new(ErrorKind::Internal, "the rows cannot be shown").with_source(e))?;
        rows.extend(found);
        if batch.num_rows() > room {
            return Ok((rows, true));
        }
    }
    Ok((rows, false))
}

fn compare(expected: &Expected, got: &Got) -> Option<CaseFailure> {
    match (expected, got) {
        (Expected::Rows(expected), Got::Rows { rows, is_cut: false }) if expected == rows => None,
        (Expected::Refused(text), Got::Refused(message)) if message.contains(text.as_str()) => None,
        _ => Some(CaseFailure { expected: expected_lines(expected), got: got_lines(got) }),
    }
}

fn expected_lines(expected: &Expected) -> Vec<String> {
    match expected {
        Expected::Rows(rows) => row_lines(rows),
        Expected::Refused(text) => vec![format!("a refusal with the text `{text}`")],
    }
}

fn got_lines(got: &Got) -> Vec<String> {
    match got {
        Got::Rows { rows, is_cut } => {
            let mut lines = row_lines(rows);
            if *is_cut {
                lines.push("… and more rows".to_owned());
            }
            lines
        }
        Got::Refused(message) => vec![format!("a refusal: {message}")],
        Got::Failed(message) => vec![format!("an error: {message}")],
    }
}

/// Returns a line for each row.
fn row_lines(rows: &[TextRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["no rows".to_owned()];
    }
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "null".to_owned(), |text| format!("{text:?}"));
    rows.iter().map(|row| format!("[{}]", row.iter().map(value).collect::<Vec<_>>().join(", "))).collect()
}
