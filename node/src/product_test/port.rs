//! Tests the data of one port: whether its values can be read, and the rules of its contract.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::rules::{Rule, RuleKind};
use portolan_catalog::{MeshSnapshot, Port, PortRef, Reference};
use portolan_connectors::{CheckLimits, LocalDomain, OpenedPort, SourceOpener, Sources, is_open};
use portolan_engine::{Result, Session};

use super::Progress;
use super::conditions::{Check, check_of, column_name, have_values};
use super::examples::{Shown, duplicates, rows};
use super::judge::{NEEDS_ALL_ROWS, judge};
use super::literal::{port_name, quoted_name};
use super::queries::{count_each, counts};
use super::relation::{Relation, SAMPLE_ROWS};
use super::report::{Outcome, PortReport, RuleReport};
use super::sql_rules::run;

/// The largest number of values and records of a port that cannot be read, in a report.
const MOST_FAULTS: usize = 20;

/// Tests the ports of a domain.
pub(super) struct Tester {
    /// The domain as its descriptors declare it.
    pub(super) declared: MeshSnapshot,
    /// The ports, which are open or closed. The engine opens the derived ports.
    pub(super) domain: LocalDomain,
    pub(super) sources: Arc<Sources>,
    pub(super) runtime: Arc<RuntimeEnv>,
    /// A session on an engine that has only the domain.
    pub(super) session: Session,
    pub(super) is_full: bool,
    pub(super) progress: Option<Progress>,
}

/// The outcome of a rule, what was found, and examples.
type Finding = (Outcome, String, Vec<String>);

impl Tester {
    /// Tests one port.
    pub(super) async fn test(&self, port: &Port) -> PortReport {
        let mut report = PortReport::new(&port.name);
        let Some(schema) = self.schema(&port.name) else {
            report.error = Some("the port is not open".to_owned());
            return report;
        };
        self.report_progress(port, "values");
        if let Some(opened) = self.opened(&port.name) {
            let limits = CheckLimits { rows: (!self.is_full).then_some(SAMPLE_ROWS as u64), faults: MOST_FAULTS };
            match self.sources.check_data(opened, &self.runtime, limits).await {
                Some(Ok(data)) => report.add(data),
                Some(Err(error)) => report.error = Some(error.owner_chain()),
                None => {}
            }
        }
        if !report.is_broken() {
            match self.relation(&port.name, &schema).await {
                Ok(relation) => {
                    (report.rows, report.complete) = (relation.rows, relation.is_complete);
                    report.rules = self.rules(port, &schema, &relation).await;
                    return report;
                }
                Err(error) => report.error = Some(of_query(port, error.owner_chain())),
            }
        }
        let not_checked = |rule: &Rule| {
            let reason = match &rule.kind {
                RuleKind::Unchecked { reason, .. } => reason.clone(),
                _ => "the data cannot be read".to_owned(),
            };
            RuleReport::new(rule, Outcome::NotChecked, reason, vec![])
        };
        report.rules = port.rules.iter().map(not_checked).collect();
        report
    }

    /// Returns a port over data, if it is open.
    fn opened(&self, name: &PortRef) -> Option<&OpenedPort> {
        self.domain.ports.iter().find(|opened| opened.name == *name && is_open(opened))
    }

    /// Returns the columns of a port, if it is open.
    fn schema(&self, name: &PortRef) -> Option<SchemaRef> {
        if let Some(opened) = self.opened(name) {
            return Some(opened.schema.clone());
        }
        let mesh = self.session.engine().mesh();
        mesh.port(name).filter(|port| port.is_derived() && port.load_error.is_none())?.schema()
    }

    async fn relation(&self, port: &PortRef, schema: &Schema) -> Result<Relation> {
        // The queries of a contract may name the ports of its product without the product.
        self.session.set("catalog", port.domain.as_str())?;
        self.session.set("schema", port.product.as_str())?;
        match self.is_full {
            true => Relation::whole(&self.session, port, schema).await,
            false => Relation::sample(&self.session, port).await,
        }
    }

    async fn rules(&self, port: &Port, schema: &Schema, relation: &Relation) -> Vec<RuleReport> {
        let checks: Vec<Check> = port.rules.iter().map(|rule| check_of(rule, schema)).collect();
        let conditions = checks.iter().filter_map(|check| match check {
            Check::Rows(condition) => Some(condition.as_str()),
            _ => None,
        });
        self.report_progress(port, "rules of single rows");
        let conditions: Vec<&str> = conditions.collect();
        let mut counted = count_each(&self.session, &relation.name, &conditions).await.into_iter();
        let mut reports = vec![];
        for (rule, check) in port.rules.iter().zip(&checks) {
            let shown = Shown { session: &self.session, port, schema, relation };
            let finding = match check {
                Check::Rows(condition) => match counted.next() {
                    Some(Ok(count)) => self.by_rows(rule, condition, count, &shown).await,
                    Some(Err(reason)) => not_checked(reason),
                    None => not_checked("it was not counted".to_owned()),
                },
                Check::Duplicates => self.by_duplicates(rule, &shown).await,
                Check::Partners => self.by_partners(rule, &shown).await,
                Check::RowCount => {
                    let (outcome, message) = judge(&rule.kind, relation.rows, relation);
                    (outcome, message, vec![])
                }
                Check::Query => self.by_query(rule, port, relation).await,
                Check::Impossible(reason) => not_checked(reason.clone()),
            };
            let (outcome, message, examples) = finding;
            reports.push(RuleReport::new(rule, outcome, message, examples));
        }
        reports
    }

