//! Queries whose SQL runs in SQLite: SQLite returns the rows that DataFusion returns.

use super::both::Both;

#[tokio::test]
async fn logic_is_the_same() {
    Both::new()
        .conditions(&[
            "open",
            "NOT open",
            "open IS TRUE",
            "open IS NOT TRUE",
            "open IS FALSE",
            "open IS NOT FALSE",
            "open IS UNKNOWN",
            "open IS NOT UNKNOWN",
            "open AND big > 0",
            "open OR big > 0",
            "open AND (big > 0 OR name = 'a')",
            "(open OR big > 0) AND (small > 0 OR NOT open)",
            "NOT (open AND big > 0)",
            "NOT (open OR name = 'a')",
            "open = (big > 0)",
            "open <> (big > 0)",
            "(big IS NULL) = (name IS NULL)",
            "(big IS NULL) <> open",
            "open IS DISTINCT FROM (small > 0)",
            "open IS NOT DISTINCT FROM (small > 0)",
            "(big > 0) IS TRUE OR (small > 0) IS NOT FALSE",
            "(big > 0 AND small > 0) IS UNKNOWN",
            "open AND NULL",
            "open OR CAST(NULL AS BOOLEAN)",
            "name IS NULL",
            "name IS NOT NULL AND day IS NULL",
            "NOT (name = 'a' AND open)",
            "NOT (NOT (name = 'a') OR open)",
        ])
        .await;
}

#[tokio::test]
async fn comparisons_are_the_same() {
    Both::new()
        .conditions(&[
            "big = 2",
            "big <> 2",
            "big < 2",
            "big <= 2",
            "big > -7",
            "big >= 9007199254740993",
            "big = 9223372036854775807",
            "big > -9223372036854775808",
            "big = -9223372036854775808",
            "big BETWEEN -7 AND 7",
            "big NOT BETWEEN -7 AND 7",
            "big BETWEEN 7 AND -7",
            "big BETWEEN small AND 12",
            "big BETWEEN NULL AND 7",
            "big = small",
            "big < small",
            "big <> small",
            "small = 2147483647",
            "small > -2147483648",
            "small IS DISTINCT FROM 3",
            "small IS NOT DISTINCT FROM 3",
            "small IS DISTINCT FROM NULL",
            "big IS DISTINCT FROM small",
            "big IS NOT DISTINCT FROM small",
            "weight = 1.5",
            "weight <> 1.5",
            "weight > 0.1",
            "weight >= 0.1",
            "weight < -0.25",
            "weight = 0",
            "weight > 1e20",
            "weight BETWEEN -1.5 AND 2",
            "weight IS DISTINCT FROM 2.0",
            "name = 'a'",
            "name <> 'a'",
            "name = 'A'",
            "name = 'a '",
            "name = ''",
            "name <> ''",
            "name = 'é'",
            "name = 'ß'",
            "name = '12'",
            "name = 'O''Neil'",
            "name < 'a'",
            "name <= 'a'",
            "name > 'a'",
            "name >= 'a '",
            "name > 'Z'",
            "name > 'ß'",
            "name BETWEEN 'A' AND 'a'",
            "name NOT BETWEEN ' ' AND 'b'",
            "name = other",
            "name <> other",
            "name < other",
            "name >= other",
            "name IS DISTINCT FROM other",
            "name IS NOT DISTINCT FROM other",
            "name IS DISTINCT FROM 'a'",
            "name IS NOT DISTINCT FROM NULL",
            "day = DATE '1970-01-01'",
            "day <> DATE '1970-01-01'",
            "day < DATE '1970-01-01'",
            "day >= DATE '2000-01-01'",
            "day <= DATE '0001-01-01'",
            "day > DATE '9999-12-30'",
            "day BETWEEN DATE '1900-01-01' AND DATE '2024-02-29'",
            "day IS DISTINCT FROM DATE '1970-01-01'",
        ])
        .await;
}

