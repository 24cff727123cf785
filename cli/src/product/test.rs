//! `portolan product test`: tests the data of products against their contracts, and reports what breaks them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use portolan_catalog::{DomainName, domain_of, printable, printable_json};
use portolan_node::Progress;
use portolan_node::product_test::{Outcome, PortReport, RuleReport, TestOptions, TestReport, test_products};
use portolan_node::{Error, NodeConfig, Result};

use super::{CONFIG, PRODUCTS, progress_bar};
use crate::output::print;
use crate::units::show_number;

/// Arguments of `portolan product test`.
#[derive(Args, Clone, Debug)]
pub struct TestArgs {
    /// The products and ports to test: `product`, `port` or `product.port` [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The folder with the descriptors [default: that of `node.yaml`, if there is one, or else `products`]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    products: Option<PathBuf>,
    /// The domain that the descriptors belong to [default: the `domain` of the products]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    domain: Option<String>,
    /// The config of the node that serves the products, for its roots and credentials of sources [default: `node.yaml`,
    /// if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read all data instead of a sample of each port
    #[arg(long)]
    full: bool,
    /// The format of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

/// The format of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Lines for readers
    Table,
    /// One JSON object
    Json,
}

/// Runs `portolan product test`.
///
/// # Errors
/// Invalid descriptors; an unknown name; data that breaks its contract, after the report.
pub async fn test(args: &TestArgs) -> Result<()> {
    let own = || (args.domain.is_none() && Path::new(CONFIG).exists()).then(|| CONFIG.into());
    let config = match (args.config.clone().or_else(own), &args.products) {
        (_, Some(products)) => config_beside(products, args.domain.as_deref())?,
        (Some(file), None) => NodeConfig::load(&file)?,
        (None, None) => config_beside(Path::new(PRODUCTS), args.domain.as_deref())?,
    };
    let bar = (args.full && std::io::stderr().is_terminal()).then(progress_bar);
    let mut options = TestOptions::default();
    (options.names, options.full) = (args.names.clone(), args.full);
    options.progress = bar
        .clone()
        .map(|bar| -> Progress { Arc::new(move |what: &str| bar.set_message(printable(what).into_owned())) });
    let report = test_products(&config, &options).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let report = report?;
    print(&match args.format {
        ReportFormat::Table => text(&report),
        ReportFormat::Json => json(&report)?,
    })?;
    match (report.broken().count(), report.ports.len()) {
        (0, _) => Ok(()),
        (1, 1) => Err(Error::failed("the port breaks its contract")),
        (broken, all) => Err(Error::failed(format!("{broken} of {all} ports break their contracts"))),
    }
}

/// Returns the config of a node with these descriptors, as if it stood beside their folder.
fn config_beside(products: &Path, domain: Option<&str>) -> Result<NodeConfig> {
    let domain = domain.map_or_else(|| domain_of(products), |name| Ok(DomainName::new(name)))?;
    let absolute = std::path::absolute(products)
        .map_err(|e| Error::config(format!("cannot find {}", products.display())).with_source(e))?;
    let file = absolute.with_file_name(CONFIG);
    Ok(NodeConfig { domain: Some(domain), products: Some(products.into()), file: Some(file), ..NodeConfig::default() })
}

fn json(report: &TestReport) -> Result<String> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|e| Error::failed("the report cannot be written as JSON").with_source(e))?;
    Ok(format!("{}\n", printable_json(&text)))
}

fn text(report: &TestReport) -> String {
    let mut lines: Vec<String> = report.ports.iter().flat_map(of_port).collect();
    if report.ports.is_empty() {
        lines.push(format!("the domain {} has no ports", report.domain));
    }
    if report.ports.iter().any(|port| port.error.is_none() && !port.complete) && !report.full {
        lines.push("samples were tested: `--full` reads all data".to_owned());
    }
    lines.iter().map(|line| format!("{}\n", printable(line))).collect()
}

/// Returns the lines about a port: what it is, what breaks its contract, what was not checked, and what holds.
fn of_port(report: &PortReport) -> Vec<String> {
    let count = |outcome| report.with(outcome).count();
    let verdict = match (report.is_broken(), &report.error) {
        (_, Some(_)) => "could not be tested",
        (true, None) => "breaks its contract",
        (false, None) => "no errors",
    };
    let rows = match (&report.error, report.complete) {
        (Some(_), _) => String::new(),
        (None, true) => format!(" in {}", show_number(report.rows, "row")),
        (None, false) => format!(" in a sample of {}", show_number(report.rows, "row")),
    };
    let numbers = [
        (count(Outcome::Holds), "hold"),
        (count(Outcome::Broken), "broken"),
        (count(Outcome::Warning), "with warnings"),
        (count(Outcome::NotChecked), "not checked"),
    ];
    let numbers = numbers.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let numbers = numbers.collect::<Vec<_>>().join(", ");
    let rules = if numbers.is_empty() { String::new() } else { format!("; rules: {numbers}") };
    let mut lines = vec![format!("{}: {verdict}{rows}{rules}", report.port)];
    lines.extend(report.error.iter().flat_map(|error| error.lines()).map(|line| format!("  {line}")));
    lines.extend(report.faults.iter().map(|fault| format!("  {}", fault.message)));
    if report.more_faults {
        lines.push("  … and more values that cannot be read".to_owned());
    }
    for (outcome, word) in [(Outcome::Broken, ""), (Outcome::Warning, "warning: ")] {
        for rule in report.with(outcome) {
            lines.push(format!("  {word}{}", rule.text()));
            lines.push(format!("    {}", rule.place()));
        }
    }
    lines.extend(not_checked(report));
    lines.extend(holding(report));
    lines
}

/// Returns a line for each rule that was not checked, and one for all rules with the same reason.
fn not_checked(report: &PortReport) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&RuleReport>)> = vec![];
    for rule in report.with(Outcome::NotChecked) {
        match reasons.iter_mut().find(|(reason, _)| *reason == rule.message) {
            Some((_, rules)) => rules.push(rule),
            None => reasons.push((rule.message.as_str(), vec![rule])),
        }
    }
    let line = |(reason, rules): &(&str, Vec<&RuleReport>)| match rules.as_slice() {
        [only] => format!("  not checked: {}", only.text()),
        several => format!("  not checked: {} rules: {reason}", several.len()),
    };
    reasons.iter().map(line).collect()
}

/// Returns a line for each rule that holds, with the columns that have it.
fn holding(report: &PortReport) -> Vec<String> {
    let mut rules: Vec<(String, Vec<String>)> = vec![];
    for rule in report.with(Outcome::Holds) {
        let title = rule.title.as_ref().and_then(|title| title.lines().next());
        let name = title.map_or_else(|| rule.rule.clone(), |title| format!("{} ({title})", rule.rule));
        let columns: Vec<String> = rule.columns.iter().map(|column| format!("`{column}`")).collect();
        let columns = if columns.len() > 1 { format!("({})", columns.join(", ")) } else { columns.concat() };
        match rules.iter_mut().find(|(known, _)| *known == name) {
            Some((_, of_rule)) => of_rule.push(columns),
            None => rules.push((name, vec![columns])),
        }
    }
    let line = |(name, columns): (String, Vec<String>)| format!("  holds: {name}: {}", columns.join(", "));
    rules.into_iter().map(line).map(|line| line.trim_end_matches(": ").to_owned()).collect()
}
