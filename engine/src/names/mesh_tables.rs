//! The tables of the `mesh` schema: domains, products, ports and columns with their owners and descriptions, and the
//! state of the nodes.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue};
use portolan_catalog::{
    Column, ColumnStatistics, DomainCatalog, MeshSnapshot, NodeLocation, NodeState, Port, Product, Reference, ServedBy,
    StatisticValue, sql_type,
};

use super::system_view::SystemView;
use crate::state::PlanTotals;

/// The names of the tables.
pub(super) const NAMES: &[&str] = &["columns", "domains", "nodes", "ports", "products"];

/// Returns the table with this name, with the current state of the mesh. `plans` is about the plans that this node keeps.
pub(super) fn table(
    name: &str,
    mesh: &MeshSnapshot,
    plans: Option<PlanTotals>,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let columns = match name {
        "columns" => columns(mesh),
        "domains" => domains(mesh),
        "nodes" => nodes(mesh, plans),
        "ports" => ports(mesh),
        "products" => products(mesh),
        _ => return Ok(None),
    };
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?;
    Ok(Some(SystemView::new(move || Ok(batch.clone()))?))
}

type NamedColumns = Vec<(&'static str, ArrayRef)>;

fn domains(mesh: &MeshSnapshot) -> NamedColumns {
    let known: Vec<_> = mesh.domains.values().collect();
    let refused: Vec<_> = mesh.refused.iter().collect();
    let of = |f: &dyn Fn(&DomainCatalog) -> i64| {
        let numbers = known.iter().map(|d| Some(f(&d.catalog)));
        Arc::new(Int64Array::from_iter(numbers.chain(refused.iter().map(|_| None)))) as ArrayRef
    };
    let names = known.iter().map(|d| d.catalog.domain.as_str()).chain(refused.iter().map(|c| c.0.as_str()));
    let claimants = refused.iter().map(|c| c.1.iter().map(|claim| claim.node.as_str()).collect::<Vec<_>>().join(", "));
    let nodes = known.iter().map(|d| d.served_by.to_string()).chain(claimants);
    let states = known.iter().map(|d| state(mesh, &d.served_by)).chain(refused.iter().map(|_| "refused"));
    vec![
        ("domain", strings(names.map(Some))),
        ("node", strings(nodes.map(Some))),
        ("state", strings(states.map(Some))),
        ("products", of(&|c| c.products.len() as i64)),
        ("ports", of(&|c| c.ports().count() as i64)),
    ]
}

fn nodes(mesh: &MeshSnapshot, plans: Option<PlanTotals>) -> NamedColumns {
    let nodes = &mesh.nodes;
    let plans = |of: fn(PlanTotals) -> u64| {
        counts(nodes.iter().map(move |n| plans.filter(|_| n.location == NodeLocation::Here).map(of)))
    };
    vec![
        (
            "url",
            strings(nodes.iter().map(|n| match &n.location {
                NodeLocation::Here => None,
                NodeLocation::Peer(url) => Some(url.as_str()),
            })),
        ),
        ("state", strings(nodes.iter().map(|n| Some(word(n.state))))),
        (
            "last_seen",
            Arc::new(
                nodes
                    .iter()
                    .map(|n| n.last_seen.and_then(micros))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        ("error", strings(nodes.iter().map(|n| n.error.as_deref()))),
        ("latency_ms", floats(nodes.iter().map(|n| n.latency.map(|l| l.as_secs_f64() * 1e3)))),
        ("bandwidth_mb_s", floats(nodes.iter().map(|n| n.bandwidth.map(|b| b / 1e6)))),
        ("domains", lists(nodes.iter().map(|n| n.domains.iter().map(|d| d.as_str())))),
        ("here", Arc::new(BooleanArray::from_iter(nodes.iter().map(|n| Some(n.location == NodeLocation::Here))))),
        ("key", strings(nodes.iter().map(|n| n.key.as_deref()))),
        ("refused", lists(nodes.iter().map(|n| n.refused.iter().map(String::as_str)))),
        ("learned_from", strings(nodes.iter().map(|n| n.learned_from.as_deref()))),
        ("plans", plans(|totals| totals.entries)),
        ("plan_hits", plans(|totals| totals.hits)),
        ("plan_misses", plans(|totals| totals.misses)),
    ]
}

fn products(mesh: &MeshSnapshot) -> NamedColumns {
    let rows: Vec<(&DomainCatalog, &Product)> =
        mesh.domains.values().flat_map(|d| d.catalog.products.values().map(|p| (d.catalog.as_ref(), p))).collect();
    vec![
        ("domain", strings(rows.iter().map(|(d, _)| Some(d.domain.as_str())))),
        ("product", strings(rows.iter().map(|(_, p)| Some(p.name.as_str())))),
        ("version", strings(rows.iter().map(|(_, p)| p.version.as_deref()))),
        ("status", strings(rows.iter().map(|(_, p)| Some(p.status.as_str())))),
        ("owner", strings(rows.iter().map(|(_, p)| p.owner.as_deref()))),
        ("description", strings(rows.iter().map(|(_, p)| p.description.as_deref()))),
        ("tags", lists(rows.iter().map(|(_, p)| p.tags.iter().map(String::as_str)))),
        ("ports", Arc::new(Int64Array::from_iter(rows.iter().map(|(_, p)| Some(p.ports.len() as i64))))),
        ("load_error", strings(rows.iter().map(|(_, p)| load_error(p)))),
    ]
}

/// Returns the error of a product's descriptors, or else the errors of its ports.
fn load_error(product: &Product) -> Option<String> {
    let errors: Vec<&str> = product.ports.values().filter_map(|port| port.load_error.as_deref()).collect();
    product.load_error.clone().or_else(|| (!errors.is_empty()).then(|| errors.join("\n")))
}

fn ports(mesh: &MeshSnapshot) -> NamedColumns {
    let rows: Vec<&Port> = mesh.ports().collect();
    let keys: Vec<Vec<String>> =
        rows.iter().map(|port| port.references.iter().map(|r| foreign_key(mesh, port, r)).collect()).collect();
    let inputs = |port: &&Port| port.derived_from.iter().map(ToString::to_string).collect();
    let inputs: Vec<Vec<String>> = rows.iter().map(inputs).collect();
    let places: Vec<String> = rows.iter().map(|port| port.processed_at.to_string()).collect();
    let mut columns = port_names(rows.iter().copied());
    columns.extend([
        ("version", strings(rows.iter().map(|p| p.version.as_deref()))),
        ("description", strings(rows.iter().map(|p| p.description.as_deref()))),
        ("contract", strings(rows.iter().map(|p| p.contract.as_deref()))),
        ("columns", Arc::new(Int64Array::from_iter(rows.iter().map(|p| Some(p.columns.len() as i64)))) as ArrayRef),
        ("primary_key", lists(rows.iter().map(|p| p.primary_key.iter().map(String::as_str)))),
        ("foreign_keys", lists(keys.iter().map(|keys| keys.iter().map(String::as_str)))),
        ("tags", lists(rows.iter().map(|p| p.tags.iter().map(String::as_str)))),
        ("rows", counts(rows.iter().map(|p| p.statistics.rows))),
        ("bytes", counts(rows.iter().map(|p| p.statistics.bytes))),
        ("load_error", strings(rows.iter().map(|p| p.load_error.as_deref()))),
        ("derived_from", lists(inputs.iter().map(|names| names.iter().map(String::as_str)))),
        ("processed_at", strings(places.iter().map(|place| Some(place.as_str())))),
    ]);
    columns
}

/// Describes a reference, such as `l_orderkey -> sales.orders.orders (o_orderkey)`. If no known domain publishes the
/// referenced port, the port has the name that the contract gives it.
fn foreign_key(mesh: &MeshSnapshot, port: &Port, reference: &Reference) -> String {
    let known = mesh.referenced(&port.name, reference).map(|to| to.name.to_string());
    let to = known.unwrap_or_else(|| reference.table.join("."));
    let from = reference.columns.join(", ");
    format!("{from} -> {to} ({})", reference.referenced_columns.join(", "))
}

fn columns(mesh: &MeshSnapshot) -> NamedColumns {
    let rows: Vec<(&Port, usize, &Column)> =
        mesh.ports().flat_map(|p| p.columns.iter().enumerate().map(move |(i, c)| (p, i, c))).collect();
    let mut columns = port_names(rows.iter().map(|(p, ..)| *p));
    columns.extend([
        ("position", Arc::new(Int64Array::from_iter(rows.iter().map(|(_, i, _)| Some(*i as i64 + 1)))) as ArrayRef),
        ("column", strings(rows.iter().map(|(.., c)| Some(c.name.as_str())))),
        ("type", strings(rows.iter().map(|(.., c)| c.data_type.as_ref().map(sql_type)))),
        ("nullable", Arc::new(BooleanArray::from_iter(rows.iter().map(|(.., c)| Some(c.nullable))))),
        ("description", strings(rows.iter().map(|(.., c)| c.description.as_deref()))),
        ("classification", strings(rows.iter().map(|(.., c)| c.classification.as_deref()))),
        ("logical_type", strings(rows.iter().map(|(.., c)| c.logical_type.as_deref()))),
        ("tags", lists(rows.iter().map(|(.., c)| c.tags.iter().map(String::as_str)))),
        ("distinct_values", counts(rows.iter().map(|row| known(row)?.distinct))),
        ("nulls", counts(rows.iter().map(|row| known(row)?.nulls))),
        ("min", strings(rows.iter().map(|row| shown(known(row)?.min.as_ref()?, row.2)))),
        ("max", strings(rows.iter().map(|row| shown(known(row)?.max.as_ref()?, row.2)))),
        ("keys", strings(rows.iter().map(|(.., c)| Some(c.keys().word())))),
    ]);
    columns
}

/// Returns the statistics of the column, unless the column's classification forbids it.
fn known<'a>((port, _, column): &(&'a Port, usize, &'a Column)) -> Option<&'a ColumnStatistics> {
    port.statistics.columns.get(&column.name).filter(|_| column.is_open())
}

/// Returns a value of the column as SQL prints it.
fn shown(value: &StatisticValue, column: &Column) -> Option<String> {
    let number = match value {
        StatisticValue::Text(text) => return Some(text.clone()),
        StatisticValue::Number(number) => *number,
    };
    // Casts from floats saturate. A value that Arrow cannot print is shown as a plain number.
    let scalar = match &column.data_type {
        Some(DataType::Boolean) => ScalarValue::Boolean(Some(number != 0.0)),
        Some(DataType::Date32 | DataType::Date64) => ScalarValue::Date32(Some(number as i32)),
        Some(DataType::Timestamp(_, zone)) => {
            ScalarValue::TimestampMicrosecond(Some((number * 1e6) as i64), zone.clone())
        }
        Some(DataType::Time32(_) | DataType::Time64(_)) => ScalarValue::Time64Microsecond(Some((number * 1e6) as i64)),
        _ => return Some(number.to_string()),
    };
    let text = scalar.to_array().and_then(|array| Ok(array_value_to_string(&array, 0)?));
    Some(text.unwrap_or_else(|_| number.to_string()))
}

fn counts(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values.map(|v| v.and_then(|v| i64::try_from(v).ok()))))
}

fn port_names<'a>(ports: impl Iterator<Item = &'a Port> + Clone) -> NamedColumns {
    vec![
        ("domain", strings(ports.clone().map(|p| Some(p.name.domain.as_str())))),
        ("product", strings(ports.clone().map(|p| Some(p.name.product.as_str())))),
        ("port", strings(ports.map(|p| Some(p.name.port.as_str())))),
    ]
}

