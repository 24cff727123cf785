//! The rows and bytes that cross between domains, in cases named after bugs of other engines: a million-row fact table
//! against small tables elsewhere, and joins with NULLs under each strategy. No test asserts a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod data;
mod estimates;
mod groups_below_joins;
mod nulls;

use portolan_node::client::Client;
use portolan_tests::crossed::{Crossed, crossed};
use portolan_tests::mesh::within;
use portolan_tests::rows::{count, text};

use self::data::{BUYERS, FACTS, ITEMS, MATCHING, PICKS};

/// Returns a client whose scans wait for join keys even on a loaded machine.
async fn patient() -> Client {
    let client = data::mesh().await.client().await;
    client.query("SET portolan.key_wait = 30").await.unwrap();
    client
}

/// Asserts that at most this number of rows crossed.
#[track_caller]
fn assert_at_most(rows: u64, crossed: &Crossed) {
    assert!(crossed.rows <= rows, "{} rows crossed, not {rows} at most:\n{crossed}", crossed.rows);
}

/// trinodb/trino#10855: the whole fact table was transferred, though few of its rows match the filtered dimension. The
/// last lines show the same with a forced gather.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_dimension_reduces_the_fact_table() {
    within(180, async {
        let client = patient().await;
        let sql = "SELECT name, sale_id, amount FROM facts.samples.sale s \
                   JOIN shop.samples.item i ON s.item_id = i.item_id WHERE category = 'c7'";
        let cut = crossed(&client, sql).await;
        assert_at_most(3 * MATCHING, &cut);
        assert_eq!(count(&client, &format!("SELECT count(*) FROM ({sql}) AS t")).await, Ok(MATCHING as i64));

        client.query("SET portolan.strategy = gather").await.unwrap();
        let gathered = crossed(&client, sql).await;
        assert!(gathered.rows >= FACTS, "{} rows crossed:\n{gathered}", gathered.rows);
        assert!(gathered.bytes > 8 * cut.bytes, "{} bytes crossed, and {} gathered", cut.bytes, gathered.bytes);
    })
    .await;
}

/// trinodb/trino#13464: the rows of a subquery in another domain did not reduce the rows that they were compared with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_in_subquery_of_another_domain_reduces_the_fact_table() {
    within(180, async {
        let client = patient().await;
        let sql = "SELECT sale_id, amount FROM facts.samples.sale \
                   WHERE item_id IN (SELECT item_id FROM shop.samples.item WHERE category = 'c7')";
        assert_at_most(3 * MATCHING, &crossed(&client, sql).await);
        assert_eq!(count(&client, &format!("SELECT count(*) FROM ({sql}) AS t")).await, Ok(MATCHING as i64));
    })
    .await;
}

/// trinodb/trino#14016: many keys became the range from the smallest to the largest, which lets every row through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scattered_keys_are_not_widened_into_a_range() {
    within(180, async {
        let client = patient().await;
        let sql = "SELECT s.sale_id, amount, p.note FROM facts.samples.sale s \
                   JOIN shop.samples.pick p ON s.sale_id = p.sale_id";
        let picked = crossed(&client, sql).await;
        // The keys' own side, the rows that match, and the false positives of a Bloom filter.
        assert_at_most(2 * PICKS + FACTS / 50, &picked);
        assert_eq!(count(&client, &format!("SELECT count(*) FROM ({sql}) AS t")).await, Ok(PICKS as i64));
    })
    .await;
}

/// A join by floats sends no keys. The joins beside it still do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_by_floats_leaves_other_joins_their_keys() {
    within(180, async {
        let client = patient().await;
        client.query("SET portolan.strategy = keys_from_left").await.unwrap();
        let sql = "SELECT sale_id, amount, b.name FROM shop.samples.item i \
                   JOIN facts.samples.sale s ON i.item_id = s.item_id \
                   JOIN people.samples.buyer b ON s.buyer_id * 1e0 = CAST(b.buyer_id AS DOUBLE) WHERE category = 'c7'";
        assert_at_most(3 * MATCHING + BUYERS, &crossed(&client, sql).await);
        assert_eq!(count(&client, &format!("SELECT count(*) FROM ({sql}) AS t")).await, Ok(MATCHING as i64));
    })
    .await;
}

