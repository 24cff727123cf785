//! Descriptions of tables, views and queries.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use portolan_catalog::DatabaseRelation;

use super::server::server;
use super::{cells, read_described, relation, soon};
use crate::databases::{Database, Reference, TableName};
use crate::error::ErrorKind;

const TABLES: &str = "CREATE TABLE cust (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, \
     name VARCHAR(40) NOT NULL COMMENT 'the name', mail VARCHAR(80) UNIQUE, mood ENUM('happy','it''s'), \
     st VARCHAR(10) CHECK (st IN ('a','b')), p POINT) COMMENT = 'customers'; \
     CREATE TABLE ord (k1 INT, k2 INT, cust_id BIGINT UNSIGNED NOT NULL, PRIMARY KEY (k2, k1), \
     CONSTRAINT of_customer FOREIGN KEY (cust_id) REFERENCES cust (id)); \
     CREATE TABLE item (k1 INT, k2 INT, CONSTRAINT of_order FOREIGN KEY (k2, k1) REFERENCES ord (k2, k1)); \
     CREATE VIEW names AS SELECT id, name FROM cust; CREATE VIEW broken AS SELECT mood FROM cust; \
     ";

#[tokio::test]
async fn a_table_has_keys_comments_and_rights() {
    let Some(server) = server().await else { return };
    let database = server.database("described", TABLES).await;
    let cust = database.describe(&relation("cust"), &BTreeMap::new(), soon()).await.unwrap();
    assert_eq!(cust.comment.as_deref(), Some("customers"));
    assert_eq!(cust.primary_key, ["id"]);
    assert!(cust.is_stored && !cust.has_ranges, "two connections have no common snapshot");
    let facts: Vec<_> =
        cust.columns.iter().map(|c| (c.name.as_str(), c.native_type.as_str(), c.nullable, c.unique)).collect();
    assert_eq!(
        facts,
        [
            ("id", "bigint(20) unsigned", false, true),
            ("name", "varchar(40)", false, false),
            ("mail", "varchar(80)", true, true),
            ("mood", "enum('happy','it''s')", true, false),
            ("st", "varchar(10)", true, false),
            ("p", "point", true, false),
        ]
    );
    assert_eq!(cust.columns[1].comment.as_deref(), Some("the name"));
    assert_eq!(cust.columns[3].enumeration, ["happy", "it's"]);
    assert_eq!(cust.columns[4].enumeration, ["a", "b"]);
    assert!(cust.columns[5].data_type.clone().unwrap_err().contains("ST_AsText"));
    let item = database.describe(&relation("item"), &BTreeMap::new(), soon()).await.unwrap();
    let columns = vec!["k2".to_owned(), "k1".to_owned()];
    assert_eq!(
        item.references,
        [Reference {
            name: Some("of_order".into()),
            columns: columns.clone(),
            schema: None,
            table: "ord".into(),
            referenced_columns: columns.clone(),
        }]
    );
    let ord = database.describe(&relation("ord"), &BTreeMap::new(), soon()).await.unwrap();
    assert_eq!(ord.primary_key, columns);
    assert!(!ord.columns[0].unique && !ord.columns[1].unique);
    let names = database.describe(&relation("names"), &BTreeMap::new(), soon()).await.unwrap();
    assert!(names.columns.iter().all(|c| c.nullable) && names.comment.is_none() && names.primary_key.is_empty());
}

#[tokio::test]
async fn a_missing_table_has_its_nearest_name() {
    let Some(server) = server().await else { return };
    let database = server.database("missing", TABLES).await;
    server
        .run("ALTER TABLE missing.cust DROP COLUMN mood; CREATE DATABASE hidden; CREATE TABLE hidden.t (id INT)")
        .await;
    let describe = |relation: DatabaseRelation| {
        let database = &database;
        async move { database.describe(&relation, &BTreeMap::new(), soon()).await.unwrap_err() }
    };
    let error = describe(relation("custs")).await;
    assert_eq!((error.kind(), error.suggestion()), (ErrorKind::NotFound, Some("cust")));
    assert_eq!(
        error.to_string(),
        "MariaDB `missing` has no table or view `custs` that its account may see; did you mean `cust`?"
    );
    assert_eq!(describe(relation("CUST")).await.kind(), ErrorKind::NotFound, "names have case on this system");
    assert_eq!(describe(relation("broken")).await.kind(), ErrorKind::InvalidData);
    let in_hidden = DatabaseRelation::Table { schema: Some("hidden".into()), name: "t".into() };
    assert_eq!(describe(in_hidden).await.kind(), ErrorKind::PermissionDenied);
    let names = database.tables(None, soon()).await.unwrap();
    let table = |name: &str, is_view| TableName { schema: None, name: name.into(), is_view };
    assert_eq!(
        names,
        [table("broken", true), table("cust", false), table("item", false), table("names", true), table("ord", false)]
    );
    let error = database.tables(Some("missin"), soon()).await.unwrap_err();
    assert_eq!((error.kind(), error.suggestion()), (ErrorKind::NotFound, Some("missing")));
}

#[tokio::test]
async fn a_query_is_a_single_select() {
    let Some(server) = server().await else { return };
    let database = server
        .database(
            "queries",
            "CREATE TABLE t (i INT UNSIGNED, d DECIMAL(12,3), s VARCHAR(5) CHARACTER SET latin1, e ENUM('x'), \
             b VARBINARY(3), w TIMESTAMP(3) NULL, y YEAR, u UUID, f TINYINT(1)); \
             INSERT INTO t VALUES (1, 2.5, 'ä', 'x', 0x01, '2020-01-01 00:00:00', 1999, UUID(), 1)",
        )
        .await;
    let query = |text: &str| DatabaseRelation::Query(text.to_owned());
    let relation = query("SELECT i, d, -d AS minus, s, e, b, w, y, i + 1 AS more, f FROM t -- the end");
    let wanted = BTreeMap::from([("f".to_owned(), DataType::Boolean)]);
    let described = database.describe(&relation, &wanted, soon()).await.unwrap();
    let types: Vec<_> = described.columns.iter().map(|c| c.data_type.clone().unwrap()).collect();
    use DataType as T;
    assert_eq!(
        types,
        [
            T::UInt32,
            T::Decimal128(12, 3),
            T::Decimal128(13, 3),
            T::Utf8,
            T::Utf8,
            T::Binary,
            T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            T::Int16,
            T::UInt64,
            T::Boolean,
        ]
    );
    assert!(described.columns.iter().all(|c| c.nullable && !c.unique) && !described.has_ranges);
    assert_eq!(
        cells(&read_described(&database, &relation, &described).await.unwrap()),
        ["1 | 2.500 | -2.500 | ä | x | 01 | 2020-01-01T00:00:00Z | 1999 | 2 | true"]
    );
    for text in [
        "SELECT 1; SELECT 2",
        "DELETE FROM t",
        "SHOW TABLES",
        "SELECT 1) AS t; DROP TABLE t; SELECT * FROM (SELECT 2",
        "SELECT i FROM t) AS t UNION SELECT * FROM (SELECT 2",
        "SELECT ?",
        "SELECT i, i FROM t",
        "SELECT nothing FROM t",
        "",
    ] {
        let error = database.describe(&query(text), &BTreeMap::new(), soon()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{text}: {}", error.owner_chain());
    }
}
