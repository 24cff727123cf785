//! The size that expressions have when planning has written them out. DataFusion 55.2 repeats the operands of some
//! operators: of `coalesce(x, y)` it makes `CASE WHEN x IS NOT NULL THEN x ELSE y END`. In one another, such operators
//! multiply their operands at each level.

use std::cell::OnceCell;
use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::scalar::ScalarValue;

/// Functions that DataFusion replaces with a `CASE`, which has all arguments but the last one twice.
const COALESCING: &[&str] = &["coalesce", "ifnull", "nvl"];
/// Functions whose argument DataFusion compares with both ends of a range, instead of the result with a constant.
const OF_RANGES: &[&str] = &["date_part", "floor"];
/// The largest number of uses of such an argument.
const MOST_USES_IN_RANGE: u64 = 3;
/// The number of branches from which on DataFusion does not write a boolean `CASE` with `AND` and `OR`, unless its
/// results are constants.
const BRANCHES_OF_CASE: usize = 3;

/// The size of an expression, in operators, columns and constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpressionSize {
    /// The size as the expression is now.
    now: u64,
    /// The size when planning has written out the expression.
    pub(crate) written_out: u64,
}

impl ExpressionSize {
    /// Returns the number of parts that planning adds.
    pub(crate) fn copies(self) -> u64 {
        self.written_out.saturating_sub(self.now)
    }
}

/// An operator whose expressions are measured.
pub(crate) struct Measured<'a> {
    operator: &'a LogicalPlan,
    /// The sizes of its input's columns when they are written out. The size of other columns is 1.
    columns: &'a HashMap<Column, u64>,
    /// The columns of its inputs, with their types.
    schema: OnceCell<DFSchema>,
}

impl<'a> Measured<'a> {
    pub(crate) fn new(operator: &'a LogicalPlan, columns: &'a HashMap<Column, u64>) -> Self {
        Self { operator, columns, schema: OnceCell::new() }
    }

    /// Returns the size of an expression of the operator.
    pub(crate) fn size(&self, expr: &Expr) -> ExpressionSize {
        let written_out = match expr {
            Expr::Column(column) => self.columns.get(column).copied().unwrap_or(1),
            _ => 1,
        };
        let mut size = ExpressionSize { now: 1, written_out };
        let uses = self.uses(expr);
        let mut place = 0;
        // The visit has no errors.
        let _ = expr.apply_children(|operand| {
            let of_operand = self.size(operand);
            size.now = size.now.saturating_add(of_operand.now);
            let uses = uses.of_operand(place);
            size.written_out = size.written_out.saturating_add(of_operand.written_out.saturating_mul(uses));
            place += 1;
            Ok(TreeNodeRecursion::Continue)
        });
        size
    }

    fn uses(&self, expr: &Expr) -> Uses {
        match expr {
            Expr::Between(_) => Uses::FirstTwice,
            Expr::ScalarFunction(call) if COALESCING.contains(&call.name()) => Uses::TwiceButLast(call.args.len()),
            Expr::BinaryExpr(comparison) if is_of_range(comparison) => Uses::InRange,
            Expr::Case(case) if self.is_condition(case) => Uses::Branches(case.when_then_expr.len()),
            _ => Uses::Once,
        }
    }

    /// True for a `CASE` that DataFusion writes with `AND` and `OR`: its results are truth values, and there are few
    /// branches or constants alone.
    fn is_condition(&self, case: &Case) -> bool {
        if case.expr.is_some() {
            return false;
        }
        let results = || case.when_then_expr.iter().map(|(_, then)| then.as_ref());
        let is_constant = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Boolean(_) | ScalarValue::Null, _));
        if results().all(is_constant) {
            let is = |e: &Expr, wanted| matches!(e, Expr::Literal(ScalarValue::Boolean(Some(b)), _) if *b == wanted);
            let count = |wanted: bool| results().filter(|e| is(e, wanted)).count();
            return count(true).min(count(false)) < BRANCHES_OF_CASE;
        }
        case.when_then_expr.len() < BRANCHES_OF_CASE && results().all(|e| self.may_be_truth_value(e))
    }

    /// True if an expression is a truth value, or has no known type yet.
    fn may_be_truth_value(&self, expr: &Expr) -> bool {
        let schema = self.schema.get_or_init(|| match self.operator {
            LogicalPlan::TableScan(scan) => {
                let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema());
                schema.unwrap_or_else(|_| DFSchema::empty())
            }
            other => merge_schema(&other.inputs()),
        });
        matches!(expr.get_type(schema), Ok(DataType::Boolean | DataType::Null) | Err(_))
    }
}

