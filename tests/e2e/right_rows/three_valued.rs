//! Predicates keep three values after the simplifier. Trees of tests are compared with the test's own truth tables, in
//! the select list and in `WHERE`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_tests::mesh::within;
use portolan_tests::ways::{Rows, Ways, table};

/// A row: its number, and the values of `x` and `y`.
type Row = (i64, Option<i64>, Option<i64>);

/// A value of a list.
#[derive(Clone, Copy)]
enum Item {
    Number(i64),
    Null,
    Y,
}

#[derive(Clone)]
enum Tree {
    In { list: Vec<Item>, negated: bool },
    Equals { number: i64, negated: bool },
    Between { negated: bool },
    Less,
    IsNull,
    Not(Box<Tree>),
    Is { tree: Box<Tree>, value: Option<bool>, negated: bool },
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Tree::In { list, negated } => {
                let items: Vec<_> = list
                    .iter()
                    .map(|item| match item {
                        Item::Number(n) => n.to_string(),
                        Item::Null => "NULL".into(),
                        Item::Y => "y".into(),
                    })
                    .collect();
                write!(f, "x {}IN ({})", not(negated), items.join(", "))
            }
            Tree::Equals { number, negated } => write!(f, "x {} {number}", if *negated { "<>" } else { "=" }),
            Tree::Between { negated } => write!(f, "x {}BETWEEN 1 AND 2", not(negated)),
            Tree::Less => write!(f, "x < 2"),
            Tree::IsNull => write!(f, "x IS NULL"),
            Tree::Not(tree) => write!(f, "NOT ({tree})"),
            Tree::Is { tree, value, negated } => {
                let value = match value {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                write!(f, "({tree}) IS {}{value}", not(negated))
            }
            Tree::And(left, right) => write!(f, "(({left}) AND ({right}))"),
            Tree::Or(left, right) => write!(f, "(({left}) OR ({right}))"),
        }
    }
}

impl Tree {
    fn value(&self, row: Row) -> Option<bool> {
        let (_, x, y) = row;
        match self {
            Tree::In { list, negated } => {
                let items = list.iter().map(|item| match item {
                    Item::Number(n) => Some(*n),
                    Item::Null => None,
                    Item::Y => y,
                });
                let mut equal = Some(false);
                for item in items {
                    equal = or(equal, x.zip(item).map(|(x, item)| x == item));
                }
                equal.map(|found| found != *negated)
            }
            Tree::Equals { number, negated } => x.map(|x| (x == *number) != *negated),
            Tree::Between { negated } => x.map(|x| (1..=2).contains(&x) != *negated),
            Tree::Less => x.map(|x| x < 2),
            Tree::IsNull => Some(x.is_none()),
            Tree::Not(tree) => tree.value(row).map(|v| !v),
            Tree::Is { tree, value, negated } => Some((tree.value(row) == *value) != *negated),
            Tree::And(left, right) => or(left.value(row).map(|v| !v), right.value(row).map(|v| !v)).map(|v| !v),
            Tree::Or(left, right) => or(left.value(row), right.value(row)),
        }
    }
}

/// True if one value is true; NULL if one may be true.
fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    }
}

fn leaves() -> Vec<Tree> {
    use Item::{Null, Number, Y};
    let lists: [&[Item]; 8] = [
        &[Number(1)],
        &[Number(2)],
        &[Number(1), Number(2)],
        &[Number(1), Number(2), Number(3), Number(4), Number(5)],
        &[Number(4), Number(5), Number(6), Number(7)],
        &[Number(1), Null],
        &[Y],
        &[Y, Number(3)],
    ];
    let lists = lists.iter().flat_map(|list| [false, true].map(|negated| Tree::In { list: list.to_vec(), negated }));
    let equal =
        [(1, false), (2, false), (1, true), (2, true)].map(|(number, negated)| Tree::Equals { number, negated });
    let others = [Tree::Between { negated: false }, Tree::Between { negated: true }, Tree::Less, Tree::IsNull];
    lists.chain(equal).chain(others).collect()
}

/// Returns every pair of tests with several expressions around it, and some thousand larger trees.
fn trees() -> Vec<Tree> {
    let leaves = leaves();
    let mut trees = vec![];
    let both = |a: &Tree, b: &Tree| {
        let (left, right) = (Box::new(a.clone()), Box::new(b.clone()));
        [Tree::And(left.clone(), right.clone()), Tree::Or(left, right)]
    };
    let around = |tree: Tree| {
        let is = |value, negated| Tree::Is { tree: Box::new(tree.clone()), value, negated };
        [tree.clone(), Tree::Not(Box::new(tree.clone())), is(Some(true), true), is(Some(false), false), is(None, false)]
    };
    for a in &leaves {
        for b in &leaves {
            trees.extend(both(a, b).into_iter().flat_map(around));
        }
    }
    let pairs: Vec<_> = trees.clone();
    // A fixed walk over pairs of pairs.
    for step in 0..1_500_usize {
        let (a, b) = (&pairs[step * 7_919 % pairs.len()], &pairs[(step * 104_729 + 13) % pairs.len()]);
        trees.extend(both(a, b));
    }
    trees
}

fn rows() -> Vec<Row> {
    let values = [None, Some(1), Some(2), Some(3)];
    let pairs = values.iter().flat_map(|x| values.iter().map(move |y| (*x, *y)));
    (0..).zip(pairs).map(|(k, (x, y))| (k, x, y)).collect()
}

async fn ways() -> Ways {
    let rows = rows();
    let column = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let rows = table(vec![
        ("k", column(rows.iter().map(|(k, ..)| Some(*k)).collect())),
        ("x", column(rows.iter().map(|(_, x, _)| *x).collect())),
        ("y", column(rows.iter().map(|(_, _, y)| *y).collect())),
    ]);
    Ways::of_tables(&[("east", "t", rows)]).await
}