fn strings<S: AsRef<str>>(values: impl Iterator<Item = Option<S>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn lists<'a, L: Iterator<Item = &'a str>>(rows: impl Iterator<Item = L>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.for_each(|value| lists.values().append_value(value));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Returns the state of the nodes of a domain: that of the best one, since one node is enough.
fn state(mesh: &MeshSnapshot, served_by: &ServedBy) -> &'static str {
    let ServedBy::Peers(urls) = served_by else { return word(NodeState::Up) };
    let is_of = |location: &NodeLocation| matches!(location, NodeLocation::Peer(url) if urls.contains(url));
    let states: Vec<_> = mesh.nodes.iter().filter(|n| is_of(&n.location)).map(|n| n.state).collect();
    let best = [NodeState::Up, NodeState::Down].into_iter().find(|state| states.contains(state));
    word(best.unwrap_or(NodeState::Unknown))
}

fn word(state: NodeState) -> &'static str {
    match state {
        NodeState::Up => "up",
        NodeState::Down => "down",
        NodeState::Unknown => "unknown",
        NodeState::Itself => "self",
    }
}

fn micros(time: SystemTime) -> Option<i64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_micros()).ok())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use portolan_catalog::{NodeEntry, PortRef, PortStatistics};

    use super::*;

    #[test]
    fn a_domain_has_the_state_of_its_best_node() {
        let node = |url: &str, state| NodeEntry {
            location: NodeLocation::Peer(url.to_owned()),
            state,
            last_seen: None,
            error: None,
            domains: vec![],
            key: None,
            refused: vec![],
            learned_from: None,
            latency: None,
            bandwidth: None,
        };
        let nodes = vec![node("a", NodeState::Down), node("b", NodeState::Up), node("c", NodeState::Unknown)];
        let mesh = MeshSnapshot { nodes, ..MeshSnapshot::default() };
        let of = |urls: &[&str]| state(&mesh, &ServedBy::Peers(urls.iter().map(|url| (*url).to_owned()).collect()));
        assert_eq!([of(&["a"]), of(&["c"]), of(&["a", "c"]), of(&["a", "b"])], ["down", "unknown", "down", "up"]);
        assert_eq!(state(&mesh, &ServedBy::Here), "up");
    }

    #[test]
    fn values_are_shown_as_their_column_would() {
        let mut column = Column::new("c");
        for (data_type, number, expected) in [
            (DataType::Int64, 6_000_000.0, "6000000"),
            (DataType::Decimal128(15, 2), -999.99, "-999.99"),
            (DataType::Boolean, 1.0, "true"),
            (DataType::Date32, 8036.0, "1992-01-02"),
            (DataType::Timestamp(TimeUnit::Millisecond, None), 86_400.5, "1970-01-02T00:00:00.500"),
            (DataType::Time32(TimeUnit::Second), 61.0, "00:01:01"),
        ] {
            column.data_type = Some(data_type.clone());
            let text = shown(&StatisticValue::Number(number), &column);
            assert_eq!(text.as_deref(), Some(expected), "{data_type}");
        }
        assert_eq!(shown(&StatisticValue::Text("a".into()), &column), Some("a".into()));
    }

    #[test]
    fn a_reference_names_its_columns_and_the_port() {
        let port = Port::new(PortRef::new("sales", "orders", "lineitem"));
        let reference = Reference {
            name: None,
            columns: vec!["a".into(), "b".into()],
            table: vec!["parts".into(), "supply".into()],
            referenced_columns: vec!["x".into(), "y".into()],
        };
        assert_eq!(foreign_key(&MeshSnapshot::default(), &port, &reference), "a, b -> parts.supply (x, y)");
    }

    #[test]
    fn the_statistics_of_a_classified_column_are_not_shown() {
        let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
        let statistics = ColumnStatistics { nulls: Some(3), ..ColumnStatistics::default() };
        let columns = [("c".to_owned(), statistics)].into();
        port.statistics = Arc::new(PortStatistics { columns, ..PortStatistics::default() });
        let mut column = Column::new("c");
        assert!(known(&(&port, 0, &column)).is_some());
        column.classification = Some("restricted".into());
        assert!(known(&(&port, 0, &column)).is_none());
    }
}
