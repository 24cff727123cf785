//! Plans of several partitions, and of Parquet files, whose statistics and dynamic filters skip rows.

use super::Answer::{Fails, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    // `c + 1` adds no condition, and the file with the smallest `c` is skipped by its `a`.
    ("aggregate_filters.rs", "SELECT min(a), min(c + 1) FROM extrema", Rows(&["1|101"])),
    ("unordered_casts.rs", "SELECT count(*) FROM casts WHERE CAST(since AS TIME) > TIME '12:00:00'", Rows(&["0"])),
    ("unordered_casts.rs", "SELECT count(*) FROM casts WHERE CAST(x AS BOOLEAN) IS FALSE", Rows(&["0"])),
    ("unordered_casts.rs", "SELECT min(v) FROM (SELECT CAST(n AS VARCHAR) AS v FROM casts) t", Rows(&["9"])),
    // Only debug builds check the types of the comparison.
    (
        "unordered_casts.rs",
        "SELECT count(*) FROM casts WHERE CAST(NOT b AS BIGINT) = 1",
        Fails("Cannot infer common argument type for comparison operation"),
    ),
    // A literal counts as a value of a table without rows.
    (
        "unordered_casts.rs",
        "SELECT count(DISTINCT l), count(DISTINCT m) FROM (SELECT 1 AS l, 2 AS m FROM casts WHERE x < -5) t",
        Rows(&["1|1"]),
    ),
    // The results of an aggregate without groups need no sort, but the join above does not report this.
    (
        "lost_sorts.rs",
        "SELECT s, row_number() OVER (ORDER BY s) FROM (VALUES (2)) t(x) \
         JOIN (SELECT count(*) AS n, sum(v) AS s FROM (VALUES (1), (2)) t(v)) ON x = n",
        Fails("does not satisfy order requirements"),
    ),
    // The limit is moved below the first of two windows, which sees one row of three.
    (
        "window_limits.rs",
        "SELECT x, count(*) OVER () AS n, count(*) OVER (PARTITION BY x) AS m \
         FROM (SELECT * FROM (VALUES (1), (2)) a(x) UNION ALL SELECT * FROM (VALUES (3)) b(x)) t ORDER BY x LIMIT 1",
        Rows(&["1|1|1"]),
    ),
];
