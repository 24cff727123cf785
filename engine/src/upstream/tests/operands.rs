//! Comparisons and arithmetic of values of several types.

use super::Answer::{Fails, Panics, Rows};
use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    // 0.04 is rounded to 0.0, and 1.4 to 1.
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (CAST(0.04 AS DECIMAL(15,2)))) t(d) WHERE CAST(d AS DECIMAL(24,1)) <= 0",
        Rows(&["0"]),
    ),
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (CAST(1.4 AS DECIMAL(15,2)))) t(d) WHERE CAST(d AS BIGINT) = 1",
        Rows(&["0"]),
    ),
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (CAST(1.4 AS DECIMAL(15,2)))) t(d) WHERE arrow_cast(d, 'Int64') = 1",
        Rows(&["0"]),
    ),
    // The cast is NULL.
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (100000)) t(n) WHERE TRY_CAST(n AS SMALLINT) <> 3",
        Rows(&["1"]),
    ),
    // A microsecond is before the nanosecond after it, and does not equal it.
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (arrow_cast('2024-01-01 00:00:00', 'Timestamp(us)'))) t(x) WHERE \
         arrow_cast(x, 'Timestamp(ns)') < TIMESTAMP '2024-01-01 00:00:00.000000001'",
        Rows(&["0"]),
    ),
    // Midnight two hours east of Greenwich is 22:00 there.
    (
        "compared_casts.rs",
        "SELECT count(*) FROM (VALUES (TIMESTAMP '2024-01-01 00:00:00')) t(x) WHERE \
         arrow_cast(x, 'Timestamp(ns, \"+02:00\")') = arrow_cast('2023-12-31T22:00:00Z', 'Timestamp(ns, \"+02:00\")')",
        Rows(&["0"]),
    ),
    (
        "date_parts.rs",
        "SELECT count(*) FROM (VALUES (TIMESTAMP '2024-01-01 00:00:00')) t(x) WHERE extract(year FROM x) < 9999",
        Rows(&["0"]),
    ),
    (
        "date_truncs.rs",
        "SELECT date_trunc('millisecond', TIMESTAMP '1969-12-31 23:59:59.9999')",
        Rows(&["1970-01-01T00:00:00"]),
    ),
    // The instant is in 1677. Without a check for overflow, its day is in 2262.
    (
        "date_truncs.rs",
        "SELECT date_trunc('day', arrow_cast(n, 'Timestamp(ns)')) FROM (VALUES (-9223372036854775000)) t(n)",
        Panics,
    ),
    (
        "group_filters.rs",
        "SELECT count(*) FROM (VALUES (CAST('-0.0' AS DOUBLE)), (CAST('0.0' AS DOUBLE))) t(f) GROUP BY f HAVING 1 / f < 0",
        Rows(&["1"]),
    ),
    (
        "operand_types/compared.rs",
        "SELECT arrow_cast('12:00:01', 'Time64(Microsecond)') > TIME '12:00:00'",
        Fails("Cannot infer common argument type for comparison operation"),
    ),
    ("operand_types/decimals.rs", "SELECT CAST('8.79' AS DECIMAL(12, 2)) = 8.79", Rows(&["false"])),
    ("operand_types/decimals.rs", "SELECT x = CAST('0' AS DECIMAL(12, 2)) FROM (VALUES (1e-20)) t(x)", Rows(&["true"])),
    (
        "operand_types/decimals.rs",
        "SELECT CAST('1' AS DECIMAL(38, 30)) < 9223372036854775807",
        Fails("Overflow happened on"),
    ),
    ("operand_types/decimals.rs", "SELECT 9007199254740993 = 9007199254740992.0", Rows(&["true"])),
    ("operand_types/decimals.rs", "SELECT 9007199254740993 IN (0.5, 9007199254740992)", Rows(&["true"])),
    (
        "operand_types/decimals.rs",
        "SELECT s = CAST('8.79' AS DECIMAL(12, 2)) FROM (VALUES ('8.794')) t(s)",
        Rows(&["true"]),
    ),
    ("operand_types/decimals.rs", "SELECT CAST(7 AS BIGINT UNSIGNED) / CAST(2 AS BIGINT)", Rows(&["3.5000"])),
    (
        "operand_types/instants.rs",
        "SELECT x = DATE '9999-12-31' \
         FROM (VALUES (arrow_cast('9999-12-31T00:00:00', 'Timestamp(Microsecond, None)'))) t(x)",
        Fails("converted value exceeds the representable i64 range"),
    ),
    (
        "operand_types/instants.rs",
        "SELECT a.x < b.x FROM (VALUES (TIMESTAMP '2024-01-01 00:00:00')) a(x), \
         (VALUES (arrow_cast('9999-12-31T00:00:00', 'Timestamp(Microsecond, None)'))) b(x)",
        Fails("converted value exceeds the representable i64 range"),
    ),
    (
        "operand_types/instants.rs",
        "SELECT x = TIMESTAMP '2024-01-01 00:00:00.000000001' \
         FROM (VALUES (arrow_cast('2024-01-01T00:00:00', 'Timestamp(Microsecond, None)'))) t(x)",
        Rows(&["true"]),
    ),
    (
        "operand_types/intervals.rs",
        "SELECT TIMESTAMP '2024-01-03 00:00:00' - TIMESTAMP '2024-01-01 00:00:00' > INTERVAL '1 day'",
        Rows(&["false"]),
    ),
    ("operand_types/intervals.rs", "SELECT DATE '2024-01-01' + INTERVAL '12 hours'", Rows(&["2024-01-01"])),
    (
        "operand_types/literals.rs",
        "SELECT CAST('12345678901234567.89' AS DECIMAL(38, 2)) = 12345678901234567.89",
        Rows(&["false"]),
    ),
    (
        "operand_types/timestamps.rs",
        "SELECT TIMESTAMP '9999-12-31 00:00:00'",
        Fails("dates that can be represented as nanoseconds"),
    ),
    (
        "operand_types/timestamps.rs",
        "SELECT CAST(x AS TIMESTAMP) FROM (VALUES (DATE '9999-12-31')) t(x)",
        Fails("converted value exceeds the representable i64 range"),
    ),
    ("operand_types/printed_lists.rs", "SELECT length([1, 2])", Rows(&["6"])),
    ("operand_types/unrelated.rs", "SELECT DATE '2024-01-01' > 1998", Rows(&["true"])),
    (
        "operand_types/unrelated.rs",
        "SELECT DATE '1970-01-02' AS day UNION ALL SELECT 0",
        Rows(&["1970-01-01", "1970-01-02"]),
    ),
    ("ranks.rs", "SELECT n / 2 FROM (SELECT row_number() OVER () AS n FROM (VALUES (1)) t(x)) r", Rows(&["0.5000"])),
    (
        "ranks.rs",
        "SELECT -rank() OVER (ORDER BY x) FROM (VALUES (1)) t(x)",
        Fails("only supports signed numeric, interval and timestamp types"),
    ),
];
