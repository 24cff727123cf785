//! Rows that a node adds.

use arrow::array::{ArrayRef, Int32Array, StringArray};
use futures::{StreamExt, stream};

use super::*;
use crate::error::ErrorKind;

const TABLE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE target (id int4 PRIMARY KEY, name varchar(5) CHECK (name <> 'no'), mood mood);";

fn batch(ids: &[i32], names: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from(ids.to_vec()));
    let names: ArrayRef = Arc::new(StringArray::from(names.to_vec()));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

async fn append(database: &PostgresDatabase, columns: [&str; 2], batches: Vec<Result<RecordBatch>>) -> Result<u64> {
    let columns = columns.map(str::to_owned);
    database.append(&table("target"), &columns, stream::iter(batches).boxed(), context()).await
}

async fn count(test: &TestDatabase) -> i64 {
    test.admin.query_one("SELECT count(*) FROM target", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn all_rows_are_added_or_none() {
    let Some(test) = TestDatabase::new(TABLE).await else { return };
    let database = test.open_with("127.0.0.1", &one_connection());
    let batches = vec![Ok(batch(&[1, 2], &[Some("a\tb"), None])), Ok(batch(&[3], &[Some("\\N")]))];
    assert_eq!(append(&database, ["id", "name"], batches).await.unwrap(), 3);
    assert_eq!(append(&database, ["id", "mood"], vec![Ok(batch(&[4], &[Some("happy")]))]).await.unwrap(), 1);
    let found = all(&database, "target").await.unwrap();
    assert_eq!(texts(found.column(1)), ["a\tb", "-", "\\N", "-"]);
    assert_eq!(texts(found.column(2)), ["-", "-", "-", "happy"]);

    let refused = [
        (["id", "name"], batch(&[5, 1], &[None, None]), "a key that the table or another row has"),
        (["id", "name"], batch(&[5], &[Some("longer")]), "the table does not accept a value"),
        (["id", "name"], batch(&[5], &[Some("no")]), "the table does not accept a value"),
        (["id", "mood"], batch(&[5], &[Some("angry")]), "column `mood`"),
        (["id", "name"], batch(&[5], &[Some("\0")]), "the table does not accept a value"),
    ];
    for (columns, rows, expected) in refused {
        let error = failure(append(&database, columns, vec![Ok(batch(&[9], &[None])), Ok(rows)]).await);
        assert!(error.kind() == ErrorKind::InvalidQuery && error.chain().contains(expected), "{}", error.chain());
        assert_eq!(count(&test).await, 4);
    }
    let broken = vec![Ok(batch(&[6], &[None])), Err(Error::new(ErrorKind::InvalidData, "a bad row"))];
    let error = failure(append(&database, ["id", "name"], broken).await);
    assert_eq!((error.kind(), error.chain().as_str()), (ErrorKind::InvalidData, "a bad row"));
    test.none_is("state <> 'idle'").await;
    assert_eq!((count(&test).await, test.sessions("true").await), (4, 1));
    let query = DatabaseRelation::Query("SELECT 1".to_owned());
    let error = failure(database.append(&query, &[], stream::empty().boxed(), context()).await);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_append_that_is_dropped_or_late_adds_nothing() {
    let Some(test) = TestDatabase::new(TABLE).await else { return };
    let database = test.open_with("127.0.0.1", &one_connection());
    let first = stream::iter([Ok(batch(&[1], &[None]))]).chain(stream::pending());
    let columns = ["id", "name"].map(str::to_owned);
    let target = table("target");
    let adding = database.append(&target, &columns, first.boxed(), context());
    assert!(tokio::time::timeout(Duration::from_millis(300), adding).await.is_err());
    test.none_is("state <> 'idle'").await;
    let first = stream::iter([Ok(batch(&[1], &[None]))]).chain(stream::pending());
    let short = RunContext { query_id: None, deadline: Instant::now() + Duration::from_millis(300) };
    let error = failure(database.append(&target, &columns, first.boxed(), short).await);
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    test.none_is("state <> 'idle'").await;
    assert_eq!((count(&test).await, test.sessions("true").await), (0, 1));
}

#[tokio::test]
async fn every_type_that_is_read_can_be_added() {
    let columns = "i2 int2, i8 int8, f4 float4, f8 float8, b bool, d numeric(38,10), w numeric(76,0), t text, ch char(4), \
        by bytea, da date, ts timestamp, tz timestamptz, ti time, iv interval, u uuid, j jsonb, o oid, ia int4[], ta text[], \
        da2 numeric(5,1)[], db date[]";
    let statements = format!("
        CREATE TABLE source (n int4, {columns}); CREATE TABLE target (LIKE source);
        INSERT INTO source VALUES
        (1, -32768, -9223372036854775808, '-Infinity', 'NaN', true, -0.0000000001, repeat('9', 76)::numeric, E'\\\\ \\t \\n',
            'a', '\\x00ff', '4713-01-01 BC', '4713-01-01 BC', '0001-01-01 00:00:00.000001+00 BC', '23:59:59.999999',
            '-1 mon 2 days -0.000001 sec', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '[1]', 4294967295, '{{1,NULL}}',
            '{{a,NULL,\"NULL\",\"\\\"\\\\\"}}', '{{1.5}}', '{{2020-01-01}}'),
        (2, 1, 1, 1e-45, 1.7976931348623157e308, false, 0.1, 0, '', '', '', '200000-12-31', '200000-12-31', '200000-12-31 00:00+00',
            '00:00', '1 day', NULL, '\"x\"', 0, '{{}}', '{{}}', NULL, NULL);");
    let Some(test) = TestDatabase::new(&statements).await else { return };
    let database = test.open();
    let read = all(&database, "source").await.unwrap();
    let names: Vec<_> = read.schema().fields().iter().map(|field| field.name().clone()).collect();
    let added = database.append(&table("target"), &names, stream::iter([Ok(read)]).boxed(), context()).await.unwrap();
    assert_eq!(added, 2);
    let differences = "SELECT count(*) FROM (SELECT * FROM source EXCEPT SELECT * FROM target) d";
    assert_eq!(test.admin.query_one(differences, &[]).await.unwrap().get::<_, i64>(0), 0);
}
