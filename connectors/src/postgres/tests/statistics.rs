//! Statistics, estimates and footprints.

use portolan_catalog::StatisticValue;

use super::*;

#[tokio::test]
async fn statistics_are_those_of_the_last_analysis() {
    let statements = "
        CREATE TABLE facts (id int8, kind text, price numeric(9,2), tags text[]);
        INSERT INTO facts SELECT i, CASE WHEN i % 4 = 0 THEN NULL WHEN i % 4 = 1 THEN 'b' ELSE 'a' END, i / 100.0, '{a}'
            FROM generate_series(1, 1000) i;
        CREATE TABLE fresh (id int4); INSERT INTO fresh VALUES (1);
        CREATE TABLE parts (id int4, day date) PARTITION BY RANGE (day);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
        INSERT INTO parts SELECT i, date '2020-01-01' + i FROM generate_series(0, 599) i;
        CREATE VIEW few AS SELECT id FROM facts WHERE id <= 10;
        ANALYZE facts; ANALYZE parts_1; ANALYZE parts_2;";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open();
    let of = async |name: &str| {
        let described = described(&database, &table(name)).await.unwrap();
        database.statistics(&table(name), &described, soon()).await.unwrap()
    };
    let facts = of("facts").await;
    assert_eq!(facts.rows, Some(1000));
    assert!(facts.bytes.unwrap() >= 8192);
    let (id, kind) = (&facts.columns["id"], &facts.columns["kind"]);
    assert_eq!((id.distinct, id.nulls), (Some(1000), Some(0)));
    assert_eq!((&id.min, &id.max), (&Some(StatisticValue::Number(1.0)), &Some(StatisticValue::Number(1000.0))));
    assert_eq!((kind.distinct, kind.nulls), (Some(2), Some(250)));
    assert_eq!(
        kind.frequent,
        [(StatisticValue::Text("a".to_owned()), 0.5), (StatisticValue::Text("b".to_owned()), 0.25)]
    );
    assert_eq!(facts.columns["price"].max, Some(StatisticValue::Number(10.0)));

    assert_eq!(of("fresh").await.rows, None);
    let parts = of("parts").await;
    assert_eq!((parts.rows, parts.columns["id"].max.clone()), (Some(600), Some(StatisticValue::Number(599.0))));
    assert_eq!(parts.columns["day"].min, Some(StatisticValue::Number(18_262.0)));
    let view = of("few").await;
    assert!(view.rows.is_some_and(|rows| rows < 100) && view.columns.is_empty(), "{view:?}");

    let sql = SqlQuery::whole("SELECT id FROM public.facts t");
    let estimate = database.estimate(&sql, context()).await.unwrap();
    assert_eq!((estimate.rows, estimate.bytes), (Some(1000), Some(8000)));
}

#[tokio::test]
async fn a_footprint_changes_with_the_data() {
    let statements = "CREATE TABLE t (n int4); CREATE VIEW v AS SELECT * FROM t;
        CREATE TABLE parts (n int4) PARTITION BY LIST (n); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open();
    let of = async |name: &str| database.footprint(&table(name), soon()).await;
    assert_eq!(of("v").await, None);
    assert_eq!(database.footprint(&DatabaseRelation::Query("SELECT 1".to_owned()), soon()).await, None);
    for (name, change) in
        [("t", "INSERT INTO t VALUES (1)"), ("t", "TRUNCATE t"), ("parts", "INSERT INTO parts VALUES (1)")]
    {
        let before = of(name).await.unwrap();
        assert_eq!(of(name).await.unwrap(), before);
        test.admin.batch_execute(change).await.unwrap();
        // The server counts the changes of a session with a delay.
        let until = Instant::now() + Duration::from_secs(30);
        while of(name).await.unwrap() == before {
            assert!(Instant::now() < until, "{change}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
