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