/// Returns the values of each row as strings. NULL is empty.
fn texts((_, batches): &Rows) -> Vec<Vec<String>> {
    let options = FormatOptions::default();
    let mut texts = vec![];
    for batch in batches {
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        texts.extend((0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string()).collect()));
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boolean_expressions_have_their_value_in_the_select_list() {
    within(900, async {
        let (ways, rows) = (ways().await, rows());
        for trees in trees().chunks(60) {
            let list: Vec<_> = trees.iter().enumerate().map(|(i, tree)| format!("{tree} AS c{i}")).collect();
            let sql = format!("SELECT {} FROM east.samples.t ORDER BY k", list.join(", "));
            let found = texts(&ways.in_one_process(&sql).await.unwrap_or_else(|e| panic!("{}: {sql}", e.chain())));
            for (row, found) in rows.iter().zip(&found) {
                for (tree, found) in trees.iter().zip(found) {
                    let expected = tree.value(*row).map_or(String::new(), |v| v.to_string());
                    assert_eq!(*found, expected, "{tree} over {row:?}");
                }
            }
            assert_eq!(found.len(), rows.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boolean_expressions_filter_by_their_value() {
    within(900, async {
        let (ways, rows) = (ways().await, rows());
        for trees in trees().chunks(15) {
            let parts: Vec<_> = trees
                .iter()
                .enumerate()
                .map(|(i, tree)| format!("SELECT {i} AS i, k FROM east.samples.t WHERE {tree}"))
                .collect();
            let sql = format!("SELECT * FROM ({}) ORDER BY i, k", parts.join(" UNION ALL "));
            let found = texts(&ways.in_one_process(&sql).await.unwrap_or_else(|e| panic!("{}: {sql}", e.chain())));
            for (i, tree) in trees.iter().enumerate() {
                let expected: Vec<_> =
                    rows.iter().filter(|row| tree.value(**row) == Some(true)).map(|(k, ..)| k.to_string()).collect();
                let found: Vec<_> =
                    found.iter().filter(|row| row[0] == i.to_string()).map(|row| row[1].clone()).collect();
                assert_eq!(found, expected, "{tree}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_lists_keep_null_at_owners() {
    within(900, async {
        let ways = ways().await;
        ways.gives("SELECT x FROM (VALUES (1), (NULL)) t(x) WHERE NOT (x IN (1) AND x IN (2))", &["1"]).await;
        ways.gives("SELECT DISTINCT x FROM east.samples.t WHERE NOT (x IN (1) AND x IN (2))", &["1", "2", "3"]).await;
        // In a column of grouping sets.
        ways.gives(
            "SELECT c, count(*) FROM (SELECT CASE WHEN NOT (x IN (1) AND x NOT IN (1)) THEN x ELSE 9 END AS c, y FROM \
             (VALUES (1, 1), (NULL, 1)) t(x, y)) GROUP BY ROLLUP (c)",
            &["1|1", "9|1", "NULL|2"],
        )
        .await;
        ways.gives(
            "SELECT NOT (x IN (1) AND x IN (2)), count(*) FROM (VALUES (1), (3), (NULL)) t(x) \
             GROUP BY GROUPING SETS ((NOT (x IN (1) AND x IN (2))), ())",
            &["true|2", "NULL|1", "NULL|3"],
        )
        .await;
        ways.gives("SELECT DISTINCT x FROM east.samples.t WHERE x NOT IN (1) OR x NOT IN (2)", &["1", "2", "3"]).await;
        ways.gives(
            "SELECT DISTINCT x, x IN (1, 2, 3, 4) AND x IN (5, 6, 7, 8) FROM east.samples.t",
            &["NULL|NULL", "1|false", "2|false", "3|false"],
        )
        .await;
        // NULL in a list: 1 is in the first list, and may be in the second.
        ways.gives("SELECT x FROM east.samples.t WHERE x IN (1, 2) AND x NOT IN (2, NULL)", &[]).await;
        ways.gives("SELECT x, y FROM east.samples.t WHERE x IN (y) AND x IN (1, 2)", &["1|1", "2|2"]).await;
        ways.gives("SELECT x, y FROM east.samples.t WHERE x IN (y, 3) AND x NOT IN (y)", &["3|1", "3|2"]).await;
        ways.gives("SELECT count(*) FROM east.samples.t WHERE ((x = 1 OR x = 2) AND (x = 3 OR x = 4)) IS NULL", &["4"])
            .await;
    })
    .await;
}

/// A list beside a cast of the same value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_lists_of_a_value_and_its_cast_keep_null() {
    within(300, async {
        // `x` is 1, NULL, 3 and 2.
        let ways = super::two_owners().await;
        for (first, second) in [
            ("x IN (1)", "CAST(x AS DECIMAL(12, 2)) IN (2.50)"),
            ("x IN (1)", "CAST(x AS DOUBLE) IN (7)"),
            ("CAST(x AS DECIMAL(12, 4)) IN (2)", "CAST(x AS DECIMAL(12, 2)) IN (CAST('100.50' AS DECIMAL(12, 2)))"),
            ("CAST(x AS DECIMAL(12, 4)) = 2", "CAST(x AS DECIMAL(12, 4)) IN (CAST('100.50' AS DECIMAL(12, 2)))"),
        ] {
            let both = format!("{first} AND {second}");
            ways.gives(&format!("SELECT x FROM east.samples.a WHERE NOT ({both})"), &["1", "3", "2"]).await;
            ways.gives(
                &format!("SELECT x, {both} FROM east.samples.a"),
                &["1|false", "NULL|NULL", "3|false", "2|false"],
            )
            .await;
        }
    })
    .await;
}