#[tokio::test]
async fn lists_are_the_same() {
    let both = Both::new();
    both.conditions(&[
        "big IN (2, 7, 12)",
        "big NOT IN (2, 7, 12)",
        "big IN (2, NULL)",
        "big NOT IN (2, NULL)",
        "big IN (2, small)",
        "big IN (9223372036854775807, -9223372036854775808, 5, 6)",
        "small IN (1, 2, 3, 4, 5)",
        "name IN ('a', 'é', '', '12')",
        "name NOT IN ('a', 'é', '', '12')",
        "name IN ('a', NULL, 'A ')",
        "name NOT IN ('a', NULL, 'A ')",
        "name IN (other, 'a')",
        "name NOT IN (other, 'a', 'b', 'c')",
        "day IN (DATE '1970-01-01', DATE '2024-02-29', DATE '2000-02-29', DATE '1970-03-01')",
        "open IN (true)",
    ])
    .await;
    let many = |text: bool| {
        let items = (0..1200).map(|i| if text { format!("'{i}'") } else { i.to_string() });
        items.collect::<Vec<_>>().join(", ")
    };
    both.condition(&format!("big IN ({})", many(false))).await;
    both.condition(&format!("name NOT IN ({})", many(true))).await;
}

#[tokio::test]
async fn patterns_are_the_same() {
    Both::new()
        .conditions(&[
            "name LIKE 'a'",
            "name LIKE 'a%'",
            "name LIKE '%c'",
            "name LIKE '%b%'",
            "name LIKE '_'",
            "name LIKE '__'",
            "name LIKE '%'",
            "name LIKE '%_%'",
            "name LIKE ''",
            "name LIKE 'A%'",
            "name LIKE 'a_c'",
            "name LIKE 'ab_c'",
            "name LIKE '_x'",
            "name LIKE 'é'",
            "name LIKE 'e_'",
            "name LIKE '% '",
            r"name LIKE '%\%%'",
            r"name LIKE '%\_%'",
            r"name LIKE '%\\%'",
            r"name LIKE '50\%\_\\[*]?'",
            r"name LIKE '\a%'",
            "name LIKE '%[%'",
            "name LIKE '%*%'",
            "name LIKE '%?'",
            "name LIKE '%]%'",
            "name LIKE 'O''%'",
            "name NOT LIKE 'a%'",
            "name NOT LIKE '%b%'",
            "name LIKE 'a%' OR other LIKE '%a'",
            "substr(name, 1, 1) LIKE 'a'",
        ])
        .await;
}

#[tokio::test]
async fn cases_are_the_same() {
    let both = Both::new();
    both.values(&[
        "CASE WHEN open THEN big ELSE 0 END",
        "CASE WHEN open THEN big END",
        "CASE WHEN name = 'a' THEN 'x' WHEN name = 'A' THEN other ELSE name END",
        "CASE name WHEN 'a' THEN 1 WHEN 'é' THEN 2 ELSE 3 END",
        "CASE WHEN big > 0 THEN day ELSE DATE '2024-01-31' END",
        "CASE WHEN weight > 0 THEN weight ELSE 1.5 END",
        "CASE WHEN open THEN true WHEN NOT open THEN false END",
        "CASE WHEN big IS NULL THEN 'none' WHEN big < 0 THEN 'minus' ELSE 'plus' END",
        "CASE small WHEN 3 THEN 'three' END",
        "COALESCE(name, other, 'x')",
        "COALESCE(big, 5)",
        "COALESCE(day, DATE '2024-01-31')",
        "NULLIF(big, 2)",
        "NULLIF(name, 'a')",
        "NULLIF(name, other)",
    ])
    .await;
    both.conditions(&[
        "CASE WHEN open THEN big ELSE 0 END > 1",
        "CASE WHEN open THEN name ELSE other END = 'a'",
        "CASE WHEN open THEN name ELSE other END > 'a'",
        "COALESCE(name, other) = 'a'",
        "COALESCE(open, false)",
        "CASE WHEN big > 0 THEN small > 0 ELSE open END",
    ])
    .await;
}

