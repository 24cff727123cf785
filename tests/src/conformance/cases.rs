//! Queries over the tables of the suite, with their rows. `@` in a query stands for `lab.samples.`.

/// A query, and its rows as [`Ways::gives`](crate::ways::Ways::gives) expects them.
pub type Case = (&'static str, &'static [&'static str]);

/// Queries over the table `names`.
pub const NAMES: &[Case] = &[
    (r#"SELECT "Upper", "say ""x""" FROM @names WHERE "a b" = 2 AND "order" > 0"#, &["3|4"]),
    (r#"SELECT "a,b", plain FROM @names WHERE "Größe" IN (16, 17)"#, &["17|11"]),
    (r#"SELECT "say ""x""", max("a b") FROM @names GROUP BY "say ""x""""#, &["4|2", "14|12"]),
    (r#"SELECT "order" FROM @names ORDER BY "Upper" DESC NULLS LAST LIMIT 1"#, &["15"]),
    (
        r#"SELECT l."Upper", r."Größe" FROM @names l JOIN @names r ON l."a b" = r."a b" WHERE r."say ""x""" = 4"#,
        &["3|6"],
    ),
];

/// Scans, projections and expressions.
pub const SCANS: &[Case] = &[
    ("SELECT * FROM @items", &["1|a|10|apple", "2|a|NULL|Apricot", "3|b|5|banana", "4|NULL|5|a%b", "5|c|-1|NULL"]),
    ("SELECT word, id FROM @items", &["apple|1", "Apricot|2", "banana|3", "a%b|4", "NULL|5"]),
    ("SELECT count(*) FROM @items", &["5"]),
    ("SELECT 1 FROM @items", &["1", "1", "1", "1", "1"]),
    ("SELECT id, qty * 2 FROM @items", &["1|20", "2|NULL", "3|10", "4|10", "5|-2"]),
    ("SELECT coalesce(qty, 0) + 1 FROM @items", &["11", "1", "6", "6", "0"]),
    (
        "SELECT id, CASE WHEN qty > 5 THEN 'many' WHEN qty IS NULL THEN 'none' ELSE 'few' END FROM @items",
        &["1|many", "2|none", "3|few", "4|few", "5|few"],
    ),
    (
        "SELECT upper(word), character_length(word) FROM @items",
        &["APPLE|5", "APRICOT|7", "BANANA|6", "A%B|3", "NULL|NULL"],
    ),
    ("SELECT word || '!' FROM @items WHERE id < 3", &["apple!", "Apricot!"]),
    (
        "SELECT id, row_number() OVER (ORDER BY id DESC), sum(qty) OVER (PARTITION BY kind) FROM @items",
        &["1|5|10", "2|4|10", "3|3|5", "4|2|5", "5|1|-1"],
    ),
];

/// Conditions on the table `items`, with the ids of the rows for which they hold.
pub const CONDITIONS: &[Case] = &[
    ("qty = 5", &["3", "4"]),
    ("qty <> 5", &["1", "5"]),
    ("qty < 5", &["5"]),
    ("qty <= 5", &["3", "4", "5"]),
    ("qty > 5", &["1"]),
    ("qty >= 5", &["1", "3", "4"]),
    ("qty BETWEEN 5 AND 10", &["1", "3", "4"]),
    ("qty NOT BETWEEN 5 AND 10", &["5"]),
    ("qty IS DISTINCT FROM 5", &["1", "2", "5"]),
    ("kind = 'a'", &["1", "2"]),
    ("kind > 'a'", &["3", "5"]),
    ("word > 'apple'", &["3"]),
    ("qty IS NULL", &["2"]),
    ("kind IS NOT NULL", &["1", "2", "3", "5"]),
    ("kind IN ('a', 'c')", &["1", "2", "5"]),
    ("qty IN (10, 5, -1, 7, 8)", &["1", "3", "4", "5"]),
    ("qty IN (5, NULL)", &["3", "4"]),
    ("qty NOT IN (5)", &["1", "5"]),
    ("qty NOT IN (5, NULL)", &[]),
    ("word LIKE 'a%'", &["1", "4"]),
    ("word LIKE '%an%'", &["3"]),
    ("word LIKE '_pple'", &["1"]),
    ("word LIKE '%'", &["1", "2", "3", "4"]),
    ("word LIKE 'a!%b' ESCAPE '!'", &["4"]),
    ("word ILIKE 'ap%'", &["1", "2"]),
    ("word NOT LIKE '%a%'", &["2"]),
    ("qty = 5 AND kind = 'b'", &["3"]),
    ("qty = 5 OR kind = 'a'", &["1", "2", "3", "4"]),
    ("NOT (qty = 5)", &["1", "5"]),
    ("NOT (qty = 5 AND kind = 'b')", &["1", "2", "5"]),
    ("NOT (qty > 100 OR kind = 'a')", &["3", "5"]),
    ("(qty = 5) IS NULL", &["2"]),
    ("(qty = 5) IS NOT TRUE", &["1", "2", "5"]),
    ("(qty = 5) IS FALSE", &["1", "5"]),
    ("qty = (SELECT max(qty) FROM @items)", &["1"]),
];

/// Aggregates and DISTINCT.
pub const AGGREGATES: &[Case] = &[
    (
        "SELECT count(*), count(qty), sum(qty), min(qty), max(qty), min(word), max(word) FROM @items",
        &["5|4|19|-1|10|Apricot|banana"],
    ),
    ("SELECT avg(qty) FROM @items", &["4.75"]),
    ("SELECT count(DISTINCT qty), count(DISTINCT kind) FROM @items", &["3|3"]),
    ("SELECT count(*) FILTER (WHERE qty > 0) FROM @items", &["3"]),
    ("SELECT count(*), sum(qty), max(word) FROM @items WHERE id > 100", &["0|NULL|NULL"]),
    (
        "SELECT kind, count(*), sum(qty), max(word) FROM @items GROUP BY kind",
        &["a|2|10|apple", "b|1|5|banana", "NULL|1|5|a%b", "c|1|-1|NULL"],
    ),
    ("SELECT kind, count(*) FROM @items GROUP BY kind HAVING count(*) > 1", &["a|2"]),
    ("SELECT qty IS NULL, count(*) FROM @items GROUP BY qty IS NULL", &["false|4", "true|1"]),
    ("SELECT DISTINCT kind FROM @items", &["a", "b", "NULL", "c"]),
    ("SELECT DISTINCT qty FROM @items", &["10", "NULL", "5", "-1"]),
    ("SELECT DISTINCT kind, qty IS NULL FROM @items", &["a|false", "a|true", "b|false", "NULL|false", "c|false"]),
];

/// Joins of two ports of one domain.
pub const JOINS: &[Case] = &[
    ("SELECT i.id, k.label FROM @items i JOIN @kinds k ON i.kind = k.name", &["1|first", "2|first", "3|second"]),
    (
        "SELECT i.id, k.label FROM @items i LEFT JOIN @kinds k ON i.kind = k.name",
        &["1|first", "2|first", "3|second", "4|NULL", "5|NULL"],
    ),
    (
        "SELECT i.id, k.label FROM @items i LEFT JOIN @kinds k ON i.kind = k.name AND k.label = 'first'",
        &["1|first", "2|first", "3|NULL", "4|NULL", "5|NULL"],
    ),
    ("SELECT i.id FROM @items i LEFT JOIN @kinds k ON i.kind = k.name WHERE k.label IS NULL", &["4", "5"]),
    (
        "SELECT i.id, k.label FROM @items i RIGHT JOIN @kinds k ON i.kind = k.name",
        &["1|first", "2|first", "3|second", "NULL|fourth", "NULL|none"],
    ),
    (
        "SELECT i.id, k.label FROM @items i FULL JOIN @kinds k ON i.kind = k.name",
        &["1|first", "2|first", "3|second", "4|NULL", "5|NULL", "NULL|fourth", "NULL|none"],
    ),
    ("SELECT count(*) FROM @items CROSS JOIN @kinds", &["20"]),
    ("SELECT a.id, b.id FROM @items a JOIN @items b ON a.qty = b.qty AND a.id < b.id", &["3|4"]),
    (
        "SELECT i.id, k.label FROM @items i JOIN @kinds k ON i.kind IS NOT DISTINCT FROM k.name",
        &["1|first", "2|first", "3|second", "4|none"],
    ),
    (
        "SELECT k.label, count(*), sum(i.qty) FROM @items i JOIN @kinds k ON i.kind = k.name GROUP BY k.label",
        &["first|2|10", "second|1|5"],
    ),
    ("SELECT id FROM @items i WHERE EXISTS (SELECT 1 FROM @kinds k WHERE k.name = i.kind)", &["1", "2", "3"]),
    (
        "SELECT id FROM @items i WHERE EXISTS (SELECT 1 FROM @kinds k WHERE k.name = i.kind AND k.label <> 'first')",
        &["3"],
    ),
    ("SELECT id FROM @items i WHERE NOT EXISTS (SELECT 1 FROM @kinds k WHERE k.name = i.kind)", &["4", "5"]),
    ("SELECT label FROM @kinds k WHERE EXISTS (SELECT 1 FROM @items i WHERE i.kind = k.name)", &["first", "second"]),
    ("SELECT label FROM @kinds k WHERE NOT EXISTS (SELECT 1 FROM @items i WHERE i.kind = k.name)", &["fourth", "none"]),
    ("SELECT id FROM @items WHERE kind IN (SELECT name FROM @kinds)", &["1", "2", "3"]),
    ("SELECT id FROM @items WHERE kind NOT IN (SELECT name FROM @kinds)", &[]),
    ("SELECT id FROM @items WHERE kind NOT IN (SELECT name FROM @kinds WHERE name IS NOT NULL)", &["5"]),
];

/// Orders, limits and set operations.
pub const ORDERS: &[Case] = &[
    ("SELECT id FROM @items ORDER BY qty NULLS FIRST, id", &["2", "5", "3", "4", "1"]),
    ("SELECT id FROM @items ORDER BY qty NULLS LAST, id", &["5", "3", "4", "1", "2"]),
    ("SELECT id FROM @items ORDER BY qty DESC NULLS FIRST, id", &["2", "1", "3", "4", "5"]),
    ("SELECT id FROM @items ORDER BY qty DESC NULLS LAST, id", &["1", "3", "4", "5", "2"]),
    ("SELECT id FROM @items ORDER BY kind NULLS FIRST, id DESC", &["4", "2", "1", "3", "5"]),
    ("SELECT id FROM @items ORDER BY word NULLS LAST", &["2", "4", "1", "3", "5"]),
    ("SELECT id FROM @items ORDER BY qty NULLS FIRST, id LIMIT 2", &["2", "5"]),
    ("SELECT id FROM @items ORDER BY qty DESC NULLS LAST, id LIMIT 2 OFFSET 1", &["3", "4"]),
    ("SELECT id FROM @items ORDER BY id OFFSET 3", &["4", "5"]),
    ("SELECT id FROM @items ORDER BY id LIMIT 0", &[]),
    ("SELECT count(*) FROM (SELECT id FROM @items LIMIT 3) AS t", &["3"]),
    ("SELECT count(*) FROM (SELECT id FROM @items OFFSET 4) AS t", &["1"]),
    ("SELECT kind FROM @items UNION ALL SELECT name FROM @kinds", &["a", "a", "b", "NULL", "c", "a", "b", "d", "NULL"]),
    ("SELECT kind FROM @items UNION SELECT name FROM @kinds", &["a", "b", "c", "d", "NULL"]),
    ("SELECT kind FROM @items INTERSECT SELECT name FROM @kinds", &["a", "b", "NULL"]),
    ("SELECT kind FROM @items EXCEPT SELECT name FROM @kinds", &["c"]),
    ("SELECT count(*), count(v) FROM (SELECT kind AS v FROM @items UNION ALL SELECT name FROM @kinds) AS t", &["9|7"]),
];

/// Queries over the table `nothing`, which has no row.
pub const EMPTY: &[Case] = &[
    ("SELECT * FROM @nothing", &[]),
    ("SELECT count(*), count(id), sum(qty), max(word) FROM @nothing", &["0|0|NULL|NULL"]),
    ("SELECT kind, count(*) FROM @nothing GROUP BY kind", &[]),
    ("SELECT count(*) FROM @nothing HAVING count(*) > 0", &[]),
    ("SELECT DISTINCT kind FROM @nothing", &[]),
    ("SELECT id FROM @nothing WHERE id IS NULL", &[]),
    ("SELECT id FROM @nothing ORDER BY id LIMIT 1", &[]),
    ("SELECT i.id FROM @items i JOIN @nothing n ON i.id = n.id", &[]),
    (
        "SELECT i.id, n.word FROM @items i LEFT JOIN @nothing n ON i.id = n.id",
        &["1|NULL", "2|NULL", "3|NULL", "4|NULL", "5|NULL"],
    ),
    ("SELECT i.id FROM @nothing n RIGHT JOIN @items i ON i.id = n.id", &["1", "2", "3", "4", "5"]),
    ("SELECT count(*) FROM @items i FULL JOIN @nothing n ON i.id = n.id", &["5"]),
    ("SELECT id FROM @items i WHERE EXISTS (SELECT 1 FROM @nothing n WHERE n.id = i.id)", &[]),
    (
        "SELECT id FROM @items i WHERE NOT EXISTS (SELECT 1 FROM @nothing n WHERE n.id = i.id)",
        &["1", "2", "3", "4", "5"],
    ),
    ("SELECT id FROM @items WHERE kind NOT IN (SELECT kind FROM @nothing)", &["1", "2", "3", "4", "5"]),
    ("SELECT id FROM @items WHERE qty = (SELECT max(qty) FROM @nothing)", &[]),
    ("SELECT id FROM @items UNION ALL SELECT id FROM @nothing", &["1", "2", "3", "4", "5"]),
];
