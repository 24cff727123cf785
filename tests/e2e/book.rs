//! The tables of the book that list names: the settings, the tables and columns of the schema `mesh`, the commands of the
//! prompt, and the metrics. The dashboard uses the same metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use portolan_cli::repl::commands::COMMANDS;
use portolan_engine::{Engine, Principal, SETTINGS};
use portolan_node::metrics::{METRICS, Metric, MetricKind};
use portolan_tests::ways::{lines, rows};
use serde_json::Value;

/// Returns the cells of the rows of a page's tables, without their heads.
fn cells(page: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../docs/src/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Returns the names in code font of a cell.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn the_book_lists_every_setting() {
    let listed: Vec<String> = cells("settings.md").iter().flat_map(|row| names(&row[0]).collect::<Vec<_>>()).collect();
    let mut sorted = listed.clone();
    sorted.sort_by(|a, b| a.contains('.').cmp(&b.contains('.')).then(a.cmp(b)));
    assert_eq!(listed, sorted, "the settings are in order");
    sorted.sort();
    assert_eq!(sorted, SETTINGS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_book_lists_every_table_and_column_of_the_mesh() {
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for row in cells("mesh-schema.md") {
        if let Some(name) = names(&row[0]).next() {
            table = name.strip_prefix("mesh.").expect("a table of the mesh").to_owned();
        }
        if !table.is_empty() {
            listed.entry(table.clone()).or_default().extend(names(&row[1]));
        }
    }
    let session = Engine::builder().build().unwrap().session(Principal::anonymous());
    let all = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'mesh' ORDER BY 1";
    let (_, batches) = rows(&session, all).await.unwrap();
    assert_eq!(listed.keys().cloned().collect::<Vec<_>>(), lines(&batches));
    for (table, columns) in &listed {
        let (schema, _) = rows(&session, &format!("SELECT * FROM mesh.{table}")).await.unwrap();
        // The book puts columns with one meaning into one row.
        let real: BTreeSet<_> = schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(columns.iter().collect::<BTreeSet<_>>(), real, "mesh.{table}");
    }
}

#[test]
fn the_book_names_every_field_of_the_standards() {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let page = |name: &str| std::fs::read_to_string(format!("{manifest}/../docs/src/{name}")).unwrap();
    // A fence has three quotes, so that the others come in pairs.
    let text = (page("descriptors.md") + &page("product-test.md")).replace("```", "");
    let words = |name: String| name.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect::<Vec<_>>();
    let named: BTreeSet<String> = names(&text).flat_map(words).collect();
    let mut fields: BTreeSet<String> = BTreeSet::new();
    for (file, objects) in [
        ("odps-1.0.0.json", &["OutputPort"] as &[&str]),
        (
            "odcs-3.2.0.json",
            &["SchemaElement", "SchemaObject", "SchemaBaseProperty", "DataQuality", "RelationshipBase"],
        ),
    ] {
        let path = format!("{manifest}/../catalog/schemas/{file}");
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let definitions = objects.iter().map(|name| &schema["$defs"][*name]["properties"]);
        for properties in definitions.chain([&schema["properties"]]) {
            fields.extend(properties.as_object().expect("the properties of an object").keys().cloned());
        }
    }
    let missing: Vec<_> = fields.iter().filter(|field| !named.contains(*field)).collect();
    assert!(missing.is_empty(), "fields that the book does not name: {missing:?}");
}

#[test]
fn the_book_lists_every_command() {
    let cells = cells("sql.md");
    let listed: BTreeSet<String> = cells
        .iter()
        .flat_map(|row| names(&row[0]))
        .filter(|name| name.starts_with('\\'))
        .filter_map(|name| name.split_whitespace().next().map(str::to_owned))
        .collect();
    for (command, _) in COMMANDS {
        assert!(listed.contains(*command), "{command}: {listed:?}");
    }
}

#[test]
fn the_book_lists_every_metric() {
    let is_metric = |row: &Vec<String>| names(&row[0]).any(|name| name.starts_with("portolan_") || is_process(&name));
    // The table of alerts has conditions instead of names.
    let listed = cells("operating.md").into_iter().filter(|row| row.len() == 4 && is_metric(row));
    let listed: Vec<_> = listed.map(|row| (row[0].clone(), row[1].clone(), row[2].clone(), row[3].clone())).collect();
    let real = METRICS.iter().map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        (format!("`{}`", metric.name), metric.kind.name().to_owned(), labels.join(", "), metric.help.to_owned())
    });
    assert_eq!(listed, real.collect::<Vec<_>>());
}

#[test]
fn the_dashboard_shows_every_metric() {
    let path = format!("{}/../docs/grafana/portolan.json", env!("CARGO_MANIFEST_DIR"));
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut shown = BTreeSet::new();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    for expression in panels.flatten().map(|target| target["expr"].as_str().unwrap()) {
        let words = expression.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        shown.extend(words.filter(|word| word.starts_with("portolan_") || is_process(word)).map(str::to_owned));
    }
    let real = METRICS.iter().map(|metric| match metric.kind {
        MetricKind::Histogram => format!("{}_bucket", metric.name),
        _ => metric.name.to_owned(),
    });
    assert_eq!(shown, real.collect::<BTreeSet<_>>());
}

/// Returns the metric of a name in an expression of Prometheus, if there is one. A histogram has several names.
fn metric(name: &str) -> Option<&'static Metric> {
    let series = |metric: &Metric| match metric.kind {
        MetricKind::Histogram => {
            ["_bucket", "_count", "_sum"].iter().any(|end| name == format!("{}{end}", metric.name))
        }
        _ => name == metric.name,
    };
    METRICS.iter().find(|metric| series(metric))
}

fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn the_alerts_of_the_book_use_metrics() {
    let conditions = cells("operating.md").into_iter().filter(|row| row.len() == 2).map(|row| row[0].clone());
    let used: Vec<_> = conditions.filter(|condition| condition.contains("portolan_")).collect();
    assert!(used.len() > 5, "{used:?}");
    for condition in &used {
        for name in words(condition).filter(|word| word.starts_with("portolan_")) {
            assert!(metric(name).is_some(), "{name}: {condition}");
        }
    }
}

#[test]
fn the_dashboard_uses_the_labels_of_its_metrics() {
    let path = format!("{}/../docs/grafana/portolan.json", env!("CARGO_MANIFEST_DIR"));
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    for target in panels.flatten() {
        let (expression, legend) = (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
        let metrics = words(expression).filter_map(metric);
        // Prometheus adds the first one to every series, and the second one to a histogram.
        let known: BTreeSet<&str> = metrics.flat_map(|m| m.labels.iter().copied()).chain(["instance", "le"]).collect();
        let grouped = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let matched = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let matched = matched.flat_map(|matchers| matchers.split(',')).filter_map(|m| m.split(['=', '!']).next());
        let shown = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        for label in grouped.flat_map(|labels| labels.split(", ")).chain(matched).chain(shown) {
            assert!(known.contains(label), "{label}: {expression} {legend}");
        }
    }
}

fn is_process(name: &str) -> bool {
    name.starts_with("process_")
}
