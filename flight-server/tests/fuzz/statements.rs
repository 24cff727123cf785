//! Statements of every kind, good ones, damaged ones, and those that are too much of something.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::mutate::damaged_text;

/// Good statements, more or less.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT * FROM sales.orders.orders WHERE id < 10 ORDER BY id LIMIT 5",
    "SELECT id, note FROM sales.orders.orders WHERE id = ? OR note LIKE ? LIMIT ?",
    "SELECT $1 + $2, $3::varchar, cast($1 AS DECIMAL(10, 2))",
    "SELECT count(*), max(note), min(id) FROM sales.orders.orders GROUP BY id % 7 HAVING count(*) > 1",
    "SELECT a.id, b.id FROM sales.orders.orders a JOIN sales.orders.orders b ON a.id = b.id + 1 WHERE a.id < ?",
    "SELECT id, row_number() OVER (PARTITION BY id % 3 ORDER BY note) FROM sales.orders.orders LIMIT 3 OFFSET 990",
    "WITH t AS (SELECT id FROM sales.orders.orders) SELECT * FROM t WHERE id IN (SELECT id % 5 FROM t) LIMIT 10",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT * FROM n",
    "SELECT id FROM sales.orders.orders WHERE id < 3 UNION SELECT 4 EXCEPT SELECT 2 INTERSECT SELECT 2",
    "SELECT CASE WHEN id % 2 = 0 THEN 'even' ELSE NULL END, id IS NOT DISTINCT FROM NULL FROM sales.orders.orders LIMIT 4",
    "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS v (n, s) CROSS JOIN sales.orders.orders LIMIT 7",
    "SELECT EXISTS (SELECT 1 FROM sales.orders.orders o WHERE o.id = p.id) FROM sales.orders.orders p LIMIT 3",
    "SELECT array_agg(id ORDER BY id DESC) FROM sales.orders.orders WHERE id BETWEEN 5 AND 9",
    "SELECT unnest([1, 2, 3]), struct(1, 'x'), {'a': 1, 'b': 2}, map(['k'], [1])",
    "SELECT date '2020-01-31' + interval '1 month', timestamp '2020-01-01T00:00:00Z' AT TIME ZONE 'Europe/Berlin'",
    "SELECT extract(year FROM now()), date_trunc('week', now()), to_timestamp(1), make_date(2020, 2, 30)",
    "SELECT substr('text', -1, 5), lpad('x', 3, 'ab'), regexp_replace('aab', '(a+)', '\\1b'), strpos('ab', 'b')",
    "SELECT split_part('a.b.c', '.', 2), translate('abc', 'ab', 'x'), encode('x', 'hex'), sha256('x'), to_hex(255)",
    "SELECT 9223372036854775807 + ?, -9223372036854775808, 1e308 * 10, 1 / 3.0, 0.1::decimal(38, 37), abs(-5)",
    "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY id), stddev(id), corr(id, id) FROM sales.orders.orders",
    "SELECT GROUPING(id), sum(id) FROM sales.orders.orders GROUP BY ROLLUP (id) LIMIT 2",
    "SELECT arrow_cast(1, 'Dictionary(Int8, Utf8)'), arrow_cast('x', 'LargeUtf8'), arrow_typeof(interval '1 day')",
    "SELECT * FROM portolan.mesh.ports",
    "SELECT * FROM portolan.mesh.queries",
    "SELECT * FROM portolan.mesh.sessions LIMIT 3",
    "SELECT * FROM portolan.mesh.columns WHERE name = ?",
    "EXPLAIN SELECT id FROM sales.orders.orders WHERE id = ?",
    "EXPLAIN ANALYZE SELECT count(*) FROM sales.orders.orders",
    "EXPLAIN (FORMAT JSON) SELECT 1",
    "EXPLAIN (FORMAT SVG) SELECT id FROM sales.orders.orders",
    "SHOW portolan.all",
    "SHOW TABLES",
    "SET portolan.placement = 'off'",
    "SET portolan.query_timeout = 5",
    "SET portolan.adapt_factor = 'NaN'",
    "RESET portolan.placement",
    "SET catalog = sales",
    "SET schema = 'orders'",
    "USE sales",
    "CREATE TABLE list (a INT, b VARCHAR)",
    "CREATE OR REPLACE TEMPORARY TABLE list AS SELECT id AS a, note AS b FROM sales.orders.orders LIMIT 20",
    "CREATE TABLE IF NOT EXISTS other (a INT PRIMARY KEY, b DECIMAL(10, 2) NOT NULL DEFAULT 1, c TIMESTAMP, d BLOB)",
    "INSERT INTO list VALUES (1, 'one'), (2, NULL)",
    "INSERT INTO list (a, b) VALUES (?, ?)",
    "INSERT INTO list SELECT id, note FROM sales.orders.orders WHERE id < ?",
    "INSERT INTO sales.orders.orders VALUES (?, ?)",
    "UPDATE list SET b = b || ?, a = a + 1 WHERE a = ?",
    "DELETE FROM list WHERE a IN (SELECT id FROM sales.orders.orders WHERE id < ?)",
    "DELETE FROM list",
    "DROP TABLE list",
    "DROP TABLE IF EXISTS other",
    "SELECT * FROM list l JOIN sales.orders.orders o ON l.a = o.id",
    "SELECT * FROM list",
    "CALL mesh.cancel_query('x')",
    "CALL mesh.cancel_query(?)",
    "CALL mesh.close_session('nobody')",
    "DESCRIBE sales.orders.orders",
    "COPY sales.orders.orders TO '/dev/null'",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE VIEW v AS SELECT 1",
    "TRUNCATE TABLE list",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "MERGE INTO list USING list AS s ON list.a = s.a WHEN MATCHED THEN DELETE",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
];

