//! The policies of a node: all rules and agreements, resolved to the ports and columns of the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cedar_policy::Schema;
use portolan_catalog::{Place, PortRef, ProductName};

use crate::agreement::Agreement;
use crate::entity::EntityName;
use crate::mask_key::MaskKey;
use crate::rule::Rule;
use crate::schema::Columns;

/// The policies of a domain and of the mesh, resolved for one version of the catalog. They decide for every port of the
/// domain. They are immutable: a node replaces them as a whole.
///
/// Ports whose policies have errors are closed to everybody. Ports of other products are not affected. An error in the
/// syntax of a mesh policy closes all ports.
#[derive(Debug)]
pub struct Policies {
    pub(crate) version: String,
    pub(crate) rules: Vec<Rule>,
    /// The rules of each product that has files.
    pub(crate) product_rules: BTreeMap<ProductName, Range<usize>>,
    /// The rules of the mesh.
    pub(crate) mesh_rules: Range<usize>,
    pub(crate) agreements: Vec<Agreement>,
    pub(crate) ports: BTreeMap<PortRef, PortEntry>,
    pub(crate) column_schema: Option<Schema>,
    pub(crate) mask_key: Option<MaskKey>,
}

/// A port, with the rules about it.
#[derive(Debug)]
pub(crate) struct PortEntry {
    pub(crate) entity: EntityName,
    pub(crate) ancestors: BTreeSet<EntityName>,
    pub(crate) columns: Columns,
    /// The schema of requests. `None` if the port has no rules.
    pub(crate) schema: Option<Schema>,
    /// The owner, for messages.
    pub(crate) owner: Option<String>,
    /// True if the types of all columns are known: the source was opened.
    pub(crate) is_opened: bool,
    /// True if the product has a policy or an agreement.
    pub(crate) has_product_layer: bool,
    /// True if the mesh has a permit or an agreement for the port.
    pub(crate) has_mesh_permit: bool,
    /// The rules whose scopes admit the port.
    pub(crate) rules: Vec<usize>,
    pub(crate) agreements: Vec<usize>,
    /// The columns that some rule may match, by class.
    pub(crate) classes: Vec<ColumnClass>,
    /// The reason for which nobody has access, if the policies have errors.
    pub(crate) closed: Option<String>,
}

/// Columns of a port that the same rules match: with the same tags and classification, or one that a rule names.
#[derive(Debug)]
pub(crate) struct ColumnClass {
    pub(crate) columns: Vec<String>,
    /// One of the columns, as an entity.
    pub(crate) entity: EntityName,
    pub(crate) ancestors: BTreeSet<EntityName>,
    /// The rules whose scopes admit the columns.
    pub(crate) rules: Vec<usize>,
}

impl Policies {
    /// Returns the version: a digest of all policies and of the columns that they are about.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the key for `hmac-sha-256`, if the node has one.
    pub fn mask_key(&self) -> Option<&MaskKey> {
        self.mask_key.as_ref()
    }

    /// Returns the ports to which everybody has access by default: the product has no policy and no agreement, and the
    /// mesh has no permit.
    pub fn ungoverned(&self) -> impl Iterator<Item = &PortRef> {
        let is_ungoverned =
            |entry: &PortEntry| !entry.has_product_layer && !entry.has_mesh_permit && entry.closed.is_none();
        self.ports.iter().filter(move |(_, entry)| is_ungoverned(entry)).map(|(name, _)| name)
    }

    /// True if any rule or agreement is about a port, or if it is closed: not everybody sees all of it.
    pub fn is_governed(&self, port: &PortRef) -> bool {
        self.ports.get(port).is_some_and(|entry| {
            entry.has_product_layer
                || entry.has_mesh_permit
                || entry.closed.is_some()
                || !entry.rules.is_empty()
                || !entry.classes.is_empty()
        })
    }

    /// Returns the ports that are closed because their policies have errors.
    pub fn closed(&self) -> impl Iterator<Item = &PortRef> {
        self.ports.iter().filter(|(_, entry)| entry.closed.is_some()).map(|(name, _)| name)
    }

    /// Returns the rules with a `@row_filter`, each as its port, its place and the text, for the engine to check.
    pub fn row_filters(&self) -> impl Iterator<Item = (&PortRef, &Place, &str)> {
        self.ports.iter().flat_map(|(name, entry)| {
            let rules = entry.rules.iter().map(|i| &self.rules[*i]);
            rules.filter_map(move |rule| Some((name, &rule.place, rule.row_filter.as_deref()?)))
        })
    }
}