#[tokio::test]
async fn arithmetic_is_the_same() {
    let both = Both::new();
    both.values(&[
        "CAST(small AS BIGINT) + 1",
        "CAST(small AS BIGINT) - 1",
        "CAST(small AS BIGINT) * 2147483647",
        "CAST(small AS BIGINT) + 7 * 3 - 5",
        "5 - CAST(small AS BIGINT) * -3",
        "big / 7",
        "big % 7",
        "big / 9223372036854775807",
        "small % 5",
        "CAST(small AS BIGINT) / 2",
        "CAST(small AS DOUBLE)",
        "CAST(small AS BIGINT)",
    ])
    .await;
    both.conditions(&[
        "CAST(small AS BIGINT) * 2 > big",
        "CAST(small AS DOUBLE) > weight",
        "big % 2 = 1",
        "big / 3 <= 2",
    ])
    .await;
}

#[tokio::test]
async fn functions_are_the_same() {
    let both = Both::new();
    both.values(&[
        "substr(name, 1, 2)",
        "substr(name, 2)",
        "substr(name, 2, 100)",
        "substr(name, 1, 0)",
        "substr(name, 50, 2)",
        "character_length(name)",
        "octet_length(name)",
        "date_part('year', day)",
        "date_part('month', day)",
        "date_part('day', day)",
    ])
    .await;
    both.conditions(&[
        "substr(name, 1, 1) = 'a'",
        "substr(name, 1, 1) IN ('a', 'b', 'é')",
        "substr(name, 1, 1) = substr(other, 1, 1)",
        "character_length(name) = 1",
        "octet_length(name) > character_length(name)",
        "date_part('year', day) = 1970",
        "date_part('month', day) > 1",
        "date_part('day', day) <> 1",
    ])
    .await;
}

#[tokio::test]
async fn groups_are_the_same() {
    let both = Both::new();
    for statement in [
        "SELECT count(*) FROM t",
        "SELECT count(name), count(big), count(DISTINCT name), count(DISTINCT big) FROM t",
        "SELECT min(big), max(big), min(name), max(name), min(day), max(day) FROM t",
        "SELECT min(name), max(name) FROM t WHERE big > 9223372036854775806 AND big < 0",
        "SELECT count(*), max(name), sum(small) FROM t WHERE name = 'nobody'",
        "SELECT sum(small) FROM t",
        "SELECT sum(small) FILTER (WHERE open), count(*) FILTER (WHERE name > 'a') FROM t",
        "SELECT open, count(*), sum(small) FROM t GROUP BY open",
        "SELECT name, count(*) FROM t GROUP BY name",
        "SELECT big, count(*) FROM t GROUP BY big",
        "SELECT day, open, max(name) FROM t GROUP BY day, open",
        "SELECT substr(name, 1, 1), count(*) FROM t GROUP BY substr(name, 1, 1)",
        "SELECT name > 'a', count(*) FROM t GROUP BY name > 'a'",
        "SELECT CASE WHEN open THEN name ELSE other END AS c, count(*) FROM t GROUP BY 1",
        "SELECT date_part('year', day) AS y, count(*) FROM t GROUP BY 1",
        "SELECT open, count(*) AS n FROM t GROUP BY open HAVING count(*) > 4",
        "SELECT open, max(name) FROM t GROUP BY open HAVING max(name) > 'b'",
        "SELECT DISTINCT name FROM t",
        "SELECT DISTINCT open, big FROM t",
        "SELECT DISTINCT label FROM u",
        "SELECT count(*) FROM (SELECT DISTINCT label FROM u) AS d",
        "SELECT label, count(*) FROM (SELECT name AS label FROM t UNION ALL SELECT label FROM u) AS b GROUP BY label",
        "SELECT name FROM t UNION SELECT label FROM u",
        "SELECT name, big FROM t UNION ALL SELECT label, k FROM u",
        "SELECT open, count(DISTINCT name) FROM t GROUP BY open",
    ] {
        both.check(statement).await;
    }
}

