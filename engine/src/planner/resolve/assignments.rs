//! The settings that SET and USE change, with their new values.

use portolan_catalog::nearest::nearest;
use portolan_catalog::{DomainName, MeshSnapshot};
use portolan_connectors::Subject;
use sqlparser::ast::{Expr, Use, Value};

use crate::names::{MESH_SCHEMA, RESERVED_CATALOG, SESSION_SCHEMA};
use crate::{Error, ErrorKind, Result};

/// A setting and its new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The setting.
    pub(crate) name: String,
    /// Its new value, as text; `None` for its default.
    pub(crate) value: Option<String>,
}

/// Returns the current catalog and schema that `USE` sets. If it names only a catalog, the schema is reset, because the
/// old schema may not be in that catalog.
pub(super) fn current(used: &Use, mesh: &MeshSnapshot) -> Result<Vec<Assignment>> {
    let parts: Option<Vec<&str>> = match used {
        Use::Object(name) => name.0.iter().map(|part| Some(part.as_ident()?.value.as_str())).collect(),
        _ => None,
    };
    let (catalog, schema) = match parts.as_deref() {
        Some([catalog]) => (catalog, None),
        Some([catalog, schema]) => {
            known_schema(catalog, schema, mesh)?;
            (catalog, Some((*schema).to_owned()))
        }
        _ => return Err(Error::new(ErrorKind::InvalidQuery, "USE takes a domain, or `domain.product`")),
    };
    Ok(vec![
        Assignment { name: "catalog".to_owned(), value: Some((*catalog).to_owned()) },
        Assignment { name: "schema".to_owned(), value: schema },
    ])
}

/// Rejects a schema that a catalog does not have. The code that sets the catalog rejects an unknown catalog.
pub(super) fn known_schema(catalog: &str, schema: &str, mesh: &MeshSnapshot) -> Result<()> {
    let products: Vec<&str> = match mesh.domains.get(&DomainName::new(catalog)) {
        Some(entry) => entry.catalog.products.keys().map(|name| name.as_str()).collect(),
        None if catalog == RESERVED_CATALOG => vec![SESSION_SCHEMA],
        None => return Ok(()),
    };
    let schemas = || products.iter().copied().chain([MESH_SCHEMA]);
    if schemas().any(|name| name == schema) {
        return Ok(());
    }
    let near = nearest(schema, schemas()).map(|near| format!("{catalog}.{near}"));
    let what = if catalog == RESERVED_CATALOG { ("catalog", "schema") } else { ("domain", "product") };
    let error = Error::new(ErrorKind::NotFound, format!("{} `{catalog}` has no {} `{schema}`", what.0, what.1));
    Err(error.suggesting(near).about(Some(Subject::Name(schema.to_owned()))))
}

/// Returns a setting's value as text, without quotes.
pub(super) fn literal(value: &Expr) -> String {
    match value {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => s.clone(),
            other => other.to_string(),
        },
        Expr::Identifier(ident) => ident.value.clone(),
        other => other.to_string(),
    }
}