    async fn by_rows(&self, rule: &Rule, condition: &str, count: u64, shown: &Shown<'_>) -> Finding {
        let (outcome, message) = judge(&rule.kind, count, shown.relation);
        let examples = match outcome {
            Outcome::Broken if count > 0 => rows(shown, &rule.columns, condition).await,
            _ => vec![],
        };
        (outcome, message, examples)
    }

    async fn by_duplicates(&self, rule: &Rule, shown: &Shown<'_>) -> Finding {
        self.report_progress(shown.port, &format!("values of {} that occur more than once", rule.columns.join(", ")));
        let columns: Vec<String> = rule.columns.iter().map(|name| column_name(name)).collect();
        let sql = format!(
            "SELECT count(*), CAST(coalesce(sum(n), 0) AS BIGINT) FROM (SELECT count(*) AS n FROM {} AS s WHERE {} \
             GROUP BY {} HAVING count(*) > 1) AS d",
            shown.relation.name,
            have_values(&rule.columns),
            columns.join(", ")
        );
        let (values, repeated) = match counts(&self.session, &sql).await {
            Ok(found) => (found.first().copied().unwrap_or_default(), found.get(1).copied().unwrap_or_default()),
            Err(error) => return not_checked(error.owner_chain()),
        };
        let (outcome, message) = match &rule.kind {
            kind @ RuleKind::Metric { .. } => judge(kind, values, shown.relation),
            _ if values == 0 => (Outcome::Holds, String::new()),
            _ => {
                let rows = shown.relation.rows;
                let message = format!("values that occur more than once: {values}, in {repeated} of {rows} rows");
                (Outcome::Broken, message)
            }
        };
        let examples = match outcome {
            Outcome::Broken if values > 0 => duplicates(shown, &rule.columns).await,
            _ => vec![],
        };
        (outcome, message, examples)
    }

    async fn by_partners(&self, rule: &Rule, shown: &Shown<'_>) -> Finding {
        let RuleKind::References { table, columns } = &rule.kind else { return not_checked(String::new()) };
        let partner = match self.partner(&shown.port.name, rule, table, columns) {
            Ok(partner) => partner,
            Err(reason) => return not_checked(reason),
        };
        self.report_progress(shown.port, &format!("references to {partner}"));
        let equal = rule.columns.iter().zip(columns);
        let equal = equal.map(|(own, other)| format!("t.{} = {}", quoted_name(other), column_name(own)));
        let condition = format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {} AS t WHERE {})",
            have_values(&rule.columns),
            port_name(&partner),
            equal.collect::<Vec<_>>().join(" AND ")
        );
        let sql = format!("SELECT count(*) FROM {} AS s WHERE {condition}", shown.relation.name);
        match counts(&self.session, &sql).await {
            Ok(found) => self.by_rows(rule, &condition, found.first().copied().unwrap_or_default(), shown).await,
            Err(error) => not_checked(error.owner_chain()),
        }
    }

    /// Returns the port that a rule refers to.
    ///
    /// # Errors
    /// The reason why its rows cannot be read here.
    fn partner(&self, from: &PortRef, rule: &Rule, table: &[String], columns: &[String]) -> Result<PortRef, String> {
        let reference = Reference {
            name: None,
            columns: rule.columns.clone(),
            table: table.to_vec(),
            referenced_columns: columns.to_vec(),
        };
        let name = table.join(".");
        match self.declared.referenced(from, &reference) {
            Some(port) if self.schema(&port.name).is_some() => Ok(port.name.clone()),
            Some(port) => Err(format!("the port {} is not open", port.name)),
            None => match table {
                [domain, ..] if table.len() == 3 && *domain != from.domain.as_str() => {
                    Err(format!("{name} is a port of another domain"))
                }
                _ => Err(format!("this domain has no port {name} with these columns")),
            },
        }
    }

    async fn by_query(&self, rule: &Rule, port: &Port, relation: &Relation) -> Finding {
        let RuleKind::Sql { query, threshold } = &rule.kind else { return not_checked(String::new()) };
        if !relation.is_complete {
            return not_checked(NEEDS_ALL_ROWS.to_owned());
        }
        self.report_progress(port, &rule.kind.to_string());
        match run(&self.session, query, &port.name, rule.columns.first().map(String::as_str)).await {
            Ok((result, _)) if result.is_some_and(|result| threshold.allows(result)) => {
                (Outcome::Holds, String::new(), vec![])
            }
            Ok((_, text)) => (Outcome::Broken, format!("got {text}"), vec![]),
            Err(reason) => not_checked(reason),
        }
    }

    fn report_progress(&self, port: &Port, what: &str) {
        if let Some(progress) = &self.progress {
            progress(&format!("{}: {what}", port.name));
        }
    }
}

/// Returns an error about the rows of a port, with the place of the query that computes them.
fn of_query(port: &Port, error: String) -> String {
    let place = port.source.as_ref().filter(|source| source.query().is_some()).map(|source| &source.place);
    match place {
        Some(place) => format!("{place}: {error}"),
        None => error,
    }
}

fn not_checked(reason: String) -> Finding {
    (Outcome::NotChecked, reason, vec![])
}