#[tokio::test]
async fn orders_are_the_same() {
    let both = Both::new();
    for statement in [
        "SELECT id FROM t ORDER BY name ASC NULLS LAST, id LIMIT 7",
        "SELECT id FROM t ORDER BY name DESC NULLS FIRST, id LIMIT 7",
        "SELECT id FROM t ORDER BY name ASC NULLS FIRST, id LIMIT 7",
        "SELECT id FROM t ORDER BY name DESC NULLS LAST, id LIMIT 3 OFFSET 5",
        "SELECT name FROM t ORDER BY name LIMIT 30",
        "SELECT id FROM t ORDER BY big, id LIMIT 5",
        "SELECT id FROM t ORDER BY big DESC, id DESC LIMIT 5",
        "SELECT id FROM t ORDER BY day, id LIMIT 20",
        "SELECT id FROM t ORDER BY weight DESC NULLS LAST, id LIMIT 20",
        "SELECT id FROM t ORDER BY date_part('month', day), id LIMIT 9",
        "SELECT id FROM t ORDER BY substr(name, 1, 1) DESC, id LIMIT 9",
        "SELECT name FROM (SELECT id, name FROM t ORDER BY id DESC LIMIT 5) AS top ORDER BY name LIMIT 2",
        "SELECT max(name) FROM (SELECT name FROM t ORDER BY id LIMIT 5 OFFSET 1) AS top",
        "SELECT open, count(*) AS n FROM t GROUP BY open ORDER BY n DESC, open LIMIT 2",
    ] {
        both.check(statement.replace("DESC, open LIMIT", "DESC LIMIT").as_str()).await;
    }
}

#[tokio::test]
async fn joins_are_the_same() {
    let both = Both::new();
    for statement in [
        "SELECT t.id, u.n FROM t JOIN u ON t.big = u.k",
        "SELECT t.id, u.n FROM t JOIN u ON t.name = u.label",
        "SELECT t.id, u.n FROM t LEFT JOIN u ON t.name = u.label",
        "SELECT t.id, u.n FROM t RIGHT JOIN u ON t.big = u.k AND t.small > 0",
        "SELECT t.id, u.n FROM t LEFT JOIN u ON t.big = u.k AND u.n > 1",
        "SELECT t.id, u.n FROM t FULL JOIN u ON t.big = u.k",
        "SELECT t.id, u.k FROM t CROSS JOIN u",
        "SELECT t.id, u.k FROM t JOIN u ON t.big > u.k AND t.name < u.label",
        "SELECT id FROM t WHERE name IN (SELECT label FROM u)",
        "SELECT id FROM t WHERE name NOT IN (SELECT label FROM u WHERE label IS NOT NULL)",
        "SELECT id FROM t WHERE name NOT IN (SELECT label FROM u)",
        "SELECT id FROM t WHERE big NOT IN (SELECT k FROM u WHERE k > 1000)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.big AND u.n > 0)",
        "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.label = t.name)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.big) OR open",
        "SELECT id FROM t WHERE big > (SELECT max(n) FROM u)",
        "SELECT id FROM t WHERE name = (SELECT max(label) FROM u WHERE k > 1000)",
        "SELECT t.id FROM t JOIN (SELECT label, count(*) AS c FROM u GROUP BY label) AS g ON g.label = t.name AND g.c > 1",
        "SELECT l.id, r.id FROM t AS l JOIN t AS r ON l.name = r.other",
        "SELECT a.k, b.k FROM u AS a JOIN u AS b ON a.k IS NOT DISTINCT FROM b.k",
        "SELECT count(*) FROM t LEFT JOIN (SELECT k, 1 AS one FROM u) AS c ON c.k = t.big WHERE c.one IS NULL",
        "SELECT t.id, c.one FROM t LEFT JOIN (SELECT k, 1 AS one FROM u) AS c ON c.k = t.big",
        "SELECT name FROM t INTERSECT SELECT label FROM u",
        "SELECT name FROM t EXCEPT SELECT label FROM u",
    ] {
        both.check(statement).await;
    }
}