/// How often each operand of an operator occurs when the operator is written out.
#[derive(Clone, Copy, Debug)]
enum Uses {
    Once,
    FirstTwice,
    /// Twice each, except for the last one of this number.
    TwiceButLast(usize),
    InRange,
    /// The operands are conditions and results by turns. A condition occurs once in each of the following branches.
    Branches(usize),
}

impl Uses {
    /// Returns the number of uses of the operand at this place.
    fn of_operand(self, place: usize) -> u64 {
        match self {
            Self::FirstTwice if place == 0 => 2,
            Self::TwiceButLast(operands) if place + 1 < operands => 2,
            Self::InRange => MOST_USES_IN_RANGE,
            Self::Branches(branches) if place < 2 * branches && place.is_multiple_of(2) => {
                (branches - place / 2 + 1) as u64
            }
            _ => 1,
        }
    }
}

/// True for a comparison of a function with a constant that DataFusion may write as a comparison with a range.
fn is_of_range(comparison: &BinaryExpr) -> bool {
    let is_equality = matches!(
        comparison.op,
        Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom
    );
    let is_call = |side: &Expr| matches!(side, Expr::ScalarFunction(call) if OF_RANGES.contains(&call.name()));
    is_equality && (is_call(&comparison.left) || is_call(&comparison.right))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::{Field, Schema};
    use datafusion::common::ToDFSchema;
    use datafusion::functions::expr_fn::{coalesce, floor, upper};
    use datafusion::logical_expr::{EmptyRelation, LogicalPlanBuilder, case, when};
    use datafusion::prelude::{col, lit};

    use super::*;

    /// Returns the size of an expression over `x`, `y` and `z`, truth values.
    fn size_over(expr: &Expr, columns: &HashMap<Column, u64>) -> ExpressionSize {
        let fields = ["x", "y", "z"].map(|name| Field::new(name, DataType::Boolean, true));
        let schema = Schema::new(fields.to_vec()).to_dfschema_ref().unwrap();
        let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema });
        let operator = LogicalPlanBuilder::from(rows).limit(0, None).unwrap().build().unwrap();
        Measured::new(&operator, columns).size(expr)
    }

    fn size(expr: &Expr) -> (u64, u64) {
        let size = size_over(expr, &HashMap::new());
        (size.now, size.written_out)
    }

    #[test]
    fn repeated_operands_count_for_each_use() {
        // x + 1
        assert_eq!(size(&(col("x") + lit(1))), (3, 3));
        // x + 1 BETWEEN 2 AND y
        assert_eq!(size(&(col("x") + lit(1)).between(lit(2), col("y"))), (6, 9));
        // coalesce(x, upper(y), z)
        assert_eq!(size(&coalesce(vec![col("x"), upper(col("y")), col("z")])), (5, 8));
        // floor(x) = 1
        assert_eq!(size(&floor(col("x")).eq(lit(1.0))), (4, 10));
        assert_eq!(size(&floor(col("x")).gt(lit(1.0))), (4, 4));
    }

    #[test]
    fn conditions_of_a_short_or_constant_case_count_for_each_use() {
        let two = |a, b| when(col("x"), a).when(col("y"), b).otherwise(lit(ScalarValue::Null)).unwrap();
        // CASE WHEN x THEN z WHEN y THEN x ELSE NULL END
        assert_eq!(size(&two(col("z"), col("x"))), (6, 9));
        assert_eq!(size(&two(lit(1), lit(2))), (6, 6));
        let three = |a, b, c| when(col("x"), a).when(col("y"), b).when(col("z"), c).otherwise(lit(false)).unwrap();
        assert_eq!(size(&three(lit(true), lit(false), lit(true))), (8, 14));
        assert_eq!(size(&three(lit(true), lit(false), col("x"))), (8, 8));
        // CASE x WHEN 4 THEN 1 WHEN 5 THEN 2 ELSE 3 END
        let of_operand = case(col("x")).when(lit(4), lit(1)).when(lit(5), lit(2)).otherwise(lit(3)).unwrap();
        assert_eq!(size(&of_operand), (7, 7));
    }

    #[test]
    fn nested_operators_multiply_their_operands() {
        let nested = |levels: usize| (0..levels).fold(col("x"), |inner, _| coalesce(vec![inner, lit("a")]));
        assert_eq!(size(&nested(3)), (7, 22));
        // No sum overflows.
        assert_eq!(size(&nested(100)), (201, u64::MAX));
        // A column that is written out.
        let columns = HashMap::from([(Column::from_name("x"), 50)]);
        assert_eq!(size_over(&nested(1), &columns).copies(), 99);
    }
}
