//! Where a column's values come from: how many its port has before rows are filtered, and which rows of other ports
//! a value determines.
//!
//! A join of two filtered inputs keeps `1 / (values before filters)` of the pairs, as PostgreSQL's `eqjoinsel` has it:
//! each side's filters are counted in its rows already. And a group by a key makes no more groups for what the key
//! determines.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column;

/// A port as it is scanned once in a plan.
#[derive(Debug)]
pub(crate) struct Relation {
    /// Rows before filters.
    pub(crate) rows: f64,
}

/// Where a column's values come from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// How many different values there are before rows are filtered.
    pub(crate) domain: f64,
    /// Whether nobody knows the number of values; `domain` is the number of rows then.
    pub(crate) assumed: bool,
    pub(crate) relation: Arc<Relation>,
    /// The relations of which a value of this column determines the row: its own where it is a key, and those that it
    /// is joined to by their key.
    pub(crate) determines: Vec<Arc<Relation>>,
}

/// More determined relations than this are not remembered.
const MOST_DETERMINED: usize = 32;

/// Whether a relation is in a list.
pub(crate) fn determines(list: &[Arc<Relation>], relation: &Arc<Relation>) -> bool {
    list.iter().any(|r| Arc::ptr_eq(r, relation))
}

/// Notes that `from` equals `to` in each row: what `to` determines, every column determines that determines the row of
/// `from`, and `from` itself.
pub(crate) fn equate(origins: &mut HashMap<Column, Origin>, from: &Column, to: &Column) {
    let (Some(target), Some(source)) = (origins.get(to), origins.get(from)) else { return };
    let gained = target.determines.clone();
    if gained.is_empty() {
        return;
    }
    let relation = source.relation.clone();
    for (column, origin) in origins.iter_mut() {
        if column == from || determines(&origin.determines, &relation) {
            for relation in &gained {
                if origin.determines.len() < MOST_DETERMINED && !determines(&origin.determines, relation) {
                    origin.determines.push(relation.clone());
                }
            }
        }
    }
}
