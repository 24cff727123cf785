//! The merged column of `JOIN … USING` and `NATURAL JOIN` has the value of the side that has a row.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_columns_have_values() {
    within(600, async {
        let east = table(vec![
            ("k", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
            ("v", Arc::new(StringArray::from(vec!["a1", "a2", "a0"]))),
        ]);
        let west = table(vec![
            ("k", Arc::new(Int64Array::from(vec![Some(2), Some(4), None]))),
            ("w", Arc::new(StringArray::from(vec!["b2", "b4", "b0"]))),
        ]);
        let none = table(vec![("k", Arc::new(Int64Array::from(vec![0_i64; 0])))]);
        let ways = Ways::of_tables(&[("east", "a", east), ("west", "b", west), ("west", "none", none)]).await;
        let (a, b, none) = ("east.samples.a AS a", "west.samples.b AS b", "west.samples.none AS n");

        ways.gives("SELECT k FROM (VALUES (1)) a(k) FULL JOIN (VALUES (4)) b(k) USING (k)", &["1", "4"]).await;
        ways.gives(
            &format!("SELECT * FROM {a} FULL JOIN {b} USING (k)"),
            &["1|a1|NULL", "2|a2|b2", "4|NULL|b4", "NULL|a0|NULL", "NULL|NULL|b0"],
        )
        .await;
        ways.gives(
            &format!("SELECT b.k, k, v, a.k AS own FROM {a} RIGHT JOIN {b} USING (k)"),
            &["2|2|a2|2", "4|4|NULL|NULL", "NULL|NULL|NULL|NULL"],
        )
        .await;
        ways.gives(&format!("SELECT * FROM {a} LEFT JOIN {b} USING (k)"), &["1|a1|NULL", "2|a2|b2", "NULL|a0|NULL"]).await;
        // NULL = 4 is NULL, not true.
        ways.gives(
            &format!("SELECT k, count(*) AS n FROM {a} FULL JOIN {b} USING (k) WHERE k > 1 GROUP BY k HAVING k < 9 ORDER BY k DESC"),
            &["4|1", "2|1"],
        )
        .await;
        ways.gives(&format!("SELECT DISTINCT k FROM {a} FULL JOIN {b} USING (k) ORDER BY k NULLS FIRST"), &["NULL", "1", "2", "4"])
            .await;
        ways.gives(&format!("SELECT v FROM {a} FULL JOIN {b} USING (k) WHERE k IS NOT NULL ORDER BY k"), &["a1", "a2", "NULL"]).await;
        ways.gives(
            &format!("SELECT k, v, w, x FROM {a} NATURAL FULL JOIN {b} NATURAL FULL JOIN (VALUES (4, true), (9, false)) AS c(k, x)"),
            &["1|a1|NULL|NULL", "2|a2|b2|NULL", "4|NULL|b4|true", "9|NULL|NULL|false", "NULL|a0|NULL|NULL", "NULL|NULL|b0|NULL"],
        )
        .await;
        ways.gives(
            &format!("SELECT j.k, w FROM ({a} RIGHT JOIN {b} USING (k)) AS j WHERE j.k = 4"),
            &["4|b4"],
        )
        .await;
        ways.gives(&format!("SELECT * FROM {a} FULL JOIN {none} USING (k)"), &["1|a1", "2|a2", "NULL|a0"]).await;
        ways.gives(&format!("SELECT * FROM {none} FULL JOIN {a} USING (k)"), &["1|a1", "2|a2", "NULL|a0"]).await;
        ways.gives(&format!("SELECT sum(k), count(k), count(*) FROM {a} FULL JOIN {b} USING (k)"), &["7|3|5"]).await;
        // A merged column of 18 joins.
        let joins: String = (0..18).map(|i| format!(" FULL JOIN west.samples.b AS b{i} USING (k)")).collect();
        ways.gives(&format!("SELECT k, v FROM {a}{joins} WHERE k > 0"), &["1|a1", "2|a2", "4|NULL"]).await;
        ways.gives(
            &format!("SELECT * EXCLUDE (v) FROM {a} FULL JOIN {b} USING (k) WHERE w IS NOT NULL"),
            &["2|b2", "4|b4", "NULL|b0"],
        )
        .await;
        ways.gives(
            &format!("WITH both AS (SELECT * FROM {a} FULL JOIN {b} USING (k)) SELECT k FROM both WHERE k IN (SELECT k FROM {a} RIGHT JOIN {b} USING (k))"),
            &["2", "4"],
        )
        .await;
        // The relation is a WITH query that reads another WITH query.
        ways.gives(
            &format!(
                "WITH x AS (SELECT k FROM {a}), other AS (SELECT 1 AS z), y AS (SELECT k FROM x) SELECT k FROM y FULL JOIN {b} USING (k)"
            ),
            &["1", "2", "4", "NULL", "NULL"],
        )
        .await;
        ways.gives(
            &format!("WITH \"Y\" AS (SELECT k FROM {a}) SELECT k FROM (SELECT * FROM \"Y\" RIGHT JOIN {b} USING (k)) AS t"),
            &["2", "4", "NULL"],
        )
        .await;
        // Without a common column, a row without a partner is kept.
        ways.gives(&format!("SELECT v, y FROM {a} NATURAL LEFT JOIN (SELECT k AS y FROM {none}) AS n"), &["a1|NULL", "a2|NULL", "a0|NULL"])
            .await;
        // The inner `k` is not the outer query's `k`.
        ways.gives(
            &format!("SELECT t.k FROM (VALUES (7), (2)) AS t(k) WHERE EXISTS (SELECT 1 FROM {a} JOIN {b} USING (k) WHERE k = 7)"),
            &[],
        )
        .await;
        ways.refuses(&format!("SELECT k FROM {a} FULL JOIN {b} USING (w)"), ErrorKind::InvalidQuery, &["left side", "`w`"]).await;
        ways.refuses(
            &format!("SELECT k FROM {a} FULL JOIN {b} USING (k) CROSS JOIN {none}"),
            ErrorKind::InvalidQuery,
            &["`k`", "ambiguous"],
        )
        .await;
    })
    .await;
}
