//! The operators of plans that every database runs.

use crate::sql::allowed::{Shape, SqlShape};

const fn shape(shape: Shape, sql: &'static str, reason: &'static str, test: &'static str) -> SqlShape {
    SqlShape { shape, sql, reason, test }
}

pub(super) const FILTER: SqlShape = shape(
    Shape::Filter,
    "`SELECT … FROM (…) AS q1 WHERE …`",
    "a row stays if the condition is true, and not if it is false or NULL",
    "each_operator_is_a_derived_table",
);

pub(super) const PROJECTION: SqlShape = shape(
    Shape::Projection,
    "`SELECT … AS c0, … AS c1 FROM (…) AS q1`",
    "generated names mean one column each",
    "each_operator_is_a_derived_table",
);

pub(super) const AGGREGATE: SqlShape = shape(
    Shape::Aggregate,
    "`SELECT … FROM (…) AS q1 GROUP BY …`",
    "NULL is a group, strings of different bytes are different groups, and without groups there is one row",
    "groups_are_written",
);

pub(super) const DISTINCT: SqlShape = shape(
    Shape::Distinct,
    "`SELECT DISTINCT … FROM (…) AS q1`",
    "two NULL are one row, and strings of different bytes are two",
    "groups_are_written",
);

pub(super) const TOP_N: SqlShape = shape(
    Shape::TopN,
    "`SELECT … FROM (…) AS q1 ORDER BY … LIMIT … OFFSET …`",
    "order and limit stand in one query, the place of NULL is written, and strings are in the order of their bytes",
    "orders_are_written",
);

pub(super) const LIMIT: SqlShape = shape(
    Shape::Limit,
    "`SELECT … FROM (…) AS q1 LIMIT … OFFSET …`",
    "any rows are right, because nothing below sorts them",
    "orders_are_written",
);

pub(super) const UNION_ALL: SqlShape = shape(
    Shape::UnionAll,
    "`SELECT … FROM (…) AS q1 UNION ALL SELECT … FROM (…) AS q2`",
    "the columns have the same types in every branch",
    "unions_are_written",
);

pub(super) const SCALAR_SUBQUERY: SqlShape = shape(
    Shape::ScalarSubquery,
    "`(SELECT … FROM (…) AS q1)`",
    "only a subquery that is an aggregate without groups: it has one row whatever the tables have",
    "subqueries_are_written",
);

pub(super) const INNER_JOIN: SqlShape = shape(
    Shape::InnerJoin,
    "`(…) AS q1 INNER JOIN (…) AS q2 ON …`",
    "keys are compared like any two values",
    "joins_are_written",
);

pub(super) const LEFT_JOIN: SqlShape = shape(
    Shape::LeftJoin,
    "`(…) AS q1 LEFT JOIN (…) AS q2 ON …`",
    "a right join is a left join with its sides exchanged",
    "joins_are_written",
);

pub(super) const FULL_JOIN: SqlShape = shape(
    Shape::FullJoin,
    "`(…) AS q1 FULL JOIN (…) AS q2 ON …`",
    "only by equal columns of two tables",
    "full_joins_are_written",
);

pub(super) const SEMI_JOIN: SqlShape = shape(
    Shape::SemiJoin,
    "`… WHERE EXISTS (SELECT 1 FROM (…) AS q2 WHERE …)`",
    "a comparison with NULL is no match",
    "joins_are_written",
);

pub(super) const ANTI_JOIN: SqlShape = shape(
    Shape::AntiJoin,
    "`… WHERE NOT EXISTS (SELECT 1 FROM (…) AS q2 WHERE …)`",
    "a comparison with NULL is no match, so that the row stays",
    "joins_are_written",
);

pub(super) const NULL_AWARE_ANTI_JOIN: SqlShape = shape(
    Shape::NullAwareAntiJoin,
    "`… WHERE … NOT IN (SELECT … FROM (…) AS q2)`",
    "one key and no other condition: a NULL among the keys excludes every row, as three-valued logic says",
    "joins_are_written",
);

pub(super) const MARK_JOIN: SqlShape = shape(
    Shape::MarkJoin,
    "`SELECT …, EXISTS (SELECT 1 FROM (…) AS q2 WHERE …) FROM (…) AS q1`",
    "the mark is true or false, and never NULL",
    "joins_are_written",
);

const HASHED_SEMI_JOIN: SqlShape = shape(
    Shape::SemiJoin,
    "`… WHERE (… IN (SELECT … FROM (…) AS q2 WHERE …))`; with another condition, \
        `… WHERE EXISTS (SELECT 1 FROM (…) AS q2 WHERE …)`",
    "a comparison with NULL is no match; the server hashes the keys of `IN`, and runs `EXISTS` in a derived table row by row",
    "mariadb_joins_by_in",
);

const HASHED_ANTI_JOIN: SqlShape = shape(
    Shape::AntiJoin,
    "`… WHERE (… IN (SELECT … FROM (…) AS q2 WHERE …)) IS NOT TRUE`; with another condition, \
        `… LEFT JOIN (…) AS q2 ON … WHERE … IS NULL`",
    "a comparison with NULL is no match, so that the row stays; the server hashes the keys. It would compare strings with \
        another condition row by row, and does not get such a join",
    "mariadb_joins_by_in",
);

const HASHED_MARK_JOIN: SqlShape = shape(
    Shape::MarkJoin,
    "`SELECT …, ((… IN (SELECT … FROM (…) AS q2 WHERE …)) IS TRUE) FROM (…) AS q1`",
    "the mark is true or false, and never NULL; the server hashes the keys. It would compare them row by row with another \
        condition, and does not get such a join",
    "mariadb_joins_by_in",
);

/// The operators of MariaDB.
pub(super) const MARIADB: [SqlShape; 14] = [
    FILTER,
    PROJECTION,
    AGGREGATE,
    DISTINCT,
    TOP_N,
    LIMIT,
    UNION_ALL,
    SCALAR_SUBQUERY,
    INNER_JOIN,
    LEFT_JOIN,
    HASHED_SEMI_JOIN,
    HASHED_ANTI_JOIN,
    NULL_AWARE_ANTI_JOIN,
    HASHED_MARK_JOIN,
];

/// Every operator but full joins.
pub(super) const WITHOUT_FULL_JOINS: [SqlShape; 14] = [
    FILTER,
    PROJECTION,
    AGGREGATE,
    DISTINCT,
    TOP_N,
    LIMIT,
    UNION_ALL,
    SCALAR_SUBQUERY,
    INNER_JOIN,
    LEFT_JOIN,
    SEMI_JOIN,
    ANTI_JOIN,
    NULL_AWARE_ANTI_JOIN,
    MARK_JOIN,
];

/// Every operator.
pub(super) const ALL: [SqlShape; 15] = [
    FILTER,
    PROJECTION,
    AGGREGATE,
    DISTINCT,
    TOP_N,
    LIMIT,
    UNION_ALL,
    SCALAR_SUBQUERY,
    INNER_JOIN,
    LEFT_JOIN,
    FULL_JOIN,
    SEMI_JOIN,
    ANTI_JOIN,
    NULL_AWARE_ANTI_JOIN,
    MARK_JOIN,
];
