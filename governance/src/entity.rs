//! Names and types of entities: ports, columns and their ancestors, as policies name them.

use std::collections::BTreeSet;

use arrow_schema::{DataType, TimeUnit};
use portolan_catalog::{Column, Port, PortRef, Product};

/// The type of principals.
pub(crate) const USER: &str = "User";
/// The type of columns.
pub(crate) const COLUMN: &str = "Column";
/// The types of entities that are no requests' resources, and `Column`.
pub(crate) const OWN_TYPES: [&str; 8] = [USER, "Group", "Domain", "Product", "Port", "Tag", "Classification", COLUMN];

/// Words that are no identifiers in Cedar.
const RESERVED: [&str; 9] = ["true", "false", "if", "then", "else", "in", "is", "like", "has"];

/// The kind of a column whose values Cedar can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// Cedar's `Bool`: Booleans.
    Bool,
    /// Cedar's `Long`: signed integers, and unsigned integers up to 32 bits.
    Long,
    /// Cedar's `String`: strings.
    String,
    /// Cedar's `datetime`: dates, as their midnight in UTC.
    Date,
    /// Cedar's `datetime`: timestamps with a time zone, in milliseconds or microseconds. Others have no exact instant,
    /// or a range that is smaller or larger.
    Timestamp,
    /// Cedar's `decimal`: decimals with at most four places and at most 14 digits before the point.
    Decimal,
}

impl ColumnKind {
    /// Returns the kind of a type, or `None` if Cedar has no type for it. `@row_filter` can compare such columns.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Long,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Self::Long,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::String,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, Some(_)) => Self::Timestamp,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale)
                if (0..=4).contains(scale) && i16::from(*precision) - i16::from(*scale) <= 14 =>
            {
                Self::Decimal
            }
            DataType::Dictionary(_, values) => return Self::of(values),
            DataType::RunEndEncoded(_, values) => return Self::of(values.data_type()),
            _ => return None,
        })
    }

    /// Returns the kind of a column. Until the source is open, the contract's type stands in: the port cannot be read.
    pub(crate) fn of_column(column: &Column) -> Option<Self> {
        match &column.data_type {
            Some(data_type) => Self::of(data_type),
            None => match column.logical_type.as_deref() {
                Some("string") => Some(Self::String),
                Some("integer") => Some(Self::Long),
                Some("boolean") => Some(Self::Bool),
                Some("date") => Some(Self::Date),
                _ => None,
            },
        }
    }
}

/// An entity: a type and an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntityName {
    /// The type.
    pub(crate) ty: String,
    /// The id.
    pub(crate) id: String,
}

impl EntityName {
    /// Returns the entity of this type and id.
    pub(crate) fn new(ty: impl Into<String>, id: impl Into<String>) -> Self {
        Self { ty: ty.into(), id: id.into() }
    }
}

/// Returns the Cedar type of a port: `domain::product::port`.
///
/// Each part that is a Cedar identifier stays as it is. In others, each character that an identifier may not have is
/// replaced by `__u`, its code in hexadecimal digits, and `_`: the port `order-items` becomes `order__u2d_items`. A
/// leading digit, the first letter of a reserved word and of `__cedar`, and the `_` before `_u` are replaced in the same
/// way, so that different names have different types. A port that is called as one of the schema's own types, such as
/// `Port`, counts as reserved.
///
/// `resource in Port::"domain.product.port"` names the same port without its type.
pub fn entity_type(port: &PortRef) -> String {
    let (domain, product) = (escape(port.domain.as_str(), &[]), escape(port.product.as_str(), &[]));
    format!("{domain}::{product}::{}", escape(port.port.as_str(), &OWN_TYPES))
}

fn escape(name: &str, own_types: &[&str]) -> String {
    let is_reserved =
        RESERVED.contains(&name) || own_types.contains(&name) || name == "Action" || name.starts_with("__cedar");
    let mut escaped = String::with_capacity(name.len());
    for (i, (at, c)) in name.char_indices().enumerate() {
        let is_first = i == 0 && (is_reserved || c.is_ascii_digit());
        let starts_escape = c == '_' && name[at..].starts_with("__u");
        if (c.is_ascii_alphanumeric() || c == '_') && !is_first && !starts_escape {
            escaped.push(c);
        } else {
            escaped.push_str(&format!("__u{:x}_", u32::from(c)));
        }
    }
    escaped
}

