//! The SQL of a database as data: the operations that it evaluates, and how it writes names and literals.

use arrow::datatypes::DataType;
use datafusion::logical_expr::JoinType;

use super::allowed::{Shape, SqlOperand, SqlShape, SqlSpelling};

/// The SQL of a kind of database: the operators, expressions and types that mean the same there as at a node. What is not
/// listed is not sent.
#[derive(Clone, Copy, Debug)]
pub struct SqlDialect {
    /// The name of the SQL in `EXPLAIN`.
    pub name: &'static str,
    /// The character around a name. It is doubled inside.
    pub quote: char,
    /// The operators of plans.
    pub shapes: &'static [SqlShape],
    /// The operators of expressions. A key of a group, of rows without repetition and of an order is an operator as well.
    pub operators: &'static [SqlSpelling],
    /// The scalar functions. `date_part` stands here once for each part, as `date_part year`.
    pub functions: &'static [SqlSpelling],
    /// The aggregates. One over distinct values has the name `count distinct`.
    pub aggregates: &'static [SqlSpelling],
    /// The casts. A row has the name of the kind that they return.
    pub casts: &'static [SqlSpelling],
    /// Returns the name of a type in a cast; `None` if the database has none with these values.
    pub type_name: fn(&DataType) -> Option<String>,
    /// Returns the type to which the outermost query casts a column; `None` if the reader knows no type for it. Without
    /// the function, columns are returned as they are.
    pub wire_type: Option<fn(&DataType) -> Option<String>>,
    /// The form of literals.
    pub literals: LiteralForm,
    /// The template of a string that compares by its bytes.
    pub exact_text: &'static str,
    /// The template of a second key of groups and of orders, for strings that the database sorts as equal although their
    /// bytes differ; `None` if it has no such strings.
    pub text_tie: Option<&'static str>,
    /// The patterns of `LIKE`.
    pub patterns: PatternForm,
    /// The way to say where NULL comes in an order.
    pub nulls: NullOrder,
    /// The `LIMIT` of a query that has only an `OFFSET`; `None` if it needs none.
    pub endless: Option<&'static str>,
    /// True if the database keeps the result of a correlated subquery for outer strings that are equal in their own
    /// collation. The subquery then gets strings with the collation of bytes.
    pub caches_subqueries: bool,
    /// True if the database hashes the keys of `IN (SELECT …)`, but runs `EXISTS` row by row in a derived table. Semi, anti
    /// and mark joins are then written with `IN`.
    pub hashes_in: bool,
    /// True if aggregates have a `FILTER` clause.
    pub has_filter: bool,
    /// The largest number of queries inside one another. Each operator of a fragment is a query.
    pub max_depth: usize,
    /// The largest number of tables in a query.
    pub max_tables: usize,
    /// The largest number of brackets inside one another in an expression.
    pub max_brackets: usize,
    /// The largest number of bytes of a query.
    pub max_bytes: usize,
}

/// The form of literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralForm {
    /// A string that is cast to the type: `CAST('5' AS bigint)`.
    Cast,
    /// Numbers as they are, and dates with the name of their type: `DATE'2024-01-31'`.
    Named,
    /// Numbers as they are, and dates as strings.
    Plain,
}

/// The patterns of `LIKE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternForm {
    /// `%` and `_`, with this character before one that stands for itself.
    Like(char),
    /// `*` and `?`, with square brackets around one that stands for itself.
    Glob,
}

/// The way to say where NULL comes in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullOrder {
    /// `NULLS FIRST` and `NULLS LAST`.
    Written,
    /// NULL is the smallest value. Another place is a key of its own.
    Smallest,
}

impl SqlDialect {
    /// A dialect without operators, functions and types, to begin with.
    pub const NOTHING: Self = Self {
        name: "SQL",
        quote: '"',
        shapes: &[],
        operators: &[],
        functions: &[],
        aggregates: &[],
        casts: &[],
        type_name: |_| None,
        wire_type: None,
        literals: LiteralForm::Cast,
        exact_text: "{0}",
        text_tie: None,
        patterns: PatternForm::Like('\\'),
        nulls: NullOrder::Written,
        endless: None,
        caches_subqueries: false,
        hashes_in: false,
        has_filter: true,
        max_depth: 20,
        max_tables: 50,
        max_brackets: 60,
        max_bytes: 1 << 20,
    };

    /// Returns true if the database runs an operator of plans.
    pub fn has(&self, shape: Shape) -> bool {
        self.shapes.iter().any(|row| row.shape == shape)
    }

    /// Returns true if the database runs joins of this type, under some conditions.
    pub fn joins(&self, join_type: JoinType) -> bool {
        let shape = Shape::of_join(join_type).or_else(|| Shape::of_join(join_type.swap()));
        shape.is_some_and(|shape| self.has(shape))
    }

    /// Returns the row of an operator over these operands.
    pub(super) fn operator(&self, name: &str, operands: &[SqlOperand], result: &DataType) -> Option<&SqlSpelling> {
        row(self.operators, name, operands, result)
    }

    /// Returns the row of a function over these operands.
    pub(super) fn function(&self, name: &str, operands: &[SqlOperand], result: &DataType) -> Option<&SqlSpelling> {
        row(self.functions, name, operands, result)
    }

    /// Returns the row of an aggregate over these operands.
    pub(super) fn aggregate(&self, name: &str, operands: &[SqlOperand], result: &DataType) -> Option<&SqlSpelling> {
        row(self.aggregates, name, operands, result)
    }

    /// Returns the row of a cast to a type.
    pub(super) fn cast(&self, name: &str, operands: &[SqlOperand], result: &DataType) -> Option<&SqlSpelling> {
        row(self.casts, name, operands, result)
    }
}

fn row<'a>(rows: &'a [SqlSpelling], name: &str, operands: &[SqlOperand], result: &DataType) -> Option<&'a SqlSpelling> {
    rows.iter().find(|row| row.name == name && row.holds(operands, result))
}
