//! The allow-list as data: the rows that say what a database evaluates, how it is spelled there, and why this means the
//! same as at a node. The book's page on pushdown is generated from these rows.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::JoinType;

use super::numbers::{Bounds, Digits};

/// A kind of values. Types of one kind are written, compared and sorted alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlKind {
    /// True, false and NULL.
    Boolean,
    /// Integers with a sign, of 8 to 64 bits.
    Integer,
    /// Integers without a sign, of 8 to 64 bits.
    Unsigned,
    /// Decimals of up to 76 digits, with a scale that is not negative.
    Decimal,
    /// Floats of 64 bits.
    Double,
    /// Strings.
    Text,
    /// Days.
    Date,
    /// Microseconds without a time zone.
    Timestamp,
    /// Microseconds in UTC.
    Instant,
    /// Microseconds of a day.
    Time,
}

impl SqlKind {
    /// Returns the kind of a type; `None` for types that no database evaluates.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            data_type if data_type.is_signed_integer() => Self::Integer,
            data_type if data_type.is_unsigned_integer() => Self::Unsigned,
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale >= 0 => Self::Decimal,
            DataType::Float64 => Self::Double,
            data_type if data_type.is_string() => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp,
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if matches!(&**zone, "UTC" | "+00:00") => {
                Self::Instant
            }
            DataType::Time64(TimeUnit::Microsecond) => Self::Time,
            _ => return None,
        })
    }

    /// Returns the name of the kind in the book.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "Boolean",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned integer",
            Self::Decimal => "decimal",
            Self::Double => "double",
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Instant => "timestamp in UTC",
            Self::Time => "time",
        }
    }
}

/// An operand of an operator or a function, as SQL and as what is known about it.
#[derive(Clone, Debug)]
pub struct SqlOperand {
    /// The operand as SQL.
    pub sql: String,
    /// Its type at a node.
    pub data_type: DataType,
    /// Its value if it is a literal.
    pub literal: Option<ScalarValue>,
    /// The smallest and the largest value of an integer.
    pub bounds: Option<Bounds>,
    /// The digits of a decimal.
    pub digits: Option<Digits>,
}

/// A condition on operands beside their kinds.
#[derive(Clone, Copy, Debug)]
pub struct SqlCondition {
    /// The condition in words, after "if".
    pub words: &'static str,
    /// Returns true if the condition holds for the operands and the type of the result.
    pub holds: fn(&[SqlOperand], &DataType) -> bool,
}

/// A row of the allow-list: an operator, a function, an aggregate or a cast over operands of some kinds.
#[derive(Clone, Copy, Debug)]
pub struct SqlSpelling {
    /// The name at a node.
    pub name: &'static str,
    /// The template of its SQL. `{0}` is the first operand, `{0!}` the operand as it compares bytewise, `{0#}` an integer
    /// literal as plain digits, `{1..}` and `{1..!}` the operands from the second on, `{filter}` the `FILTER` clause of an
    /// aggregate, `{type}` the name of the result's type, `{scale}` the number of digits after its
    /// point, `{up}` and `{down}` that power of ten and its inverse.
    pub sql: &'static str,
    /// The kinds of the operands.
    pub kinds: &'static [SqlKind],
    /// A condition beside the kinds.
    pub only: Option<SqlCondition>,
    /// The reason why it means the same as at a node, and does not fail where a node does not.
    pub reason: &'static str,
    /// The name of the test that proves it.
    pub test: &'static str,
}

impl SqlSpelling {
    /// Returns true if the row holds for these operands and this type of the result.
    pub fn holds(&self, operands: &[SqlOperand], result: &DataType) -> bool {
        let kind =
            |operand: &SqlOperand| SqlKind::of(&operand.data_type).is_some_and(|kind| self.kinds.contains(&kind));
        operands.iter().all(kind) && self.only.is_none_or(|only| (only.holds)(operands, result))
    }
}

/// An operator of plans, such as a join, that a database runs.
#[derive(Clone, Copy, Debug)]
pub struct SqlShape {
    /// The operator.
    pub shape: Shape,
    /// Its form in SQL, for the book.
    pub sql: &'static str,
    /// The reason why it means the same as at a node.
    pub reason: &'static str,
    /// The name of the test that proves it.
    pub test: &'static str,
}

/// The operators of plans that can be written in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Rows that fulfil a condition.
    Filter,
    /// Computed columns.
    Projection,
    /// Groups, or one row of aggregates.
    Aggregate,
    /// Rows without repetition.
    Distinct,
    /// The first rows in an order.
    TopN,
    /// Some rows in any order.
    Limit,
    /// The rows of several inputs.
    UnionAll,
    /// A subquery of one row in an expression.
    ScalarSubquery,
    /// An inner join; without keys, a cross join.
    InnerJoin,
    /// A left or a right join.
    LeftJoin,
    /// A full join.
    FullJoin,
    /// A semi join.
    SemiJoin,
    /// An anti join.
    AntiJoin,
    /// The anti join of `NOT IN`.
    NullAwareAntiJoin,
    /// A column that is true for rows with a match.
    MarkJoin,
}

impl Shape {
    /// Returns the shape of a join that exists only with its left side kept or in both directions; `None` for one that
    /// is written with its sides exchanged.
    pub(super) fn of_join(join_type: JoinType) -> Option<Self> {
        Some(match join_type {
            JoinType::Inner => Self::InnerJoin,
            JoinType::Left => Self::LeftJoin,
            JoinType::Full => Self::FullJoin,
            JoinType::LeftSemi => Self::SemiJoin,
            JoinType::LeftAnti => Self::AntiJoin,
            JoinType::LeftMark => Self::MarkJoin,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => return None,
        })
    }

    /// Returns the name of the shape in the book.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Projection => "projection",
            Self::Aggregate => "aggregate",
            Self::Distinct => "distinct",
            Self::TopN => "sort with a limit",
            Self::Limit => "limit",
            Self::UnionAll => "union",
            Self::ScalarSubquery => "scalar subquery",
            Self::InnerJoin => "inner or cross join",
            Self::LeftJoin => "left or right join",
            Self::FullJoin => "full join",
            Self::SemiJoin => "semi join",
            Self::AntiJoin => "anti join",
            Self::NullAwareAntiJoin => "anti join of `NOT IN`",
            Self::MarkJoin => "mark join",
        }
    }
}
