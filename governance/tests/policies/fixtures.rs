//! The domain `sales` with its ports, callers, and an evaluator of conditions on rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_schema::{DataType, TimeUnit};
use portolan_catalog::{Column, DomainCatalog, Port, PortRef, ProductName};
use portolan_governance::{
    Action, Caller, Comparison, Condition, Decision, Governed, LayerFiles, Literal, Operand, PatternPart, Policies,
    PolicyFiles, Report, SourceFile,
};

/// A row: the values of columns that are not NULL.
pub type Row = BTreeMap<&'static str, Literal>;

/// 2026-01-01T00:00:00Z.
pub const NEW_YEAR: u64 = 1_767_225_600;

pub fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

pub fn orders() -> PortRef {
    PortRef::new("sales", "orders", "orders")
}

pub fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    let mut column = Column::new(name).with_type(data_type);
    column.nullable = nullable;
    column
}

/// The domain: `sales.orders` with the ports `orders` and `order-items`, and `sales.people` with `customers`.
pub fn catalog() -> DomainCatalog {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut email = column("email", DataType::Utf8, true);
    email.classification = Some("restricted".into());
    let mut phone = column("phone", DataType::Utf8, true);
    phone.tags = vec!["pii".into()];
    let orders = Port::new(orders()).with_columns([
        column("id", DataType::Int64, false),
        column("region", DataType::Utf8, true),
        column("amount", DataType::Int32, true),
        column("open", DataType::Boolean, true),
        column("day", DataType::Date32, true),
        column("placed", utc, true),
        column("price", DataType::Decimal128(12, 2), true),
        column("weight", DataType::Float64, true),
        email,
        phone,
    ]);
    let items = Port::new(PortRef::new("sales", "orders", "order-items"))
        .with_columns([column("id", DataType::Int64, false), column("sku", DataType::Utf8, true)]);
    let mut customers = Port::new(PortRef::new("sales", "people", "customers"))
        .with_columns([column("id", DataType::Int64, false), column("name", DataType::Utf8, true)]);
    customers.tags = vec!["finance".into()];
    let mut catalog = DomainCatalog::new("sales", [orders, items, customers]);
    for product in catalog.products.values_mut() {
        product.owner = Some("team-a".into());
    }
    catalog
}

/// The policies of `sales.orders` and of the mesh.
pub fn files(product: &str, mesh: &str) -> PolicyFiles {
    let layer = |path: &str, text: &str| LayerFiles {
        policies: if text.is_empty() { vec![] } else { vec![SourceFile::new(path, text)] },
        ..LayerFiles::default()
    };
    let mut files = PolicyFiles { mesh: layer("mesh.cedar", mesh), ..PolicyFiles::default() };
    if !product.is_empty() {
        files.products.insert(ProductName::new("orders"), layer("orders.cedar", product));
    }
    files
}

pub fn resolve(product: &str, mesh: &str) -> (Policies, Report) {
    Policies::new(&catalog(), &files(product, mesh))
}

/// Resolves policies that must have no errors.
pub fn policies(product: &str, mesh: &str) -> Policies {
    let (policies, report) = resolve(product, mesh);
    assert_eq!(report.errors, [], "{product}\n{mesh}");
    policies
}

/// Decides whether a caller may read `sales.orders.orders`.
pub fn read(policies: &Policies, caller: &Caller) -> Decision {
    policies.decide(caller, &orders(), Action::Read, at(NEW_YEAR))
}

pub fn governed(decision: &Decision) -> Arc<Governed> {
    match decision {
        Decision::Governed(governed) => governed.clone(),
        other => panic!("expected rows, got {other:?}"),
    }
}

/// True if the decision shows the row.
pub fn shows(decision: &Decision, row: &Row) -> bool {
    match decision {
        Decision::Open => true,
        Decision::Closed(_) | Decision::Denied(_) => false,
        Decision::Governed(governed) => {
            governed.filter.as_ref().is_none_or(|filter| evaluate(filter, row) == Some(true))
        }
    }
}

pub fn text(value: &str) -> Literal {
    Literal::String(value.into())
}

/// Evaluates a condition on a row in three-valued logic.
pub fn evaluate(condition: &Condition, row: &Row) -> Option<bool> {
    let value = |operand: &Operand| match operand {
        Operand::Column(name) => row.get(name.as_str()).cloned(),
        Operand::Literal(literal) => Some(literal.clone()),
    };
    match condition {
        Condition::Constant(value) => *value,
        Condition::Compare { left, op, right } => {
            let (left, right) = (value(left)?, value(right)?);
            assert_eq!(std::mem::discriminant(&left), std::mem::discriminant(&right), "{condition:?}");
            Some(match op {
                Comparison::Eq => left == right,
                Comparison::NotEq => left != right,
                Comparison::Less => left < right,
                Comparison::LessEq => left <= right,
                Comparison::Greater => left > right,
                Comparison::GreaterEq => left >= right,
            })
        }
        Condition::In { column, values } => row.get(column.as_str()).map(|value| values.contains(value)),
        Condition::Like { column, pattern } => match row.get(column.as_str())? {
            Literal::String(text) => Some(like(text, pattern)),
            other => panic!("{other:?} is no string"),
        },
        Condition::IsPresent(column) => Some(row.contains_key(column.as_str())),
        Condition::And(parts) => kleene(parts, row, false),
        Condition::Or(parts) => kleene(parts, row, true),
        Condition::Not(inner) => evaluate(inner, row).map(|value| !value),
        // The tests use only `true`, `false` and `null`.
        Condition::Sql(sql) => match sql.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            "null" => None,
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Returns `decisive` if a part is, or else NULL if a part is, or else the other value.
fn kleene(parts: &[Condition], row: &Row, decisive: bool) -> Option<bool> {
    let values: Vec<_> = parts.iter().map(|part| evaluate(part, row)).collect();
    if values.contains(&Some(decisive)) {
        Some(decisive)
    } else if values.contains(&None) {
        None
    } else {
        Some(!decisive)
    }
}

fn like(text: &str, pattern: &[PatternPart]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [PatternPart::Text(part), rest @ ..] => text.strip_prefix(part.as_str()).is_some_and(|text| like(text, rest)),
        [PatternPart::Any, rest @ ..] => {
            let ends = text.char_indices().map(|(i, _)| i).chain([text.len()]);
            ends.into_iter().any(|i| like(&text[i..], rest))
        }
    }
}
