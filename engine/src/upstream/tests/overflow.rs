//! Results that do not fit their type, and rows that a condition excludes.

use super::Answer::{Fails, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    (
        "distinct_sums.rs",
        "SELECT n, s > CAST(1 AS DECIMAL(15, 2)) \
         FROM (SELECT count(DISTINCT x) AS n, sum(CAST(d AS DECIMAL(5, 2))) AS s FROM (VALUES (1.25, 7)) t(d, x))",
        Fails("Invalid comparison operation"),
    ),
    // Folded by the optimizer.
    ("overflow.rs", "SELECT 9223372036854775807 + 1", Rows(&["-9223372036854775808"])),
    // Computed by the plan.
    ("overflow.rs", "SELECT x + 1 FROM (VALUES (9223372036854775807)) t(x)", Rows(&["-9223372036854775808"])),
    ("overflow.rs", "SELECT x - 1 FROM (VALUES (-9223372036854775807 - 1)) t(x)", Rows(&["9223372036854775807"])),
    ("overflow.rs", "SELECT x * 2 FROM (VALUES (9223372036854775807)) t(x)", Rows(&["-2"])),
    ("overflow.rs", "SELECT -x FROM (VALUES (-9223372036854775807 - 1)) t(x)", Rows(&["-9223372036854775808"])),
    (
        "overflow/guards.rs",
        "SELECT x FROM (VALUES (0), (5), (5)) t(x) WHERE x <> 0 AND 10 / x > 1",
        Fails("Divide by zero"),
    ),
    (
        "overflow/guards.rs",
        "SELECT x FROM (VALUES (0), (5), (5)) t(x) WHERE x = 0 OR 10 / x > 1",
        Fails("Divide by zero"),
    ),
    (
        "overflow/guards.rs",
        "SELECT g, sum(10 / x) FILTER (WHERE x <> 0) FROM (VALUES (1, 0), (1, 5)) t(g, x) GROUP BY g",
        Fails("Divide by zero"),
    ),
    ("sums.rs", "SELECT sum(x) FROM (VALUES (9223372036854775807), (1)) t(x)", Rows(&["-9223372036854775808"])),
    (
        "sums.rs",
        "SELECT sum(CAST(s AS DECIMAL(38, 0))) FROM (VALUES ('99999999999999999999999999999999999999'), \
         ('99999999999999999999999999999999999999')) t(s)",
        Rows(&["-14028236692093846346337460743176821145"]),
    ),
    // Two spans of 200 years.
    (
        "sums.rs",
        "SELECT sum(y - x) FROM (VALUES (TIMESTAMP '1800-01-01 00:00:00', TIMESTAMP '2000-01-01 00:00:00'), \
         (TIMESTAMP '1801-01-01 00:00:00', TIMESTAMP '2001-01-01 00:00:00')) t(x, y)",
        Rows(&["-PT5823963273.709551616S"]),
    ),
    (
        "sums/averages.rs",
        "SELECT avg(y - x) FROM (VALUES (TIMESTAMP '1800-01-01 00:00:00', TIMESTAMP '2000-01-01 00:00:00'), \
         (TIMESTAMP '1801-01-01 00:00:00', TIMESTAMP '2001-01-01 00:00:00')) t(x, y)",
        Rows(&["-PT2911981636.854775808S"]),
    ),
    (
        "sums/intervals.rs",
        "SELECT sum(x) FROM (VALUES (INTERVAL '2147483647' MONTH), (INTERVAL '1' MONTH)) t(x)",
        Rows(&["-2147483648 mons"]),
    ),
];