/// Returns the ancestors of a port: itself as `Port`, its product, its domain, and the tags of both.
pub(crate) fn port_ancestors(product: &Product, port: &Port) -> BTreeSet<EntityName> {
    let PortRef { domain, product: product_name, .. } = &port.name;
    let tags = product.tags.iter().chain(&port.tags).map(|tag| EntityName::new("Tag", tag));
    [
        EntityName::new("Domain", domain.as_str()),
        EntityName::new("Product", format!("{domain}.{product_name}")),
        EntityName::new("Port", port.name.to_string()),
    ]
    .into_iter()
    .chain(tags)
    .collect()
}

/// Returns the ancestors of a column: its port, product and domain, its own tags and its classification.
pub(crate) fn column_ancestors(port: &PortRef, column: &Column) -> BTreeSet<EntityName> {
    let PortRef { domain, product, .. } = port;
    let tags = column.tags.iter().map(|tag| EntityName::new("Tag", tag));
    [
        EntityName::new("Domain", domain.as_str()),
        EntityName::new("Product", format!("{domain}.{product}")),
        EntityName::new("Port", port.to_string()),
    ]
    .into_iter()
    .chain(tags)
    .chain(column.classification.iter().map(|name| EntityName::new("Classification", name)))
    .collect()
}

/// Returns a column as an entity.
pub(crate) fn column_entity(port: &PortRef, column: &str) -> EntityName {
    EntityName::new(COLUMN, format!("{port}.{column}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn types_of_ports() {
        let of = |port: &str| entity_type(&PortRef::new("sales", "orders", port));
        assert_eq!(of("orders"), "sales::orders::orders");
        assert_eq!(of("tax_uref"), "sales::orders::tax_uref");
        assert_eq!(of("order-items"), "sales::orders::order__u2d_items");
        assert_eq!(of("2024"), "sales::orders::__u32_024");
        assert_eq!(of("in"), "sales::orders::__u69_n");
        assert_eq!(of("Port"), "sales::orders::__u50_ort");
        assert_eq!(of("größe 1"), "sales::orders::gr__uf6___udf_e__u20_1");
        assert_eq!(entity_type(&PortRef::new("if", "a b", "c")), "__u69_f::a__u20_b::c");
    }

    #[test]
    fn different_names_have_different_types() {
        let alphabet = ['_', 'u', '2', 'd', '-', 'i', 'n'];
        let mut seen = std::collections::HashMap::new();
        for length in 1..=6_u32 {
            for n in 0..7_usize.pow(length) {
                let name: String = (0..length).map(|i| alphabet[n / 7_usize.pow(i) % 7]).collect();
                let escaped = escape(&name, &[]);
                assert!(escaped.parse::<cedar_policy::EntityTypeName>().is_ok(), "{escaped}");
                if let Some(other) = seen.insert(escaped.clone(), name.clone()) {
                    panic!("{name} and {other} are both {escaped}");
                }
            }
        }
    }

    #[test]
    fn kinds_of_types() {
        let kind = |data_type: DataType| ColumnKind::of(&data_type);
        assert_eq!(kind(DataType::UInt32), Some(ColumnKind::Long));
        assert_eq!(kind(DataType::UInt64), None);
        assert_eq!(kind(DataType::Float64), None);
        assert_eq!(kind(DataType::Decimal128(18, 4)), Some(ColumnKind::Decimal));
        assert_eq!(kind(DataType::Decimal128(18, 2)), None, "16 digits before the point");
        assert_eq!(kind(DataType::Decimal128(12, 5)), None);
        assert_eq!(kind(DataType::Decimal128(5, -2)), None);
        assert_eq!(kind(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), Some(ColumnKind::Timestamp));
        assert_eq!(kind(DataType::Timestamp(TimeUnit::Microsecond, None)), None);
        assert_eq!(kind(DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))), None);
        assert_eq!(kind(DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())), Some(ColumnKind::String));
    }
}
