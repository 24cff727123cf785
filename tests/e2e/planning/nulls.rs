//! NULL keys: NOT IN, anti, semi and outer joins return the rows that SQL defines, with every strategy and every
//! encoding of keys.

use portolan_tests::forced::FORCED;
use portolan_tests::mesh::within;
use portolan_tests::rows::drain;

use super::data;

/// Queries over `code`, whose `(k, j)` are (1, 1), (2, 1), (2, NULL), (NULL, 1), (3, 3), (NULL, NULL), and `mark`, with
/// (2, 1), (3, 3), (3, NULL), (NULL, 1), (5, 5). Each has the number of rows that it returns.
const QUERIES: &[(&str, usize)] = &[
    ("SELECT * FROM code c JOIN mark m ON c.k = m.k", 4),
    ("SELECT * FROM code c LEFT JOIN mark m ON c.k = m.k", 7),
    ("SELECT * FROM code c RIGHT JOIN mark m ON c.k = m.k", 6),
    ("SELECT * FROM code c FULL JOIN mark m ON c.k = m.k", 9),
    ("SELECT * FROM code c LEFT JOIN mark m ON c.k = m.k AND m.j = 1", 6),
    ("SELECT * FROM code c LEFT JOIN mark m ON c.k = m.k WHERE m.k IS NULL", 3),
    ("SELECT * FROM code c JOIN mark m ON c.k = m.k AND c.j = m.j", 2),
    ("SELECT * FROM code c FULL JOIN mark m ON c.k = m.k AND c.j = m.j", 9),
    ("SELECT * FROM code c JOIN mark m ON c.k IS NOT DISTINCT FROM m.k", 6),
    ("SELECT * FROM code c LEFT JOIN mark m ON c.k IS NOT DISTINCT FROM m.k", 7),
    ("SELECT * FROM code c JOIN mark m ON (c.k IS NOT DISTINCT FROM m.k) AND (c.j IS NOT DISTINCT FROM m.j)", 3),
    ("SELECT * FROM code c JOIN mark m ON c.k = m.k AND (c.j IS NOT DISTINCT FROM m.j)", 2),
    ("SELECT * FROM code WHERE k IN (SELECT k FROM mark)", 3),
    ("SELECT * FROM mark WHERE k IN (SELECT k FROM code)", 3),
    ("SELECT * FROM code c WHERE EXISTS (SELECT 1 FROM mark m WHERE m.k = c.k AND m.j = c.j)", 2),
    ("SELECT * FROM code c WHERE NOT EXISTS (SELECT 1 FROM mark m WHERE m.k = c.k)", 3),
    ("SELECT * FROM mark m WHERE NOT EXISTS (SELECT 1 FROM code c WHERE m.k = c.k)", 2),
    ("SELECT * FROM code c WHERE NOT EXISTS (SELECT 1 FROM mark m WHERE m.k = c.k AND m.j = c.j)", 4),
    ("SELECT * FROM code WHERE k NOT IN (SELECT k FROM mark)", 0),
    ("SELECT * FROM code WHERE k NOT IN (SELECT k FROM mark WHERE k IS NOT NULL)", 1),
    ("SELECT * FROM code WHERE k NOT IN (SELECT k FROM mark WHERE k > 100)", 6),
    ("SELECT * FROM code WHERE k NOT IN (SELECT k FROM mark WHERE k IS NULL)", 0),
    ("SELECT * FROM code WHERE k > 100 AND k NOT IN (SELECT k FROM mark)", 0),
    ("SELECT k FROM code INTERSECT SELECT k FROM mark", 3),
    ("SELECT k FROM code EXCEPT SELECT k FROM mark", 1),
    ("SELECT k, j FROM code INTERSECT SELECT k, j FROM mark", 3),
    ("SELECT * FROM code c LEFT JOIN mark m ON c.k = m.k LEFT JOIN item i ON i.item_id = m.k", 7),
    ("SELECT * FROM code c LEFT JOIN (SELECT k FROM mark WHERE k > 100) m ON c.k = m.k", 6),
    ("SELECT * FROM (SELECT * FROM code WHERE k > 100) c FULL JOIN mark m ON c.k = m.k", 5),
    ("SELECT * FROM (SELECT * FROM code WHERE k > 100) c RIGHT JOIN mark m ON c.k = m.k", 5),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_keys_join_as_in_sql() {
    within(300, async {
        let mesh = data::mesh().await;
        let mut wrong = vec![];
        for forced in [None].into_iter().chain(FORCED.iter().map(Some)) {
            let client = mesh.client().await;
            for statement in forced.into_iter().flat_map(|f| f.statements()) {
                client.query(&statement).await.unwrap();
            }
            let name = forced.map_or("freely", |f| f.name);
            for (sql, rows) in QUERIES {
                let sql = ["code", "mark", "item"].iter().fold(format!("{sql} "), |sql, table| {
                    let domain = if *table == "mark" { "facts" } else { "shop" };
                    sql.replace(&format!(" {table} "), &format!(" {domain}.samples.{table} "))
                        .replace(&format!(" {table})"), &format!(" {domain}.samples.{table})"))
                });
                match drain(&client, &sql).await {
                    Ok(found) if found == *rows => {}
                    Ok(found) => wrong.push(format!("{name}: {found} rows, not {rows}, of {sql}")),
                    Err(e) => wrong.push(format!("{name}: {} of {sql}", e.chain())),
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}
