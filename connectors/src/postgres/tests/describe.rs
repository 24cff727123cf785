//! Tables, views and queries as the catalog describes them.

use super::*;
use crate::databases::{Reference, TableName};
use crate::error::ErrorKind;
use crate::sql::ColumnUsage;

#[tokio::test]
async fn a_table_is_described_with_its_constraints() {
    let statements = "
        CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE TABLE customers (id int8 PRIMARY KEY, region text, UNIQUE (region));
        CREATE TABLE orders (
            line int4, id int8, customer int8 NOT NULL REFERENCES customers, code text UNIQUE DEFERRABLE,
            status varchar(9) CHECK (status IN ('new', 'done')), mood mood, price numeric(10,2), part int4, note text,
            PRIMARY KEY (id, line));
        CREATE UNIQUE INDEX ON orders (note) WHERE note <> '';
        CREATE UNIQUE INDEX ON orders (part);
        COMMENT ON TABLE orders IS 'All orders.';
        COMMENT ON COLUMN orders.price IS 'In euros.';
        CREATE VIEW open_orders AS SELECT * FROM orders WHERE status = 'new';
        CREATE TABLE parts (id int4 NOT NULL, day date) PARTITION BY RANGE (day);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE parent (id int4 PRIMARY KEY);
        CREATE TABLE child () INHERITS (parent);";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open();
    let orders = described(&database, &table("orders")).await.unwrap();
    assert_eq!(orders.comment.as_deref(), Some("All orders."));
    assert_eq!(orders.primary_key, ["id", "line"]);
    assert!(orders.has_ranges && orders.is_stored);
    let reference = Reference {
        name: Some("orders_customer_fkey".to_owned()),
        columns: vec!["customer".to_owned()],
        schema: Some("public".to_owned()),
        table: "customers".to_owned(),
        referenced_columns: vec!["id".to_owned()],
    };
    assert_eq!(orders.references, [reference]);
    let names: Vec<_> = orders.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["line", "id", "customer", "code", "status", "mood", "price", "part", "note"]);
    let not_null: Vec<_> = orders.columns.iter().filter(|c| !c.nullable).map(|c| c.name.as_str()).collect();
    assert_eq!(not_null, ["line", "id", "customer"]);
    let unique: Vec<_> = orders.columns.iter().filter(|c| c.unique).map(|c| c.name.as_str()).collect();
    assert_eq!(unique, ["part"]);
    assert_eq!(
        (&orders.columns[4].enumeration[..], &orders.columns[5].enumeration[..]),
        (&["new".to_owned(), "done".to_owned()][..], &["sad".to_owned(), "happy".to_owned()][..])
    );
    assert_eq!(orders.columns[6].comment.as_deref(), Some("In euros."));
    assert_eq!(
        (orders.columns[6].native_type.as_str(), orders.columns[5].native_type.as_str()),
        ("numeric(10,2)", "public.mood")
    );
    assert_eq!(
        (orders.columns[5].sql.as_str(), orders.columns[5].usage),
        ("CAST(t.\"mood\" AS text)", ColumnUsage::All)
    );

    let view = described(&database, &table("open_orders")).await.unwrap();
    assert!(view.columns.iter().all(|column| column.nullable) && !view.has_ranges && view.primary_key.is_empty());
    assert!(!view.is_stored);
    let parts = described(&database, &table("parts")).await.unwrap();
    assert_eq!((parts.columns[0].nullable, parts.has_ranges), (false, false));
    // The rows of the child are not under the key of the parent.
    let parent = described(&database, &table("parent")).await.unwrap();
    assert_eq!((parent.columns[0].unique, parent.columns[0].nullable, parent.has_ranges), (false, true, false));

    let listed = database.tables(None, soon()).await.unwrap();
    let name = |name: &str, is_view| TableName { schema: Some("public".to_owned()), name: name.to_owned(), is_view };
    let expected = [
        ("child", false),
        ("customers", false),
        ("open_orders", true),
        ("orders", false),
        ("parent", false),
        ("parts", false),
    ];
    assert_eq!(listed, expected.map(|(table, is_view)| name(table, is_view)));
}

