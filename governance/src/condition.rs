//! Conditions on rows: a small typed tree in three-valued logic, which an engine translates to its own expressions.

use std::collections::{BTreeSet, HashSet};

/// A condition on a row. A filter keeps the rows for which its condition is TRUE.
///
/// The value is TRUE, FALSE or NULL, with the logic of SQL (Kleene): a comparison with NULL is NULL, `FALSE AND NULL`
/// is FALSE, `TRUE OR NULL` is TRUE, `NOT NULL` is NULL. A condition never fails: it has no arithmetic and no casts.
/// A translation must keep this, and must not trust declared constraints. Strings are compared by their bytes, whatever
/// the collation of a source. An optimizer may not rewrite `a AND NOT a` to FALSE if `a` may be NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// A constant. `None` is NULL.
    Constant(Option<bool>),
    /// A comparison. NULL if an operand is NULL.
    Compare {
        /// The left operand.
        left: Operand,
        /// The operator.
        op: Comparison,
        /// The right operand. Both operands have the same kind.
        right: Operand,
    },
    /// True if a column has one of these values. NULL if the column is NULL, also if there are no values.
    In {
        /// The column.
        column: String,
        /// The values, all of the column's kind.
        values: Vec<Literal>,
    },
    /// True if a string column matches a pattern as a whole. Case counts. NULL if the column is NULL.
    Like {
        /// The column.
        column: String,
        /// The pattern.
        pattern: Vec<PatternPart>,
    },
    /// True if a column is not NULL. Never NULL.
    IsPresent(String),
    /// The conjunction. TRUE if there are no conditions.
    And(Vec<Condition>),
    /// The disjunction. FALSE if there are no conditions.
    Or(Vec<Condition>),
    /// The negation.
    Not(Box<Condition>),
    /// A SQL expression over the columns of the port. The engine parses it and checks that it cannot fail.
    Sql(String),
}

/// An operand of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// The value of a column.
    Column(String),
    /// A literal.
    Literal(Literal),
}

/// A literal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Literal {
    /// A Boolean.
    Bool(bool),
    /// An integer. It may be outside the range of the column's type.
    Long(i64),
    /// A string.
    String(String),
    /// An instant, in milliseconds since 1970-01-01T00:00:00Z, between the years 0 and 9999. A date is compared as its
    /// midnight in UTC.
    Datetime(i64),
    /// A decimal number, in ten-thousandths.
    Decimal(i64),
}

/// An operator of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Less,
    /// `<=`
    LessEq,
    /// `>`
    Greater,
    /// `>=`
    GreaterEq,
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PatternPart {
    /// These characters.
    Text(String),
    /// Any characters, also none.
    Any,
}

impl Condition {
    /// The condition that is always TRUE.
    pub const TRUE: Self = Self::Constant(Some(true));
    /// The condition that is always FALSE.
    pub const FALSE: Self = Self::Constant(Some(false));
    /// The condition that is always NULL.
    pub const NULL: Self = Self::Constant(None);

    /// Returns the negation.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value.map(|v| !v)),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Returns the conjunction, without TRUE parts. FALSE if a part is FALSE.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = vec![];
        for part in parts {
            match part {
                Self::FALSE => return Self::FALSE,
                Self::TRUE => {}
                Self::And(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        let mut kept = without_repetition(kept);
        match kept.len() {
            0 => Self::TRUE,
            1 => kept.swap_remove(0),
            _ => Self::And(kept),
        }
    }

    /// Returns the disjunction, without FALSE parts. TRUE if a part is TRUE.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = vec![];
        for part in parts {
            match part {
                Self::TRUE => return Self::TRUE,
                Self::FALSE => {}
                Self::Or(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        let mut kept = without_repetition(kept);
        match kept.len() {
            0 => Self::FALSE,
            1 => kept.swap_remove(0),
            _ => Self::Or(kept),
        }
    }

    /// Returns the names of the columns that the condition reads. SQL expressions are not searched.
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        self.visit(&mut |condition| match condition {
            Self::Compare { left, right, .. } => {
                found.extend([left, right].into_iter().filter_map(Operand::column));
            }
            Self::In { column, .. } | Self::Like { column, .. } | Self::IsPresent(column) => {
                found.insert(column.as_str());
            }
            _ => {}
        });
        found
    }

    /// Returns the number of nodes.
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.visit(&mut |_| size += 1);
        size
    }

    /// Calls `f` for the condition and every condition in it.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(f)),
            Self::Not(inner) => inner.visit(f),
            _ => {}
        }
    }
}

fn without_repetition(parts: Vec<Condition>) -> Vec<Condition> {
    let mut seen = HashSet::new();
    let is_first: Vec<bool> = parts.iter().map(|part| seen.insert(part)).collect();
    parts.into_iter().zip(is_first).filter_map(|(part, is_first)| is_first.then_some(part)).collect()
}

impl Operand {
    /// Returns the name of the column, if the operand is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Literal(_) => None,
        }
    }
}
