//! Values of each type at its ends, and values that a node cannot have.

use super::*;

/// Returns the error of a query with one column.
async fn error_of(database: &PostgresDatabase, sql: &str, data_type: DataType) -> Error {
    failure(rows(database, SqlQuery::whole(format!("SELECT {sql} AS c0")), one("price", data_type)).await)
}

#[tokio::test]
async fn each_type_keeps_its_values_at_its_ends() {
    let statements = "
        CREATE TYPE mood AS ENUM ('sad', 'happy');
        CREATE DOMAIN cents AS numeric(12,2) CHECK (value > 0);
        CREATE DOMAIN dear_cents AS cents CHECK (value > 10);
        CREATE TABLE v (n int4, i2 int2, i8 int8, f4 float4, f8 float8, b bool, d numeric(38,10), w numeric(76,0),
            neg numeric(3,-2), t text, ch char(4), vc varchar(5), by bytea, da date, ts timestamp, tz timestamptz,
            ti time, iv interval, u uuid, j jsonb, ip inet, m mood, dom dear_cents, o oid, mo money, ttz timetz,
            bits bit(3), rng int4range, na name, ia int4[], ta text[], ua uuid[], da2 numeric(5,1)[]);
        INSERT INTO v VALUES (1, -32768, -9223372036854775808, '-Infinity', 'NaN', true,
            9999999999999999999999999999.9999999999, repeat('9', 76)::numeric, 12345, '', 'a', 'é', '', '4713-01-01 BC',
            '4713-01-01 BC', '0001-01-01 00:00:00+00 BC', '00:00', '-1 mon 2 days -0.000001 sec',
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"b\": 1, \"a\": [null]}', '1.2.3.4', 'happy', 10.5, 4294967295,
            -12.34, '12:00:00+02', B'101', '[1,5)', 'x', '{}', '{a,NULL,\"NULL\"}', '{}', '{1.5,NULL}');
        INSERT INTO v (n, i2, i8, f4, f8, b, d, t, da, ts, tz, ti, by, d) VALUES (2, 32767, 9223372036854775807, 0.1, '-0',
            false, -0.0000000001, E'\\ttext \\\\ \"', '9999-12-31', '2038-01-19 03:14:08.123456', '2020-06-01 12:00:00.5+02',
            '23:59:59.999999', '\\x00ff', DEFAULT);
        INSERT INTO v (n) VALUES (3);";
    let statements = statements.replace("ti, by, d)", "ti, by)").replace("'\\x00ff', DEFAULT)", "'\\x00ff')");
    let Some(test) = TestDatabase::new(&statements).await else { return };
    let batch = all(&test.open(), "v").await.unwrap();
    let nothing = "-";
    let expected: &[(&str, &str, &str)] = &[
        ("i2", "-32768", "32767"),
        ("i8", "-9223372036854775808", "9223372036854775807"),
        ("f4", "-inf", "0.1"),
        ("f8", "NaN", "-0.0"),
        ("b", "true", "false"),
        ("d", "9999999999999999999999999999.9999999999", "-0.0000000001"),
        ("w", &"9".repeat(76), nothing),
        ("neg", "12300", nothing),
        ("t", "", "\ttext \\ \""),
        ("ch", "a", nothing),
        ("vc", "é", nothing),
        ("by", "", "00ff"),
        ("da", "-4712-01-01", "9999-12-31"),
        ("ts", "-4712-01-01T00:00:00", "2038-01-19T03:14:08.123456"),
        ("tz", "0000-01-01T00:00:00Z", "2020-06-01T10:00:00.500Z"),
        ("ti", "00:00:00", "23:59:59.999999"),
        ("iv", "-1 mons 2 days -0.000001000 secs", nothing),
        ("u", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", nothing),
        ("j", "{\"a\": [null], \"b\": 1}", nothing),
        ("ip", "1.2.3.4/32", nothing),
        ("m", "happy", nothing),
        ("dom", "10.50", nothing),
        ("o", "4294967295", nothing),
        ("mo", "-12.34", nothing),
        ("ttz", "12:00:00+02", nothing),
        ("bits", "101", nothing),
        ("rng", "[1,5)", nothing),
        ("na", "x", nothing),
        ("ia", "[]", nothing),
        ("ta", "[a, -, NULL]", nothing),
        ("ua", "[]", nothing),
        ("da2", "[1.5, -]", nothing),
    ];
    for (name, first, second) in expected {
        let column = batch.column_by_name(name).unwrap();
        assert_eq!(texts(column), [*first, *second, nothing], "{name}");
    }
    assert_eq!(batch.num_columns(), expected.len() + 1);
}

#[tokio::test]
async fn a_value_that_a_node_cannot_have_is_an_error_that_names_the_column() {
    let Some(test) = TestDatabase::new("CREATE TABLE loose (x numeric); INSERT INTO loose VALUES (1.25), (NULL)").await
    else {
        return;
    };
    let database = test.open();
    let list = DataType::List(Field::new_list_field(DataType::Int32, true).into());
    let timestamp = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let decimal = DataType::Decimal128(5, 1);
    let cases = [
        ("'NaN'::numeric(5,1)", decimal.clone(), "expected a number"),
        ("'Infinity'::numeric", decimal.clone(), "expected a number"),
        ("1.25::numeric", decimal.clone(), "expected a number"),
        ("12345::numeric", decimal.clone(), "expected a number"),
        ("'infinity'::date", DataType::Date32, "expected a date"),
        ("'-infinity'::timestamp", timestamp.clone(), "expected a timestamp"),
        ("'294276-12-31'::timestamp", timestamp, "expected a timestamp"),
        ("'24:00'::time", DataType::Time64(arrow::datatypes::TimeUnit::Microsecond), "got 24:00:00"),
        ("'{{1},{2}}'::int4[]", list.clone(), "expected an array with one dimension"),
        ("'[0:1]={1,2}'::int4[]", list, "expected an array that begins at 1, got one that begins at 0"),
    ];
    for (sql, data_type, expected) in cases {
        let error = error_of(&database, sql, data_type).await;
        assert_eq!(error.kind(), crate::error::ErrorKind::InvalidData, "{sql}");
        assert!(error.chain().starts_with("PostgreSQL `lake`: column `price`: "), "{}", error.chain());
        assert!(error.chain().contains(expected), "{sql}: {}", error.chain());
    }
    // A number without digits of its own is not rounded to those of the contract.
    let wanted = BTreeMap::from([("x".to_owned(), decimal.clone())]);
    let found = database.describe(&table("loose"), &wanted, soon()).await.unwrap();
    let sql = |filter| SqlQuery::whole(format!("SELECT {} AS c0 FROM public.loose t {filter}", found.columns[0].sql));
    let error = failure(rows(&database, sql(""), one("x", decimal)).await);
    assert!(error.chain().contains("at most 5 digits, 1 of them behind the point, got NaN, an infinity"), "{error}");
    let exact = rows(&database, sql("ORDER BY 1"), one("x", DataType::Decimal128(5, 2))).await.unwrap_err();
    assert!(exact.chain().contains("NaN"), "{exact}");
    let wanted = BTreeMap::from([("x".to_owned(), DataType::Decimal128(5, 2))]);
    let found = database.describe(&table("loose"), &wanted, soon()).await.unwrap();
    let sql = SqlQuery::whole(format!("SELECT {} AS c0 FROM public.loose t ORDER BY 1", found.columns[0].sql));
    let exact = rows(&database, sql, one("x", DataType::Decimal128(5, 2))).await.unwrap();
    assert_eq!(texts(exact.column(0)), ["1.25", "-"]);
}

#[tokio::test]
async fn a_large_table_is_read_in_ranges_of_one_moment() {
    let statements = "
        CREATE TABLE large (id int8, filler text) WITH (fillfactor = 10);
        INSERT INTO large SELECT i, repeat('x', 700) FROM generate_series(1, 10000) i;
        CREATE INDEX ON large (id);
        ANALYZE large;
        CREATE TABLE small (id int8); INSERT INTO small SELECT generate_series(1, 100);";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let read = async |database: &PostgresDatabase, name: &str, filter: &str| {
        let text = format!("SELECT t.id AS c0 FROM public.{name} t{filter}");
        let (before, from) =
            (format!("SELECT t.id AS c0 FROM public.{name} t").len(), format!("\"public\".\"{name}\""));
        // A filter stands in a query around.
        let text = if filter.is_empty() {
            text
        } else {
            format!("SELECT c0 FROM (SELECT t.id AS c0 FROM public.{name} t) q{filter}")
        };
        let at = if filter.is_empty() { before } else { "SELECT c0 FROM (".len() + before };
        let query = SqlQuery { text, ranges: Some(crate::sql::SqlRanges { at, from }) };
        let batch = rows(database, query, one("id", DataType::Int64)).await.unwrap();
        let mut ids: Vec<i64> = texts(batch.column(0)).iter().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let database = test.open_with("127.0.0.1", &one_connection());
    for name in ["small", "large"] {
        let last = if name == "small" { 100 } else { 10_000 };
        assert_eq!(read(&database, name, "").await, (1..=last).collect::<Vec<_>>());
    }
    assert_eq!(read(&database, "large", " WHERE c0 = 77").await, [77]);
    test.none_is("state <> 'idle'").await;
    assert_eq!(test.sessions("true").await, 1);
    drop(database);
    test.none_is("true").await;
    let database = test.open();
    assert_eq!(read(&database, "large", "").await, (1..=10_000).collect::<Vec<_>>());
    test.none_is("state <> 'idle'").await;
    assert_eq!(test.sessions("true").await, 2);

    // While rows move to other pages and new ones arrive, each query has the rows of one moment.
    let client = test.client().await;
    let moving = tokio::spawn(async move {
        for _ in 0..20 {
            client.batch_execute("UPDATE large SET filler = filler WHERE id % 7 = 0").await.unwrap();
        }
    });
    for _ in 0..5 {
        assert_eq!(read(&database, "large", "").await, (1..=10_000).collect::<Vec<_>>());
    }
    moving.abort();
}

#[tokio::test]
async fn strings_of_all_collations_compare_as_at_a_node() {
    let statements = "
        CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE s (id int4, c text COLLATE ci, d text COLLATE \"C\", e text);
        INSERT INTO s VALUES (1, 'a', 'a', 'a'), (2, 'A', 'A', 'A');";
    let Some(test) = TestDatabase::new(statements).await else { return };
    let database = test.open();
    let found = described(&database, &table("s")).await.unwrap();
    let [_, c, d, e] = [0, 1, 2, 3].map(|i| found.columns[i].sql.clone());
    for condition in
        [format!("{c} = 'a'"), format!("({c} COLLATE \"C\") = ({d} COLLATE \"C\") AND {d} = 'a' AND {e} = 'a'")]
    {
        let sql = SqlQuery::whole(format!("SELECT id AS c0 FROM public.s t WHERE {condition}"));
        let batch = rows(&database, sql, one("id", DataType::Int32)).await.unwrap();
        assert_eq!(texts(batch.column(0)), ["1"], "{condition}");
    }
    // The columns of a query have unknown collations.
    let query = DatabaseRelation::Query("SELECT id, c AS x FROM public.s -- all".to_owned());
    let found = described(&database, &query).await.unwrap();
    let text =
        format!("SELECT count(*) AS c0 FROM {} t WHERE {} = 'a'", database.clause_of(&query), found.columns[1].sql);
    let batch = rows(&database, SqlQuery::whole(text), one("n", DataType::Int64)).await.unwrap();
    assert_eq!(texts(batch.column(0)), ["1"]);
}