/// Words that are put in.
const WORDS: &[&str] = &[
    "SELECT", "FROM", "WHERE", "NULL", "NOT", "IN", "(SELECT 1)", "OVER ()", "LATERAL", "UNNEST", "ARRAY", "INTERVAL",
    "''", "?", "$1", "$0", "$18446744073709551616", "?::int", "$name", "*", "LIMIT -1", "LIMIT NULL", "OFFSET ?",
    "9223372036854775808", "1e999", "x'ff'", "U&'\\0000'", "\"\"", "\"a\"\"b\"", "sales.orders.orders", "list", "id",
    "note", "sum", "count(DISTINCT", "FILTER (WHERE", "WITHIN GROUP", "ORDER BY", "NULLS FIRST", "GROUPING SETS (())",
    "CUBE", "QUALIFY", "PIVOT", "TABLESAMPLE", "::decimal(76, 76)", "::timestamp", "::interval", "AT TIME ZONE 'x'",
    "COLLATE", "ESCAPE ''", "LIKE '%\\'", "SIMILAR TO '('", "~ '(((('", "[1:2:0]", "{'a': 1}.b", "@@", "#", "->", "ALL",
    "ANY (", "AS t (a, b)", "USING (id)", "NATURAL JOIN", "FULL JOIN", "ASOF JOIN", "USE", "SET", "INSERT INTO",
];

/// Functions that are called with arguments they do not expect.
const ARGUMENTS: &[&str] = &[
    "NULL", "0", "-1", "1", "9223372036854775807", "-9223372036854775808", "1e308", "'NaN'::double", "''", "'ü'",
    "'a b c'", "'2020-02-30'", "[]", "[1, NULL]", "[[1], []]", "true", "now()", "interval '1000000000 months'",
    "date '0001-01-01'", "timestamp '9999-12-31'", "x'00ff'", "id", "note", "?", "1.5::decimal(38, 10)", "map([1], [2])",
    "18446744073709551615", "arrow_cast(1, 'UInt64')", "'(('", "'%'", "struct(1)", "[9223372036854775807]",
    "arrow_cast('x', 'Utf8View')", "arrow_cast(NULL, 'Float16')", "'yyyy-MM-dd'", "65536",
];

/// A statement: often a good one.
pub(super) fn statement(random: &mut StdRng, functions: &[String]) -> String {
    match random.random_range(0..10) {
        0..4 => (*STATEMENTS.choose(random).unwrap()).to_owned(),
        4..7 => {
            let good = STATEMENTS.choose(random).unwrap();
            damaged_text(random, good, WORDS)
        }
        _ => calls(random, functions),
    }
}

/// A query that calls functions with whatever there is.
fn calls(random: &mut StdRng, functions: &[String]) -> String {
    let function = functions.choose(random).unwrap();
    let arguments: Vec<String> = (0..random.random_range(0..5)).map(|_| argument(random, functions, 2)).collect();
    let arguments = arguments.join(", ");
    match random.random_range(0..4) {
        0 => format!("SELECT {function}({arguments})"),
        1 => format!("SELECT {function}({arguments}) FROM sales.orders.orders LIMIT 5"),
        2 => format!("SELECT {function}({arguments}) OVER (ORDER BY id) FROM sales.orders.orders WHERE id < 9"),
        _ => format!("SELECT id % 3, {function}({arguments}) FROM sales.orders.orders WHERE id < 20 GROUP BY 1"),
    }
}

fn argument(random: &mut StdRng, functions: &[String], depth: usize) -> String {
    if depth == 0 || random.random_bool(0.8) {
        return (*ARGUMENTS.choose(random).unwrap()).to_owned();
    }
    let function = functions.choose(random).unwrap();
    format!("{function}({})", argument(random, functions, depth - 1))
}

