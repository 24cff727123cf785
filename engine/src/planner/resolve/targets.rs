//! The names of the tables, views and ports that a statement creates or changes.

use portolan_catalog::PortRef;
use sqlparser::ast::ObjectName;

use super::change::{Scope, Target, parts, reference};
use super::table_names::unknown;
use crate::names::{RESERVED_CATALOG, SESSION_SCHEMA};
use crate::state::tables::{NUMBERED, unknown as unknown_table};
use crate::{Error, ErrorKind, Result};

impl Scope<'_> {
    /// Returns the table or port to which an INSERT adds rows.
    pub(super) fn target(&self, name: &ObjectName) -> Result<Target> {
        let parts = parts(name)?;
        self.no_view(&parts, "INSERT")?;
        if let Some(table) = self.own(&parts)
            && (parts.len() > 1 || self.session.tables.contains_key(&table))
        {
            self.session.tables.get(&table).ok_or_else(|| unknown_table(&table, &self.session.tables))?;
            return Ok(Target::Session(table));
        }
        let table = parts.last().cloned().unwrap_or_default();
        let (domain, product) = match parts.as_slice() {
            [domain, product, _] => (Some(domain.clone()), Some(product.clone())),
            [product, _] => (self.session.catalog.clone(), Some(product.clone())),
            _ => (self.session.catalog.clone(), self.session.schema.clone()),
        };
        let (Some(domain), Some(product)) = (domain, product) else {
            return Err(unknown_table(&table, &self.session.tables));
        };
        if domain == RESERVED_CATALOG {
            let what = format!("`{name}` is a table of the node: it accepts no rows");
            return Err(Error::new(ErrorKind::PermissionDenied, what));
        }
        let port = PortRef::new(domain, product, &table);
        match self.mesh.port(&port) {
            Some(_) => Ok(Target::Port(port)),
            None => Err(unknown(&reference(&parts), self.mesh)),
        }
    }

    /// Returns the name of the session's table that these parts can refer to, if any. Two parts mean the same as in a
    /// query: with a current domain, they name one of its products.
    pub(super) fn own(&self, parts: &[String]) -> Option<String> {
        let here = self.session.catalog.as_deref().is_none_or(|catalog| catalog == RESERVED_CATALOG);
        match parts {
            [table] => Some(table.clone()),
            [schema, table] if here && schema == SESSION_SCHEMA => Some(table.clone()),
            [catalog, schema, table] if catalog == RESERVED_CATALOG && schema == SESSION_SCHEMA => Some(table.clone()),
            _ => None,
        }
    }

    /// Returns the name of a table or a view that the session will create.
    pub(super) fn new_name(&self, name: &ObjectName) -> Result<String> {
        self.own(&parts(name)?).ok_or_else(|| {
            Error::new(
                ErrorKind::PermissionDenied,
                format!(
                    "`{name}` cannot be created: domains publish their ports themselves; to create a table or a view \
                     of the session, leave out the domain and the product"
                ),
            )
        })
    }

    /// Rejects the name of a view, whose rows no statement changes.
    fn no_view(&self, parts: &[String], verb: &str) -> Result<()> {
        let Some(name) = self.own(parts).filter(|name| self.session.views.contains_key(name)) else { return Ok(()) };
        let what = match verb {
            "DROP TABLE" => format!("`{name}` is a view: use DROP VIEW"),
            _ => format!("{verb} cannot change the view `{name}`: change the tables that it reads"),
        };
        Err(Error::new(ErrorKind::InvalidQuery, what))
    }

    /// Returns the name of one of the session's tables. With `may_lack`, the table need not exist.
    pub(super) fn own_table(&self, name: &ObjectName, verb: &str, may_lack: bool) -> Result<String> {
        let parts = parts(name)?;
        self.no_view(&parts, verb)?;
        let own = self.own(&parts);
        if let Some(table) = own.clone().filter(|table| may_lack || self.session.tables.contains_key(table)) {
            return Ok(table);
        }
        let port = match (parts.as_slice(), &self.session.catalog) {
            ([domain, product, port], _) => Some(PortRef::new(domain, product, port)),
            ([product, port], Some(domain)) => Some(PortRef::new(domain, product, port)),
            _ => None,
        };
        if port.is_some_and(|port| self.mesh.port(&port).is_some()) {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("{verb} cannot change the port `{name}`: only its domain changes its rows"),
            ));
        }
        if own.is_none() && may_lack {
            // No table of a session has such a name.
            return Ok(format!("{name}{NUMBERED}"));
        }
        let table = parts.last().cloned().unwrap_or_default();
        Err(unknown_table(&table, &self.session.tables))
    }
}
