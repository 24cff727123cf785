//! Joins, set operations and projections.

use super::Answer::{Fails, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    // The key `a.k + b.h = c.k` is lost.
    (
        "cross_joins.rs",
        "SELECT count(*) FROM (VALUES (1, 1)) a(k, x) CROSS JOIN (VALUES (1), (2)) b(h) JOIN (VALUES (2, 1)) c(k, x) \
         ON a.k + b.h = c.k AND a.x = c.x",
        Rows(&["2"]),
    ),
    // `IS NOT DISTINCT FROM` becomes `=`.
    (
        "cross_joins.rs",
        "SELECT count(*) FROM (VALUES (CAST(NULL AS INT))) a(x) JOIN (VALUES (CAST(NULL AS INT), 1)) b(x, k) \
         ON a.x IS NOT DISTINCT FROM b.x JOIN (VALUES (1)) c(k) ON b.k = c.k",
        Rows(&["0"]),
    ),
    // An `=` of the filter becomes a key for which NULL equals NULL.
    (
        "cross_joins.rs",
        "SELECT count(*) FROM (VALUES (1, CAST(NULL AS INT))) a(x, y) JOIN (VALUES (1, CAST(NULL AS INT))) b(x, y) \
         ON a.x IS NOT DISTINCT FROM b.x WHERE a.y = b.y",
        Rows(&["1"]),
    ),
    // The filter is copied to `b.f`.
    (
        "inferred_filters.rs",
        "SELECT count(*) FROM (VALUES (CAST('0' AS DOUBLE))) a(f) JOIN (VALUES (CAST('-0' AS DOUBLE))) b(f) \
         ON a.f = b.f WHERE 1 / a.f > 0",
        Rows(&["0"]),
    ),
    // Only the first key sorts: `b.f` counts as `a.f`.
    (
        "false_orders.rs",
        "SELECT i, j, row_number() OVER (ORDER BY CAST(a.f AS VARCHAR), CAST(b.f AS VARCHAR) DESC) \
         FROM (VALUES (1, CAST('0' AS DOUBLE)), (2, CAST('-0' AS DOUBLE))) a(i, f) \
         JOIN (VALUES (1, CAST('-0' AS DOUBLE)), (2, CAST('0' AS DOUBLE))) b(j, f) ON a.f = b.f",
        Rows(&["1|1|3", "1|2|4", "2|1|1", "2|2|2"]),
    ),
    ("equal_projections.rs", "SELECT x + 1 AS x FROM (SELECT x + 1 AS x FROM (SELECT 1 AS x))", Rows(&["2"])),
    // A row without columns.
    ("from_first.rs", "FROM (VALUES (1, 2)) t(a, b)", Rows(&[""])),
    // Of the two bounds, `id >= 1` stays.
    ("column_bounds.rs", "SELECT id FROM a WHERE id >= 1 AND abs(1) < id", Rows(&["1", "2", "3"])),
    // The two conditions count as a contradiction.
    ("column_bounds.rs", "SELECT id FROM a WHERE id = 2 AND abs(2) = id", Rows(&[])),
    // The sort key `v.y` is left out.
    (
        "functional_dependencies.rs",
        "SELECT w.x, v.y FROM (SELECT DISTINCT id AS x FROM b) w CROSS JOIN (VALUES (1), (3), (2)) v(y) \
         GROUP BY w.x, v.y ORDER BY w.x, v.y DESC LIMIT 3",
        Rows(&["1|1", "1|2", "1|3"]),
    ),
    // The frame of the window ends at each row, not at the last row of its `x`.
    (
        "functional_dependencies.rs",
        "SELECT x, sum(n) OVER (ORDER BY x) FROM (SELECT w.x, v.y, count(*) AS n FROM (SELECT id AS x FROM b GROUP BY id) w \
         CROSS JOIN (VALUES (1), (2)) v(y) GROUP BY w.x, v.y)",
        Rows(&["1|1", "1|2", "3|3", "3|4"]),
    ),
    // The join becomes a semi join.
    (
        "functional_dependencies.rs",
        "SELECT a.id FROM a JOIN (SELECT w.x, v.y FROM (SELECT DISTINCT id AS x FROM b) w CROSS JOIN (VALUES (1), (2)) v(y) \
         GROUP BY w.x, v.y) p ON a.id = p.x",
        Rows(&["1", "3"]),
    ),
    // `DISTINCT` is left out.
    (
        "functional_dependencies.rs",
        "SELECT DISTINCT x FROM (SELECT x, unnest([1, 2]) AS y FROM (SELECT DISTINCT id AS x FROM b)) ORDER BY x",
        Rows(&["1", "1", "3", "3"]),
    ),
    (
        "join_keys.rs",
        "SELECT b.v FROM structs a JOIN b_file b ON a.s['x'] + 1 = b.id",
        Fails("__datafusion_extracted_1 + Int64(1)"),
    ),
    (
        "null_equality.rs",
        "SELECT a.id, b.v FROM a JOIN b ON a.id IS NOT DISTINCT FROM b.id WHERE nullif(a.x, 1) = b.v",
        Rows(&["1|NULL"]),
    ),
    ("set_operations.rs", "SELECT * FROM (VALUES (1), (1), (1)) t(x) INTERSECT ALL SELECT 1", Rows(&["1", "1", "1"])),
    ("set_operations.rs", "SELECT * FROM (VALUES (1), (1), (1)) t(x) EXCEPT ALL SELECT 1", Rows(&[])),
    (
        "set_operations.rs",
        "SELECT 9007199254740993 INTERSECT SELECT 9007199254740992.0::DOUBLE",
        Rows(&["9007199254740993"]),
    ),
    // 5 comes before NULL.
    (
        "false_orders.rs",
        "SELECT x, v, row_number() OVER (ORDER BY v, x) FROM (VALUES (1), (2), (3)) a(x) \
         LEFT JOIN (SELECT * FROM (VALUES (2, 5)) b(k, v) WHERE v = 5) b ON x = k",
        Rows(&["1|NULL|1", "2|5|2", "3|NULL|3"]),
    ),
    // The first row is that of the total, with two NULLs.
    (
        "false_orders.rs",
        "SELECT k, j FROM (VALUES (1, 2), (1, 3)) t(k, j) WHERE k = 1 GROUP BY ROLLUP (k, j) \
         ORDER BY k NULLS FIRST, j LIMIT 1",
        Rows(&["1|2"]),
    ),
    // Among the rows with NULL in `j`, 3 comes before 1.
    (
        "false_orders.rs",
        "SELECT k, j, row_number() OVER (ORDER BY j NULLS FIRST, k DESC) FROM (VALUES (1, 1), (3, 3)) t(k, j) \
         WHERE k = j GROUP BY ROLLUP (k, j)",
        Rows(&["1|1|4", "1|NULL|2", "3|3|5", "3|NULL|3", "NULL|NULL|1"]),
    ),
    // The expressions of the set have one value in the rows below. The total comes first.
    (
        "false_orders.rs",
        "SELECT 'a' AS k, j, count(*) FROM (VALUES (1, 2), (1, 3)) t(k, j) GROUP BY ROLLUP ('a', j) \
         ORDER BY 1 NULLS FIRST, 2 LIMIT 1",
        Rows(&["a|2|1"]),
    ),
    // Each value of `k` is in two rows.
    (
        "false_orders.rs",
        "SELECT n, count(*) FROM (SELECT count(*) AS n FROM (SELECT value / 20000 AS a, value % 20000 AS k \
         FROM generate_series(0, 39999) ORDER BY 1, 2 LIMIT 40000) s GROUP BY GROUPING SETS ((a, k), (k))) t GROUP BY n",
        Rows(&["1|80000"]),
    ),
    // Both rows have 1 twice.
    (
        "false_orders.rs",
        "SELECT y, x FROM (SELECT x, k FROM (VALUES (1, 1), (2, 1)) l(x, k) ORDER BY x LIMIT 9) l \
         JOIN (SELECT y, k2 FROM (VALUES (1, 1), (1, 1)) r(y, k2) ORDER BY y LIMIT 9) r ON k = k2 ORDER BY y, x LIMIT 2",
        Rows(&["1|1", "1|2"]),
    ),
    ("using_joins.rs", "SELECT k FROM (VALUES (1)) a(k) FULL JOIN (VALUES (4)) b(k) USING (k)", Rows(&["1", "NULL"])),
    ("using_joins.rs", "SELECT k FROM (VALUES (1)) a(k) RIGHT JOIN (VALUES (4)) b(k) USING (k)", Rows(&["NULL"])),
    (
        "using_joins.rs",
        "SELECT a.k FROM (VALUES (1)) a(k) JOIN (VALUES (1)) b(k) USING (k) WHERE k = 1",
        Fails("Ambiguous reference to unqualified field k"),
    ),
    (
        "using_joins.rs",
        "SELECT t.k FROM (VALUES (7)) t(k) \
         WHERE EXISTS (SELECT 1 FROM (VALUES (1)) a(k) JOIN (VALUES (1)) b(k) USING (k) WHERE k = 7)",
        Rows(&["7"]),
    ),
    ("using_joins.rs", "SELECT * FROM (VALUES (1)) a(k) NATURAL LEFT JOIN (SELECT 1 AS x WHERE false) b", Rows(&[])),
];
