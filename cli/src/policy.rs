//! `portolan policy`: checks the policies of a node's domain, explains their decisions, and runs their test cases,
//! without a node that runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portolan_catalog::{Diagnostics, PortRef, printable};
use portolan_node::policy::{
    ExplainOptions, PolicyReport, PolicyTestReport, check_policies, explain_policies, parse_attribute, test_policies,
};
use portolan_node::{Error, NodeConfig, Result};

use crate::output::print;
use crate::product::CONFIG;
use crate::units::show_number;

/// The largest number of ports that a summary names.
const MOST_PORTS: usize = 20;

/// Arguments of `portolan policy`.
#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Check policies and agreements, and print every error and warning
    Check(ConfigArgs),
    /// Show which rules decide what a principal may do with a port, and see of it
    Explain(ExplainArgs),
    /// Run test cases: queries of principals, with the rows or the refusals that are expected
    Test(TestArgs),
}

/// The config of a node.
#[derive(Args, Clone, Debug)]
struct ConfigArgs {
    /// The config of the node that serves the domain
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

/// Arguments of `portolan policy explain`.
#[derive(Args, Clone, Debug)]
struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The name of the principal. A user of the config has the groups and attributes of the config
    #[arg(long = "as", value_name = "NAME")]
    user: String,
    /// A group of the principal, in the place of those of the config. May be repeated
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// An attribute of the principal, in the place of those of the config. May be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
    /// The purpose that the session declares
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// A node between the principal and the node. May be repeated
    #[arg(long, value_name = "NODE")]
    via: Vec<String>,
    /// The port: `domain.product.port`, or a shorter name that only one port has
    #[arg(value_name = "PORT")]
    port: String,
}

/// Arguments of `portolan policy test`.
#[derive(Args, Clone, Debug)]
struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The files of test cases [default: `policies/*.test.yaml` beside the descriptors of products, and `*.test.yaml` in
    /// the folder with the policies of the mesh]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs `portolan policy`.
///
/// # Errors
/// An invalid config or invalid descriptors; policies with errors; an unknown name; test cases that fail, after the
/// report.
pub async fn policy(args: PolicyArgs) -> Result<()> {
    match args.action {
        Action::Check(args) => check(&args).await,
        Action::Explain(args) => explain(args).await,
        Action::Test(args) => test(&args).await,
    }
}

async fn check(args: &ConfigArgs) -> Result<()> {
    let report = check_policies(&NodeConfig::load(&args.config)?).await?;
    print(&shown(checked(&report)))?;
    match report.report.errors.is_empty() {
        true => Ok(()),
        false => Err(Diagnostics(report.report.errors).into()),
    }
}

async fn explain(args: ExplainArgs) -> Result<()> {
    let config = NodeConfig::load(&args.config.config)?;
    let mut options = ExplainOptions::default();
    (options.user, options.port) = (args.user, args.port);
    (options.groups, options.attributes) = (args.groups, args.attributes);
    (options.purpose, options.via) = (args.purpose, args.via);
    print(&shown(explain_policies(&config, &options).await?.lines()))
}

async fn test(args: &TestArgs) -> Result<()> {
    let report = test_policies(&NodeConfig::load(&args.config.config)?, &args.files).await?;
    print(&shown(tested(&report)))?;
    match report.failed().count() as u64 {
        0 => Ok(()),
        failed => {
            let all = show_number(report.cases.len() as u64, "test case");
            Err(Error::failed(format!("{failed} of {all} failed")))
        }
    }
}

/// Returns lines as text that a terminal can show.
fn shown(lines: Vec<String>) -> String {
    lines.iter().map(|line| format!("{}\n", printable(line))).collect()
}

/// Returns the lines of a check, without the errors.
fn checked(report: &PolicyReport) -> Vec<String> {
    let mut lines: Vec<String> = report.report.warnings.iter().map(ToString::to_string).collect();
    lines.extend(report.not_open.iter().map(|(port, reason)| {
        format!("warning: {port}: the port is not open, and its policies are checked against its contract: {reason}")
    }));
    let number = |n: usize, what: &str| show_number(n as u64, what);
    let mut parts = vec![];
    if report.policy_files > 0 {
        parts.push(format!("{} of policies", number(report.policy_files, "file")));
    }
    if report.agreements > 0 {
        parts.push(number(report.agreements, "agreement"));
    }
    let mut summary = match parts.is_empty() {
        true => format!("the domain {} has no policies", report.domain),
        false => {
            let (rules, ports) = (number(report.rules, "rule"), number(report.governed.len(), "port"));
            format!("{}: {rules} for {ports}", parts.join(", "))
        }
    };
    summary.push_str(&listed(&report.open, "open to everybody"));
    summary.push_str(&listed(&report.closed, "closed, because policies have errors"));
    lines.push(summary);
    lines
}

/// Returns a part of a summary about some ports. Empty if there are none.
fn listed(ports: &[PortRef], what: &str) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = ports.iter().take(MOST_PORTS).map(ToString::to_string).collect();
    if ports.len() > MOST_PORTS {
        names.push("…".to_owned());
    }
    let verb = if ports.len() == 1 { "is" } else { "are" };
    format!("; {} {verb} {what}: {}", show_number(ports.len() as u64, "port"), names.join(", "))
}

/// Returns the lines of a test: one for each case, the differences, and the number of cases that passed.
fn tested(report: &PolicyTestReport) -> Vec<String> {
    let mut lines = vec![];
    for case in &report.cases {
        let Some(failure) = &case.failure else {
            lines.push(format!("ok      {} (as `{}`)", case.name, case.user));
            continue;
        };
        lines.push(format!("FAILED  {} (as `{}`)", case.name, case.user));
        lines.push(format!("  {}", case.place));
        for (title, of) in [("expected", &failure.expected), ("got", &failure.got)] {
            lines.push(format!("  {title}:"));
            lines.extend(of.iter().map(|line| format!("    {line}")));
        }
    }
    let passed = report.cases.len() - report.failed().count();
    lines.push(format!("{passed} of {} passed", show_number(report.cases.len() as u64, "test case")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed_with_their_number() {
        let port = |name: &str| PortRef::new("sales", "x", name);
        assert_eq!(listed(&[], "open"), "");
        assert_eq!(listed(&[port("y")], "open to everybody"), "; 1 port is open to everybody: sales.x.y");
        assert_eq!(listed(&[port("y"), port("z")], "closed"), "; 2 ports are closed: sales.x.y, sales.x.z");
    }
}
