//! Names, patterns, floats and volatile functions. A query that calls `random()` reads enough rows to have one answer.

use super::Answer::{Fails, Panics, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    (
        "distinct_limits.rs",
        "SELECT DISTINCT g, count(*) OVER (PARTITION BY g) FROM (VALUES (1), (1)) t(g) LIMIT 1",
        Fails("Ordering direction required for DISTINCT with limit"),
    ),
    (
        "float_extrema.rs",
        "SELECT g, max(x) FROM (VALUES (1, CAST('NaN' AS DOUBLE)), (1, 1.0), (2, -1e308 * 10)) t(g, x) GROUP BY g",
        Rows(&["1|1.0", "2|-1.7976931348623157e308"]),
    ),
    // 3 is less than NULL.
    (
        "float_extrema.rs",
        "SELECT x, f FROM (SELECT x, max(v) OVER (ORDER BY x) AS f FROM (VALUES (1, NULL), (2, 3), (3, 2)) t(x, v)) t \
         ORDER BY f, x LIMIT 1",
        Rows(&["1|NULL"]),
    ),
    (
        "sums.rs",
        "SELECT x, f FROM (SELECT x, sum(arrow_cast(v, 'UInt64')) OVER (ORDER BY x) AS f \
         FROM (VALUES (1, NULL), (2, 3), (3, 2)) t(x, v)) t ORDER BY f, x LIMIT 1",
        Rows(&["1|NULL"]),
    ),
    // `p` is 101.
    (
        "generated_names.rs",
        "SELECT a * 7 AS x, a * 7 + 1 AS y, __common_expr_1 AS p \
         FROM (SELECT a, a + 100 AS __common_expr_1 FROM (VALUES (1)) t(a))",
        Rows(&["7|8|7"]),
    ),
    // A NaN with a sign is less than any number, another value, and another group.
    ("nan_signs.rs", "SELECT -CAST('NaN' AS DOUBLE) > 1e308", Rows(&["false"])),
    ("nan_signs.rs", "SELECT -x = x FROM (VALUES (CAST('NaN' AS DOUBLE))) t(x)", Rows(&["false"])),
    ("nan_signs.rs", "SELECT max(x) FROM (VALUES (-CAST('NaN' AS DOUBLE)), (1.0)) t(x)", Rows(&["1.0"])),
    (
        "nan_signs.rs",
        "SELECT count(*) FROM (SELECT DISTINCT x FROM (VALUES (CAST('NaN' AS DOUBLE)), (-CAST('NaN' AS DOUBLE))) t(x))",
        Rows(&["2"]),
    ),
    ("patterns.rs", "SELECT 'xay' SIMILAR TO 'a'", Rows(&["true"])),
    ("patterns.rs", "SELECT 'ab' SIMILAR TO 'a%'", Rows(&["false"])),
    (
        "patterns.rs",
        "SELECT '10%' LIKE '10!%' ESCAPE '!'",
        Fails("LIKE does not support escape_char other than the backslash"),
    ),
    ("regex_literals.rs", r"SELECT x FROM (VALUES ('a\b'), ('ab')) t(x) WHERE x ~ 'a\\b'", Rows(&["ab"])),
    ("regex_literals.rs", r"SELECT x FROM (VALUES ('a\b'), ('ab')) t(x) WHERE regexp_like(x, 'a\\b')", Rows(&["ab"])),
    ("regex_literals.rs", "SELECT (x ~ '.*') IS NULL FROM (VALUES (CAST(NULL AS VARCHAR))) t(x)", Rows(&["false"])),
    (
        "topk_groups.rs",
        "SELECT DISTINCT f FROM (VALUES (CAST('NaN' AS DOUBLE)), (CAST('NaN' AS DOUBLE))) t(f) ORDER BY f DESC LIMIT 1",
        Panics,
    ),
    // The filter of a group, moved below the groups.
    (
        "volatile.rs",
        "SELECT max(r) < 0.5 FROM (SELECT random() AS r FROM generate_series(1, 300) GROUP BY random()) WHERE r < 0.5",
        Rows(&["false"]),
    ),
    (
        "volatile.rs",
        "SELECT count(*) = 300 FROM generate_series(1, 300) WHERE floor(random() * 3) IN (0, 1, 2)",
        Rows(&["false"]),
    ),
    // About 100 of 1,000 values are in the range. Of two values for each row, about 300 pass their bounds.
    (
        "volatile.rs",
        "SELECT count(*) > 200 FROM generate_series(1, 1000) WHERE random() BETWEEN 0.45 AND 0.55",
        Rows(&["true"]),
    ),
    (
        "volatile.rs",
        "SELECT count(coalesce(nullif(floor(random() * 2), 0), 5)) = 300 FROM generate_series(1, 300)",
        Rows(&["false"]),
    ),
    ("volatile.rs", "WITH t AS (SELECT random() AS r) SELECT a.r = b.r FROM t a, t b", Rows(&["false"])),
    (
        "volatile/leaves.rs",
        "SELECT max(s['a']) < 0.5 FROM (SELECT named_struct('a', random()) AS s FROM generate_series(1, 300)) t \
         WHERE s['a'] < 0.5",
        Rows(&["false"]),
    ),
    ("zero_signs.rs", "SELECT z IN (0.0, 1, 2, 3) FROM (VALUES (-0.0)) t(z)", Rows(&["false"])),
    ("zero_signs.rs", "SELECT x FROM (VALUES (-0.0, 2), (0.0, 1)) t(z, x) ORDER BY z, x LIMIT 1", Rows(&["2"])),
    ("zero_signs.rs", "SELECT count(*) OVER (PARTITION BY z) FROM (VALUES (-0.0), (0.0)) t(z)", Rows(&["1", "1"])),
    (
        "zero_signs.rs",
        "SELECT avg(DISTINCT z), count(DISTINCT x) FROM (VALUES (-0.0, 2), (0.0, 1), (3.0, 3)) t(z, x)",
        Rows(&["1.0|3"]),
    ),
    (
        "zero_signs.rs",
        "SELECT CASE z WHEN 0 THEN 'zero' ELSE 'another' END FROM (VALUES (-0.0)) t(z)",
        Rows(&["another"]),
    ),
    // Of the two conditions, `z >= 0` stays.
    (
        "zero_signs.rs",
        "SELECT x FROM (VALUES (-0.0, 2), (0.0, 1)) t(z, x) WHERE z > -0.0 AND z >= 0",
        Rows(&["1", "2"]),
    ),
    ("zero_signs/nullif.rs", "SELECT nullif(z, 0) FROM (VALUES (-0.0)) t(z)", Rows(&["-0.0"])),
];
