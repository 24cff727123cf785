//! A governed port in a plan, while DataFusion's optimizer runs: a leaf that takes the columns that are read, and the
//! conditions that cannot reveal a hidden row. The planner puts the port's policies in its place afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, Operator, TableProviderFilterPushDown, TableScan, TableSource,
};
use portolan_catalog::PortRef;
use portolan_governance::{ColumnRule, Governed, Mask};

use crate::encode::keys::InKeys;
use crate::names::PortTable;
use crate::planner::infallible::never_fails;

/// A port of this node, as a principal may see it. It has no rows to scan: a plan with it cannot run.
pub(crate) struct GovernedPort {
    pub(crate) name: PortRef,
    /// All rows and columns of the port.
    pub(crate) rows: LogicalPlan,
    pub(crate) decision: Arc<Governed>,
    schema: SchemaRef,
    /// The columns that conditions may read below the barrier: those that are neither hidden nor masked, and whose
    /// computation fails for no row. Empty if the node lets no conditions below.
    plain: BTreeSet<String>,
}

impl GovernedPort {
    /// Returns the port with these rows, as a decision lets a principal see it.
    ///
    /// If `is_strict`, conditions may read no column below the barrier.
    pub(crate) fn new(name: PortRef, rows: LogicalPlan, decision: Arc<Governed>, is_strict: bool) -> Self {
        let rule = |column: &str| decision.rule(column);
        let fields = rows.schema().fields().iter().map(|field| {
            let nulls =
                matches!(rule(field.name()), Some(ColumnRule::Masked(Mask::ReplaceWithNull) | ColumnRule::Hidden));
            if nulls { Arc::new(field.as_ref().clone().with_nullable(true)) } else { field.clone() }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut plain = safe_columns(&rows);
        plain.retain(|name| !is_strict && rule(name).is_none());
        Self { plain, schema, name, rows, decision }
    }

    /// Returns the governed port that a scan reads, if it reads one.
    pub(crate) fn with_scanned<T>(scan: &TableScan, read: impl FnOnce(&Self) -> T) -> Option<T> {
        scan.source.downcast_ref::<Self>().map(read)
    }

    /// True if a condition cannot reveal a hidden row or a masked value: it compares single visible columns with
    /// constants of their types, or with keys, so that it fails for no value.
    fn is_leak_proof(&self, expr: &Expr) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_leak_proof(left) && self.is_leak_proof(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if COMPARISONS.contains(op) => {
                self.compares(left, [right.as_ref()]) || self.compares(right, [left.as_ref()])
            }
            Expr::Between(between) => self.compares(&between.expr, [between.low.as_ref(), between.high.as_ref()]),
            Expr::InList(list) => self.compares(&list.expr, &list.list),
            Expr::IsNull(column) | Expr::IsNotNull(column) => self.compares(column, []),
            Expr::Not(inner) => self.is_leak_proof(inner),
            Expr::ScalarFunction(call) => {
                InKeys::of(call).is_some() && call.args.iter().all(|column| self.compares(column, []))
            }
            _ => false,
        }
    }

    /// True if an expression is a column that conditions may read, and all values are constants of its type.
    fn compares<'a>(&self, column: &Expr, values: impl IntoIterator<Item = &'a Expr>) -> bool {
        let Expr::Column(column) = column else { return false };
        let Ok(field) = self.schema.field_with_name(&column.name) else { return false };
        let fits = |value: &Expr| matches!(value, Expr::Literal(value, _) if value.data_type() == *field.data_type());
        self.plain.contains(&column.name) && values.into_iter().all(fits)
    }
}

/// Returns the columns whose computation fails for no row. DataFusion or a database may evaluate a condition on another
/// column before the policies, and fail for a hidden row.
fn safe_columns(rows: &LogicalPlan) -> BTreeSet<String> {
    let names = rows.schema().fields().iter().map(|field| field.name());
    match rows {
        LogicalPlan::TableScan(scan) => names.filter(|name| stores(scan, name)).cloned().collect(),
        query if computes_safely(query) => names.cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// True if a scan reads a column as it is stored. The rows of a table that is no port are in this process.
fn stores(scan: &TableScan, column: &str) -> bool {
    PortTable::with_scanned(scan, |port| port.stores(column)) != Some(false)
}

/// True if no operator of the query of a derived port fails for a row. An aggregate may overflow.
fn computes_safely(query: &LogicalPlan) -> bool {
    let mut is_safe = true;
    let walked = query.apply_with_subqueries(|operator| {
        is_safe &= match operator {
            LogicalPlan::TableScan(scan) => scan.projected_schema.fields().iter().all(|f| stores(scan, f.name())),
            LogicalPlan::Aggregate(aggregate) if !aggregate.aggr_expr.is_empty() => false,
            operator => {
                let schema = merge_schema(&operator.inputs());
                let mut all = true;
                operator.apply_expressions(|expr| {
                    all &= never_fails(expr, &schema);
                    Ok(TreeNodeRecursion::Continue)
                })?;
                all
            }
        };
        Ok(if is_safe { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && is_safe
}

const COMPARISONS: [Operator; 6] =
    [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];

impl TableSource for GovernedPort {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.is_leak_proof(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use arrow::datatypes::{DataType, Field};
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit, table_scan};
    use portolan_governance::Reasons;

    use super::*;

    fn port(is_strict: bool) -> GovernedPort {
        let columns = Schema::new(["id", "salary"].map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        let rows: LogicalPlanBuilder = table_scan(Some("people"), &columns, None).unwrap();
        let decision = Governed {
            filter: None,
            columns: BTreeMap::from([("salary".to_owned(), ColumnRule::Hidden)]),
            known: ["id", "salary"].map(str::to_owned).into(),
            version: String::new(),
            valid_until: None,
            reasons: Reasons::default(),
        };
        GovernedPort::new(PortRef::new("hr", "p", "people"), rows.build().unwrap(), Arc::new(decision), is_strict)
    }

    #[test]
    fn a_strict_port_takes_no_condition() {
        use TableProviderFilterPushDown::{Exact, Unsupported};
        let conditions = [
            col("id").eq(lit(3_i64)),
            col("id").is_not_null(),
            col("id").in_list(vec![lit(3_i64), lit(4_i64)], false),
            col("id").between(lit(3_i64), lit(4_i64)).and(!col("id").eq(lit(5_i64))),
        ];
        let conditions: Vec<&Expr> = conditions.iter().collect();
        assert_eq!(port(false).supports_filters_pushdown(&conditions).unwrap(), [Exact, Exact, Exact, Exact]);
        assert_eq!(
            port(true).supports_filters_pushdown(&conditions).unwrap(),
            [Unsupported, Unsupported, Unsupported, Unsupported]
        );
        let of_hidden = col("salary").eq(lit(3_i64));
        assert_eq!(port(false).supports_filters_pushdown(&[&of_hidden]).unwrap(), [Unsupported]);
    }
}
