//! A key of one input of a join is no key of the groups above the join, nor a key of a row one of the rows that `unnest`
//! makes of it.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Ways, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_joined_inputs_are_not_keys_of_groups() {
    within(600, async {
        let orders = table(vec![
            ("k", Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None]))),
            ("name", Arc::new(StringArray::from(vec!["one", "one", "two", "none"]))),
        ]);
        let levels = table(vec![
            ("y", Arc::new(Int64Array::from(vec![Some(10), Some(30), Some(20), None]))),
            ("k", Arc::new(Int64Array::from(vec![Some(2), Some(1), Some(1), Some(1)]))),
        ]);
        let ways = Ways::of_tables(&[("east", "orders", orders), ("west", "levels", levels)]).await;
        let keys = "(SELECT DISTINCT k FROM east.samples.orders)";
        let product = format!(
            "SELECT w.k, v.y, count(*) AS n FROM {keys} AS w CROSS JOIN west.samples.levels AS v GROUP BY w.k, v.y"
        );

        // Sort keys: 3 keys and 4 levels. NULL comes last, and first in descending order.
        ways.gives(&format!("{product} ORDER BY 1, 2 DESC LIMIT 5"), &[
            "1|NULL|1", "1|30|1", "1|20|1", "1|10|1", "2|NULL|1",
        ])
        .await;
        ways.gives(&format!("{product} ORDER BY 1 DESC, 2 LIMIT 5"), &[
            "NULL|10|1", "NULL|20|1", "NULL|30|1", "NULL|NULL|1", "2|10|1",
        ])
        .await;
        ways.gives(
            &format!(
                "WITH w AS {keys}, v AS (SELECT DISTINCT y FROM west.samples.levels) \
                 SELECT w.k, v.y FROM w, v GROUP BY v.y, w.k ORDER BY v.y DESC, w.k LIMIT 4"
            ),
            &["1|NULL", "2|NULL", "NULL|NULL", "1|30"],
        )
        .await;
        // Group keys of the query around it: the columns that it does not group by are not added.
        ways.gives(&format!("SELECT k, sum(n) FROM ({product}) GROUP BY k"), &["1|4", "2|4", "NULL|4"]).await;
        ways.gives(&format!("SELECT y, count(*) FROM ({product}) GROUP BY y"), &["10|3", "20|3", "30|3", "NULL|3"])
            .await;
        ways.gives(&format!("SELECT count(*) FROM (SELECT k, y FROM ({product}) GROUP BY k, y) AS t"), &["12"]).await;
        // DISTINCT, and joins that would become semi joins if the key were one.
        ways.gives(&format!("SELECT DISTINCT k FROM ({product}) AS p"), &["1", "2", "NULL"]).await;
        ways.gives(
            &format!("SELECT o.name FROM east.samples.orders AS o JOIN ({product}) AS p ON o.k = p.k WHERE o.k = 2"),
            &["two", "two", "two", "two"],
        )
        .await;
        ways.gives(
            &format!("SELECT o.name FROM east.samples.orders AS o LEFT JOIN ({product}) AS p ON o.k = p.k WHERE o.k = 2"),
            &["two", "two", "two", "two"],
        )
        .await;
        // The frame of a window: rows of one key are one step.
        ways.gives(
            &format!("SELECT k, sum(n) OVER (ORDER BY k) FROM ({product}) AS p WHERE y IN (10, 20)"),
            &["1|2", "1|2", "2|4", "2|4", "NULL|6", "NULL|6"],
        )
        .await;
        // Outer joins, and two keys.
        ways.gives(
            &format!(
                "SELECT w.k, v.y, count(*) FROM {keys} AS w LEFT JOIN west.samples.levels AS v ON w.k = v.k \
                 GROUP BY w.k, v.y ORDER BY 1, 2 DESC"
            ),
            &["1|NULL|1", "1|30|1", "1|20|1", "2|10|1", "NULL|NULL|1"],
        )
        .await;
        ways.gives(
            &format!(
                "SELECT w.k, v.k, count(v.y) FROM {keys} AS w FULL JOIN (SELECT DISTINCT k, y FROM west.samples.levels) AS v \
                 ON w.k < v.k GROUP BY w.k, v.k ORDER BY 1, 2 DESC"
            ),
            &["1|2|1", "2|NULL|0", "NULL|NULL|0", "NULL|1|2"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_rows_are_not_keys_of_unnested_items() {
    within(600, async {
        let orders = table(vec![("k", Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), None])))]);
        let names = table(vec![("k", Arc::new(Int64Array::from(vec![1, 2])))]);
        let ways = Ways::of_tables(&[("east", "orders", orders), ("west", "names", names)]).await;
        let items = "(SELECT k, unnest([7, 9, 7]) AS u FROM (SELECT DISTINCT k FROM east.samples.orders) AS d)";

        ways.gives(&format!("SELECT DISTINCT k FROM {items} AS t"), &["1", "2", "NULL"]).await;
        ways.gives(&format!("SELECT k, u FROM {items} AS t ORDER BY k, u DESC LIMIT 4"), &["1|9", "1|7", "1|7", "2|9"])
            .await;
        ways.gives(
            &format!("SELECT k, count(*) FROM {items} AS t GROUP BY k, u"),
            &["1|1", "1|2", "2|1", "2|2", "NULL|1", "NULL|2"],
        )
        .await;
        ways.gives(&format!("SELECT k, sum(u) FROM {items} AS t GROUP BY k"), &["1|23", "2|23", "NULL|23"]).await;
        ways.gives(
            &format!("SELECT n.k FROM west.samples.names AS n JOIN {items} AS t ON n.k = t.k"),
            &["1", "1", "1", "2", "2", "2"],
        )
        .await;
        ways.gives(
            &format!("SELECT k, sum(u) OVER (ORDER BY k) FROM {items} AS t WHERE k = 1"),
            &["1|23", "1|23", "1|23"],
        )
        .await;
        // The columns of a struct come in the place of one column.
        ways.gives(
            "SELECT DISTINCT b FROM (SELECT unnest(named_struct('a', k, 'b', 5)), k FROM (SELECT DISTINCT k FROM \
             east.samples.orders) AS d) AS t(a, b, k)",
            &["5"],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_of_a_key_is_another_value() {
    within(300, async {
        let events = table(vec![
            ("at", Arc::new(Int64Array::from(vec![10, 11, 11, 11, 20, 20]))),
            ("n", Arc::new(Int64Array::from(vec![1, 1, 2, 2, 1, 1]))),
        ]);
        let ways = Ways::of_tables(&[("east", "events", events)]).await;
        let by_key = "(SELECT at, count(*) AS n FROM east.samples.events GROUP BY at) AS t";
        // The casts of 10 and of 11 differ as numbers, and `left(…, 1)` does not.
        let tens = "CAST(at AS VARCHAR) LIKE '1%'";
        ways.gives(
            &format!("SELECT {tens}, count(*) FROM {by_key} GROUP BY {tens}, n"),
            &["true|1", "true|1", "false|1"],
        )
        .await;
        ways.gives(
            &format!("SELECT CAST(at AS BOOLEAN), count(*) FROM {by_key} GROUP BY CAST(at AS BOOLEAN), n"),
            &["true|1", "true|1", "true|1"],
        )
        .await;
        ways.gives(
            &format!("SELECT CAST(at AS BOOLEAN), count(DISTINCT n) FROM {by_key} GROUP BY CAST(at AS BOOLEAN)"),
            &["true|3"],
        )
        .await;
        ways.gives(
            &format!("SELECT at, n FROM {by_key} ORDER BY CAST(at AS BOOLEAN), n DESC LIMIT 2"),
            &["11|3", "20|2"],
        )
        .await;
        // The keys of the relation are none of the groups: the sum ends at the last row of a `k`.
        ways.gives(
            "SELECT k, z, sum(count(*)) OVER (ORDER BY k) FROM (SELECT at AS k, count(*) AS z FROM east.samples.events \
             GROUP BY at) AS w GROUP BY ROLLUP (k, z)",
            &["10|1|2", "10|NULL|2", "11|3|4", "11|NULL|4", "20|2|6", "20|NULL|6", "NULL|NULL|9"],
        )
        .await;
    })
    .await;
}