/// Statements that are too long, too deep or ask for too much. Each is answered, with rows or with an error.
pub(super) fn extremes() -> Vec<String> {
    let chain = |link: &str, n: usize| format!("SELECT 1{}", link.repeat(n));
    let nested = |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
    let mut all = vec![];
    for n in [60, 400, 980, 1_900, 30_000, 300_000] {
        all.extend([
            nested("(", ")", n),
            nested("abs(", ")", n),
            nested("[", "]", n),
            nested("CASE WHEN true THEN ", " END", n),
            nested("NOT ", "", n),
            nested("- ", "", n),
            nested("(SELECT ", ")", n),
            nested("", "::int", n),
            nested("", "[1]", n),
            nested("", " IS NULL", n),
            nested("", " AT TIME ZONE 'UTC'", n),
            nested("", " COLLATE x", n),
            chain(" + 1", n),
            chain(" AND true", n),
            chain(" OR id = 1", n),
            chain(" || 'x'", n),
            chain(" UNION SELECT 1", n),
            chain(" UNION ALL SELECT 1", n),
            chain(" EXCEPT SELECT 1", n),
            chain(" FROM sales.orders.orders a", 1) + &" CROSS JOIN (SELECT 1)".repeat(n),
            chain(" FROM (SELECT 1) a", 1) + &", (SELECT 1)".repeat(n),
            chain(" IN (1", 1) + &", 1".repeat(n) + ")",
            chain(", 1", n),
            format!("SELECT a{}", ".a".repeat(n)),
            format!("{}SELECT 1", "EXPLAIN ".repeat(n)),
            format!("{}SELECT 1{}", "SELECT * FROM (".repeat(n), ")".repeat(n)),
            format!("SELECT * FROM {}sales.orders.orders{}", "(".repeat(n), ")".repeat(n)),
            format!("VALUES (1){}", ", (1)".repeat(n)),
            format!("WITH a0 AS (SELECT 1){} SELECT 1", (1..n.min(3000)).map(|i| format!(", a{i} AS (SELECT * FROM a{})", i - 1)).collect::<String>()),
            format!("SELECT ?{}", ", ?".repeat(n)),
            format!("SELECT \"{}\"", "x".repeat(n)),
            format!("SELECT '{}'", "x".repeat(n)),
            format!("SET schema = '{}'", "x".repeat(n)),
            format!("SET {} = 1", "x".repeat(n)),
            format!("CREATE TABLE \"{}\" (a INT)", "x".repeat(n)),
            format!("CREATE TABLE wide (c INT{})", (0..n).map(|i| format!(", c{i} INT")).collect::<String>()),
            format!("CREATE TABLE deep (c INT{})", "[]".repeat(n)),
            format!("CREATE TABLE deeper (c {}INT{})", "ARRAY<".repeat(n), ">".repeat(n)),
            format!("SELECT arrow_cast(1, '{}Int8{}')", "List(".repeat(n), ")".repeat(n)),
            format!("SELECT 1 WHERE 'x' ~ '{}a{}'", "(".repeat(n), ")".repeat(n)),
            format!("SELECT 'x' LIKE '{}'", "%a".repeat(n)),
            format!("SELECT INTERVAL '{} days'", "9".repeat(n)),
            format!("SELECT {}", "9".repeat(n)),
            format!("SELECT $1{}", "0".repeat(n)),
            format!("/* {} */ SELECT 1", "/* ".repeat(n)),
        ]);
    }
    all.extend(
        [
            "SELECT repeat('x', 1000000000000)",
            "SELECT repeat('x', 2000000000)",
            "SELECT repeat(note, 10000000) FROM sales.orders.orders",
            "SELECT lpad('x', 2147483647, 'y')",
            "SELECT rpad('x', 9223372036854775807, 'y')",
            "SELECT lpad(arrow_cast('x', 'LargeUtf8'), 1000000000000, 'y')",
            "SELECT array_repeat(1, 9223372036854775807)",
            "SELECT array_repeat(1, 1000000000000)",
            "SELECT array_resize([1], 1000000000000)",
            "SELECT array_resize([1], 9223372036854775807, 1)",
            "SELECT range(0, 9223372036854775807)",
            "SELECT generate_series(0, 1000000000000)",
            "SELECT generate_series(date '0001-01-01', date '9999-12-31', interval '1 day')",
            "SELECT * FROM generate_series(0, 9223372036854775807) LIMIT 3",
            "SELECT count(*) FROM range(1000000000000)",
            "SELECT range(0, 1, 0)",
            "SELECT arrow_cast('x', 'FixedSizeBinary(2147483647)')",
            "SELECT arrow_cast([1], 'FixedSizeList(2147483647, Int64)')",
            "SELECT arrow_cast(NULL, 'FixedSizeBinary(2147483647)')",
            "SELECT arrow_cast(NULL, 'FixedSizeList(2147483647, Int64)')",
            "SELECT arrow_cast(1, 'Decimal128(38, -128)')",
            "SELECT 1::decimal(76, -76)",
            "SELECT 10 ^ 400, power(0, -1), factorial(100), log(0, 0), 5 % 0, 5 / 0, -9223372036854775808 / -1",
            "SELECT (-9223372036854775808) % (-1), abs(-9223372036854775808)",
            "SELECT lcm(9223372036854775807, 9223372036854775806), gcd(-9223372036854775808, 0)",
            "SELECT 1 << 100, 1 >> -1, 1 << 64",
            "SELECT chr(1114112), chr(-1), chr(55296), ascii('')",
            "SELECT date_bin(interval '0 seconds', now(), now())",
            "SELECT date_bin(interval '1 month', timestamp '0001-01-01', timestamp '9999-12-31')",
            "SELECT date '9999-12-31' + interval '2147483647 months'",
            "SELECT timestamp '2262-04-11T23:47:16' + interval '1 year'",
            "SELECT to_timestamp(9223372036854775807), to_timestamp_seconds(-9223372036854775808)",
            "SELECT to_char(now(), '%'), to_char(now(), '%Q%%%-')",
            "SELECT make_date(2147483647, 12, 31), make_date(-2147483648, 1, 1)",
            "SELECT from_unixtime(9223372036854775807)",
            "SELECT array_element([1], -9223372036854775808), array_slice([1, 2], -9223372036854775808, 9223372036854775807)",
            "SELECT substr('abc', -9223372036854775808, 9223372036854775807), left('abc', -9223372036854775808)",
            "SELECT right('abc', -9223372036854775808), split_part('a', '', -9223372036854775808)",
            "SELECT regexp_like('x', '(x{1000}){1000}')",
            "SELECT regexp_match('aaaaaaaaaaaaaaaaaaaaaaaa', '(a*)*b')",
            "SELECT regexp_count('x', '', -1), regexp_instr('x', 'x', 9223372036854775807)",
            "SELECT nth_value(id, 0) OVER (), nth_value(id, -9223372036854775808) OVER () FROM sales.orders.orders",
            "SELECT lag(id, -9223372036854775808) OVER (ORDER BY id) FROM sales.orders.orders",
            "SELECT lead(id, 9223372036854775807) OVER (ORDER BY id) FROM sales.orders.orders",
            "SELECT ntile(0) OVER (), ntile(9223372036854775807) OVER () FROM sales.orders.orders",
            "SELECT sum(id) OVER (ROWS BETWEEN 9223372036854775807 PRECEDING AND 18446744073709551615 FOLLOWING) FROM sales.orders.orders",
            "SELECT sum(id) OVER (ORDER BY id RANGE BETWEEN 9223372036854775807 PRECEDING AND 1 FOLLOWING) FROM sales.orders.orders",
            "SELECT approx_percentile_cont(id, 0.5, 1000000000000) FROM sales.orders.orders",
            "SELECT approx_percentile_cont(id, 0.5, -1) FROM sales.orders.orders",
            "SELECT approx_percentile_cont(id, 2.0) FROM sales.orders.orders",
            "SELECT id FROM sales.orders.orders LIMIT 9223372036854775807 OFFSET 9223372036854775807",
            "SELECT id FROM sales.orders.orders ORDER BY id LIMIT 9223372036854775807",
            "SELECT id FROM sales.orders.orders ORDER BY id LIMIT 1000000000000 OFFSET 9223372036854775807",
            "SELECT * FROM sales.orders.orders a, sales.orders.orders b, sales.orders.orders c, sales.orders.orders d",
            "SELECT count(*) FROM sales.orders.orders a, sales.orders.orders b WHERE a.note || b.note LIKE '%z%'",
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
            "WITH RECURSIVE n AS (SELECT 'x' AS i UNION ALL SELECT i || i FROM n) SELECT max(i) FROM n",
            "WITH RECURSIVE n AS (SELECT * FROM n) SELECT * FROM n",
            "SELECT array_agg(a.note || b.note) FROM sales.orders.orders a, sales.orders.orders b",
            "SELECT string_agg(repeat(note, 1000), ',') FROM sales.orders.orders a CROSS JOIN range(100)",
            "CREATE TABLE big AS SELECT repeat('x', 1000000) FROM sales.orders.orders",
            "CREATE TABLE nulls AS SELECT NULL AS n FROM sales.orders.orders a, sales.orders.orders b",
            "SET portolan.query_timeout = 99999999999999999999",
            "SET portolan.query_timeout = -1",
            "SET portolan.key_wait = 1e300",
            "SET portolan.adapt_factor = 'inf'",
        ]
        .map(str::to_owned),
    );
    all
}