/// trinodb/trino#22442: a join of two tables of one owner was pushed down because it could be. Its result, which
/// crossed the edge, was far larger than both tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_multiplies_rows_is_not_pushed_down() {
    within(180, async {
        let client = patient().await;
        let inputs = count(
            &client,
            "SELECT (SELECT count(*) FROM facts.samples.buy) + (SELECT count(*) FROM facts.samples.sell)",
        );
        let inputs = inputs.await.unwrap() as u64;
        let explodes = "SELECT count(*) FROM facts.samples.buy b JOIN facts.samples.sell s ON b.grp = s.grp";
        let exploded = count(&client, explodes).await.unwrap() as u64;
        assert!(exploded > 50 * inputs, "{exploded} rows of {inputs}");

        let sql = "SELECT b.id, s.id, i.name FROM facts.samples.buy b JOIN facts.samples.sell s ON b.grp = s.grp \
                   JOIN shop.samples.item i ON i.item_id = b.x + s.y";
        let apart = crossed(&client, sql).await;
        assert_at_most(3 * (inputs + ITEMS), &apart);
    })
    .await;
}

/// trinodb/trino#4171: only an aggregate over a plain column was pushed down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_over_an_expression_is_pushed_down() {
    within(180, async {
        let client = patient().await;
        let groups = crossed(
            &client,
            "SELECT quantity % 10, sum(amount * quantity), avg(amount + 1), count(*) FROM facts.samples.sale GROUP BY 1",
        );
        assert_at_most(10, &groups.await);
        let whole = crossed(&client, "SELECT sum(amount * quantity) FROM facts.samples.sale WHERE quantity > 3").await;
        assert_at_most(1, &whole);
        // Below a join, the groups are those of its join columns. The join is forced to run at the local node, so that
        // the test observes this.
        client.query("SET portolan.strategy = gather").await.unwrap();
        let sql = "SELECT category, sum(amount * quantity) FROM facts.samples.sale s \
                   JOIN shop.samples.item i ON s.item_id = i.item_id GROUP BY category";
        assert_at_most(3 * ITEMS, &crossed(&client, sql).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_and_top_n_reach_the_owner() {
    within(180, async {
        let client = patient().await;
        let few = crossed(&client, "SELECT sale_id, note FROM facts.samples.sale LIMIT 10").await;
        assert_at_most(10, &few);
        assert!(few.rows_read < FACTS / 4, "{} rows were read:\n{few}", few.rows_read);

        let top = "SELECT sale_id, amount FROM facts.samples.sale ORDER BY amount DESC, sale_id LIMIT 10";
        assert_at_most(10, &crossed(&client, top).await);
        assert_at_most(15, &crossed(&client, &format!("{top} OFFSET 5")).await);
        // A left join keeps each row of its left side.
        let joined = "SELECT sale_id, amount, name FROM facts.samples.sale s \
                      LEFT JOIN shop.samples.item i ON s.item_id = i.item_id ORDER BY amount DESC, sale_id LIMIT 10";
        assert_at_most(10 + ITEMS, &crossed(&client, joined).await);
    })
    .await;
}

/// One item has few sales, and those sales have few buyers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_domains_in_a_chain() {
    within(180, async {
        let client = patient().await;
        let sql = "SELECT i.name, b.name, amount FROM people.samples.buyer b \
                   JOIN facts.samples.sale s ON s.buyer_id = b.buyer_id \
                   JOIN shop.samples.item i ON s.item_id = i.item_id WHERE i.name = 'item 17'";
        let sales = FACTS / ITEMS;
        assert_at_most(3 * (1 + 2 * sales), &crossed(&client, sql).await);
        assert_eq!(count(&client, &format!("SELECT count(*) FROM ({sql}) AS t")).await, Ok(sales as i64));
        assert!(text(&client, sql).await.contains("buyer "));
    })
    .await;
}
