//! The origin of a column's values: the number and the range of the values in the port before rows are filtered, and the
//! rows of other ports that a value determines.
//!
//! A join of two filtered inputs keeps `1 / (values before filters)` of the pairs, as in PostgreSQL's `eqjoinsel`: the
//! row count of each side already includes the filters. A grouping by a key makes no more groups for columns that the
//! key determines.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column;

/// The rows of a scan or of an aggregate. A value of a key determines one of them.
#[derive(Debug)]
pub(crate) struct Relation {
    /// Rows before filters.
    pub(crate) rows: f64,
}

/// The origin of a column's values.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The number of distinct values before rows are filtered.
    pub(crate) domain: f64,
    /// True if the number of values is unknown. Then `domain` is the number of rows.
    pub(crate) assumed: bool,
    /// The smallest and the largest number before rows are filtered.
    pub(crate) range: Option<(f64, f64)>,
    /// True if the rows were counted: their values are known, and nothing is assumed about the choice of a filter.
    pub(crate) counted: bool,
    pub(crate) relation: Arc<Relation>,
    /// The relations whose row a value of this column determines: its own relation if the column is a key, and the
    /// relations that are joined to it by their key.
    pub(crate) determines: Vec<Arc<Relation>>,
}

/// The largest number of determined relations that a column keeps.
const MAX_DETERMINED: usize = 32;

/// True if a relation is in a list.
pub(crate) fn contains(list: &[Arc<Relation>], relation: &Arc<Relation>) -> bool {
    list.iter().any(|r| Arc::ptr_eq(r, relation))
}

/// Records that `from` equals `to` in each row. Then `from` determines the relations that `to` determines. So does
/// every column that determines the row of `from`.
pub(crate) fn equate(origins: &mut HashMap<Column, Origin>, from: &Column, to: &Column) {
    let (Some(target), Some(source)) = (origins.get(to), origins.get(from)) else { return };
    let gained = target.determines.clone();
    if gained.is_empty() {
        return;
    }
    let relation = source.relation.clone();
    for (column, origin) in origins.iter_mut() {
        if column == from || contains(&origin.determines, &relation) {
            for relation in &gained {
                if origin.determines.len() < MAX_DETERMINED && !contains(&origin.determines, relation) {
                    origin.determines.push(relation.clone());
                }
            }
        }
    }
}
