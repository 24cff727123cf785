//! Subqueries, and predicates that may be NULL. `b` has two rows for the id 1, one for 3, and none for 2.

use super::Answer::{Fails, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    ("constant_filters.rs", "SELECT count(*) FROM b HAVING (SELECT max(x) FROM a) > 100", Rows(&["0"])),
    (
        "constant_filters.rs",
        "SELECT t.n FROM a LEFT JOIN (SELECT count(*) AS n FROM b) t ON 1 = 2",
        Rows(&["0", "0", "0", "0"]),
    ),
    (
        "subqueries/lateral.rs",
        "SELECT a.id, t.v FROM a, LATERAL (SELECT v FROM b WHERE b.id = a.id ORDER BY v LIMIT 1) t",
        Fails("Physical plan does not support"),
    ),
    // `NOT IN` as if NULL were false.
    ("subqueries/mod.rs", "SELECT 1 WHERE 3 NOT IN (SELECT x FROM (VALUES (1), (NULL)) t(x))", Rows(&["1"])),
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE 8 NOT IN (SELECT v FROM b WHERE b.id = a.id)",
        Rows(&["1", "2", "3", "NULL"]),
    ),
    ("subqueries/mod.rs", "SELECT id FROM a WHERE x NOT IN (SELECT v FROM b) OR id = 2", Rows(&["2", "3", "NULL"])),
    // Correlated subqueries as if they had no aggregate without groups, and no offset.
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE EXISTS (SELECT count(*) FROM b WHERE b.id = a.id)",
        Rows(&["1", "3"]),
    ),
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.id HAVING count(*) = 0)",
        Rows(&[]),
    ),
    ("subqueries/mod.rs", "SELECT id FROM a WHERE 0 IN (SELECT count(*) FROM b WHERE b.id = a.id)", Rows(&[])),
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE EXISTS (SELECT v FROM b WHERE b.id = a.id GROUP BY ROLLUP (v))",
        Rows(&["1", "3"]),
    ),
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE EXISTS (SELECT v FROM b WHERE b.id = a.id OFFSET 1)",
        Rows(&["1", "3"]),
    ),
    // Outside of a filter.
    (
        "subqueries/mod.rs",
        "SELECT x IN (SELECT 1) FROM (VALUES (1)) t(x)",
        Fails("Physical plan does not support logical expression InSubquery"),
    ),
    // Two inner columns of one name.
    (
        "subqueries/mod.rs",
        "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b, b AS c WHERE b.id = a.id AND c.id = a.x + 2)",
        Rows(&[]),
    ),
    // A scalar subquery without a row is NULL.
    ("subqueries/mod.rs", "SELECT (SELECT k FROM (SELECT 1 AS k) t WHERE false) IS NULL", Rows(&["false"])),
    ("subqueries/rows.rs", "SELECT (1, NULL) = (1, NULL)", Rows(&["true"])),
    ("subqueries/rows.rs", "SELECT 1 WHERE (1, 2) NOT IN (SELECT 1, 3)", Fails("Too many columns")),
    ("volatile/subqueries.rs", "SELECT (SELECT random()) = (SELECT random())", Rows(&["true"])),
    (
        "three_valued.rs",
        "SELECT x FROM (VALUES (1), (NULL)) t(x) WHERE NOT (x IN (1) AND x IN (2))",
        Rows(&["1", "NULL"]),
    ),
    ("three_valued.rs", "SELECT x FROM (VALUES (1, 1, 1)) t(x, a, b) WHERE x IN (a) AND x IN (b)", Rows(&[])),
    ("three_valued.rs", "SELECT x FROM (VALUES (1)) t(x) WHERE x IN (1, 2) AND x NOT IN (2, NULL)", Rows(&["1"])),
];