#[tokio::test]
async fn missing_names_are_errors_with_the_nearest_one() {
    let Some(test) = TestDatabase::new("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int4)").await else {
        return;
    };
    let database = test.open();
    let named =
        |schema: &str, name: &str| DatabaseRelation::Table { schema: Some(schema.to_owned()), name: name.to_owned() };
    let table = failure(described(&database, &named("sales", "ordrs")).await);
    assert_eq!(table.kind(), ErrorKind::NotFound);
    let expected = "PostgreSQL `lake`: there is no table or view `sales.ordrs`; did you mean `orders`?";
    assert_eq!(table.chain(), expected);
    let schema = failure(described(&database, &named("sale", "orders")).await);
    assert_eq!((schema.kind(), schema.suggestion()), (ErrorKind::NotFound, Some("sales")));
    let schema = failure(database.tables(Some("sals"), soon()).await);
    assert_eq!(schema.chain(), "PostgreSQL `lake`: there is no schema `sals`; did you mean `sales`?");
    assert!(database.tables(None, soon()).await.unwrap().is_empty());
}

#[tokio::test]
async fn rights_are_checked_for_schemas_tables_and_columns() {
    let statements = "
        DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        CREATE TABLE mixed (a int4, b int4); GRANT SELECT (a) ON mixed TO reader;
        CREATE TABLE closed (a int4);
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int4); GRANT SELECT ON hidden.t TO reader;";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open_with("127.0.0.1", &options("reader", None));
    let mixed = described(&database, &table("mixed")).await.unwrap();
    assert_eq!(mixed.columns[0].data_type, Ok(DataType::Int32));
    let reason = mixed.columns[1].data_type.clone().unwrap_err();
    assert_eq!(reason, "the account may not read it: grant it SELECT on the column");
    let closed = failure(described(&database, &table("closed")).await);
    assert_eq!(
        (closed.kind(), closed.chain()),
        (
            ErrorKind::PermissionDenied,
            "PostgreSQL `lake`: the account may not read `public.closed`; grant it SELECT".to_owned(),
        )
    );
    let hidden = DatabaseRelation::Table { schema: Some("hidden".to_owned()), name: "t".to_owned() };
    let hidden = failure(described(&database, &hidden).await);
    assert!(hidden.kind() == ErrorKind::PermissionDenied && hidden.chain().ends_with("grant it USAGE"), "{hidden}");
    let listed = database.tables(None, soon()).await.unwrap();
    assert_eq!(listed.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["mixed"]);
    let query = SqlQuery::whole("SELECT b AS c0 FROM public.mixed t");
    let error = failure(rows(&database, query, one("b", DataType::Int32)).await);
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_query_must_be_a_single_select() {
    let statements = "CREATE TABLE orders (id int4, price numeric(9,2), at timestamptz, name text);
        CREATE DOMAIN cents AS numeric(12,2);";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open();
    let query = |text: &str| DatabaseRelation::Query(text.to_owned());
    let found = described(&database, &query("WITH o AS (SELECT * FROM public.orders) SELECT id + 1 AS n, price, price::public.cents AS c, at FROM o -- end")).await.unwrap();
    let types: Vec<_> = found.columns.iter().map(|column| column.data_type.clone().unwrap().to_string()).collect();
    assert_eq!(types, ["Int32", "Decimal128(9, 2)", "Decimal128(12, 2)", "Timestamp(µs, \"UTC\")"]);
    assert!(
        !found.has_ranges && !found.is_stored && found.columns.iter().all(|column| column.nullable && !column.unique)
    );
    assert_eq!(described(&database, &query("VALUES (1, 'x')")).await.unwrap().columns.len(), 2);
    let unknown_digits = described(&database, &query("SELECT sum(price) AS s FROM public.orders")).await.unwrap();
    assert!(unknown_digits.columns[0].data_type.is_err());

    for text in [
        "DELETE FROM public.orders RETURNING id",
        "WITH d AS (DELETE FROM public.orders RETURNING id) SELECT * FROM d",
        "SELECT 1; SELECT 2",
        "SELECT 1;",
        "SELECT 1) AS t, (SELECT 2",
        "SELECT 1) AS t; DROP TABLE public.orders; SELECT * FROM (SELECT 2",
        "SELECT id INTO copied FROM public.orders",
        "SELECT $1::int4 AS a",
        "SELECT 1 AS a, 2 AS a",
        "COPY public.orders TO STDOUT",
        "",
    ] {
        let error = failure(described(&database, &query(text)).await);
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{text}: {error}");
    }
    let error = failure(described(&database, &query("SELECT id FROM public.ordrs")).await);
    assert!(error.kind() == ErrorKind::NotFound && error.chain().contains("public.ordrs"), "{error}");
    // No schema is searched, so that no function of a schema can take the place of another one.
    let error = failure(described(&database, &query("SELECT id FROM orders")).await);
    assert!(error.kind() == ErrorKind::NotFound && error.chain().contains("`schema.table`"), "{error}");
    // The server rolls back a statement that failed after its client has the error.
    let started = Instant::now();
    while test.sessions("state <> 'idle'").await > 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "a session is not idle");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
