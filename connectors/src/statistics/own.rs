//! Statistics that a source has of a port's data itself, such as a database. No row is read for them.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use portolan_catalog::{Column, ColumnStatistics, Port, PortStatistics, StatisticValue};

use super::width::fixed_width;
use crate::source::Footprint;

/// Returns the statistics of a source with what the contract and the types add.
pub(super) fn completed(
    own: PortStatistics,
    port: &Port,
    schema: &SchemaRef,
    footprint: Option<Footprint>,
) -> PortStatistics {
    let PortStatistics { rows, bytes, columns: mut of_source, .. } = own;
    let mut columns = BTreeMap::new();
    for field in schema.fields() {
        let Some(declared) = port.columns.iter().find(|c| c.name == *field.name()) else { continue };
        let mut statistics = of_source.remove(field.name()).unwrap_or_default();
        if let Some(width) = fixed_width(field.data_type()) {
            statistics.width = Some(width as f64);
        }
        let values = rows.map(|rows| rows.saturating_sub(statistics.nulls.unwrap_or_default()));
        statistics.distinct = match declared.unique {
            true => values,
            false => statistics.distinct.map(|distinct| distinct.min(values.unwrap_or(u64::MAX))),
        };
        let statistics = published(declared, statistics);
        if statistics != ColumnStatistics::default() {
            columns.insert(field.name().clone(), statistics);
        }
    }
    let bytes = bytes.or(footprint.as_ref().map(|footprint| footprint.bytes));
    PortStatistics { rows, bytes, columns, data_version: footprint.map(|footprint| footprint.version) }
}

/// Returns the statistics of a column as the catalog may have them. Those of a classified column contain no strings and no
/// frequent values. Numeric bounds stay, because many estimates depend on them. Only trusted nodes get them, and
/// `mesh.columns` does not show them.
pub(super) fn published(declared: &Column, statistics: ColumnStatistics) -> ColumnStatistics {
    if declared.is_open() {
        return statistics;
    }
    let scale = |value: Option<StatisticValue>| value.filter(|v| matches!(v, StatisticValue::Number(_)));
    let ColumnStatistics { distinct, nulls, min, max, width, frequent: _ } = statistics;
    ColumnStatistics { distinct, nulls, min: scale(min), max: scale(max), width, frequent: vec![] }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use portolan_catalog::PortRef;

    use super::*;

    #[test]
    fn classified_columns_have_no_strings_and_no_frequent_values() {
        let of = |min: StatisticValue| ColumnStatistics {
            distinct: Some(900),
            nulls: Some(10),
            min: Some(min.clone()),
            max: None,
            width: Some(20.0),
            frequent: vec![(min, 0.5)],
        };
        let (text, number) = (StatisticValue::Text("ann".to_owned()), StatisticValue::Number(1.0));
        let columns = [("id", number.clone()), ("name", text.clone()), ("town", text.clone())];
        let own = PortStatistics {
            rows: Some(100),
            bytes: None,
            columns: columns.map(|(name, min)| (name.to_owned(), of(min))).into(),
            data_version: None,
        };
        let mut port = Port::new(PortRef::new("sales", "people", "people"))
            .with_columns(["id", "name", "town", "age"].map(Column::new));
        port.columns[0].classification = Some("restricted".to_owned());
        port.columns[0].unique = true;
        port.columns[1].classification = Some("restricted".to_owned());
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let number_of = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![number_of("id"), text("name"), text("town"), number_of("age")]));
        let footprint = Footprint { bytes: 8192, version: "7".to_owned() };
        let known = completed(own, &port, &schema, Some(footprint));
        assert_eq!((known.rows, known.bytes, known.data_version.as_deref()), (Some(100), Some(8192), Some("7")));
        let id = ColumnStatistics { min: Some(number), distinct: Some(90), width: Some(8.0), ..bare() };
        assert_eq!(known.columns["id"], id);
        assert_eq!(known.columns["name"], bare());
        let town = &known.columns["town"];
        assert_eq!((town.min.clone(), town.frequent.len()), (Some(StatisticValue::Text("ann".to_owned())), 1));
        assert_eq!(known.columns["age"], ColumnStatistics { width: Some(8.0), ..ColumnStatistics::default() });
    }

    fn bare() -> ColumnStatistics {
        let (distinct, nulls, width) = (Some(90), Some(10), Some(20.0));
        ColumnStatistics { distinct, nulls, width, ..ColumnStatistics::default() }
    }
}
