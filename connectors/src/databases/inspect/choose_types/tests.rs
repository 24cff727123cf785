//! Columns whose types the database does not determine, in a database that is written by hand.

#![allow(clippy::unwrap_used, clippy::unimplemented)]

use std::sync::Mutex;

use arrow::array::{ArrayRef, Int32Array};
use arrow::datatypes::{DataType as T, SchemaRef};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

use super::*;
use crate::databases::{DescribedTable, Origin, TableName};
use crate::poison::lock;
use crate::sql::{ColumnUsage, SqlDialect};

/// A database with these columns.
#[derive(Debug, Default)]
struct Written {
    columns: Vec<DescribedColumn>,
    /// The types that a contract can determine, by the names of columns.
    readable: Vec<(&'static str, T)>,
    /// The types that some value of a column does not have, by the names of columns.
    misfits: Vec<(&'static str, T)>,
    /// The digits after the point of numbers; an error without.
    digits: Option<i32>,
    /// An error that the database returns for every query.
    fault: Option<ErrorKind>,
    queries: Mutex<Vec<String>>,
}

#[async_trait]
impl Database for Written {
    fn origin(&self) -> &Origin {
        unimplemented!("nobody needs the names")
    }

    fn dialect(&self) -> &'static SqlDialect {
        unimplemented!("no fragment is written")
    }

    fn clause_of(&self, _: &DatabaseRelation) -> String {
        "shop".to_owned()
    }

    async fn describe(&self, _: &DatabaseRelation, wanted: &BTreeMap<String, T>, _: Instant) -> Result<DescribedTable> {
        let mut columns = self.columns.clone();
        for column in &mut columns {
            let wanted = wanted.get(&column.name);
            let known = self.readable.iter().find(|(name, to)| *name == column.name && Some(to) == wanted);
            column.data_type = known.map_or(column.data_type.clone(), |(_, to)| Ok(to.clone()));
        }
        Ok(DescribedTable { columns, ..DescribedTable::default() })
    }

    async fn tables(&self, _: Option<&str>, _: Instant) -> Result<Vec<TableName>> {
        unimplemented!("there is one table")
    }

    async fn query(
        &self,
        query: SqlQuery,
        schema: SchemaRef,
        _: RunContext,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        lock(&self.queries).push(query.text.clone());
        let is_misfit = |(i, field): (usize, &Field)| {
            let read = |name: &str| query.text.contains(&format!("t.{name} AS c{i}"));
            self.misfits.iter().any(|(name, of)| read(name) && of == field.data_type())
        };
        let fails = match (self.fault, query.text.contains("scale("), self.digits) {
            (Some(kind), ..) => Some(kind),
            (None, true, None) => Some(ErrorKind::InvalidQuery),
            _ => schema.fields().iter().map(AsRef::as_ref).enumerate().any(is_misfit).then_some(ErrorKind::InvalidData),
        };
        let rows = match fails {
            Some(kind) => Err(Error::new(kind, "the value does not fit")),
            None if self.digits.is_some() => {
                let digits: ArrayRef = Arc::new(Int32Array::from(vec![self.digits]));
                Ok(RecordBatch::try_new(schema, vec![digits]).unwrap())
            }
            None => Ok(RecordBatch::new_empty(schema)),
        };
        Ok(stream::iter([rows]).boxed())
    }

    async fn append(
        &self,
        _: &DatabaseRelation,
        _: &[String],
        _: BoxStream<'static, Result<RecordBatch>>,
        _: RunContext,
    ) -> Result<u64> {
        unimplemented!("nothing is written")
    }
}

fn column(name: &str, native_type: &str, data_type: std::result::Result<T, &str>) -> DescribedColumn {
    DescribedColumn {
        name: name.to_owned(),
        native_type: native_type.to_owned(),
        data_type: data_type.map_err(str::to_owned),
        sql: format!("t.{name}"),
        usage: ColumnUsage::All,
        nullable: true,
        unique: false,
        comment: None,
        enumeration: vec![],
    }
}

async fn chosen(database: &Written, kind: DatabaseKind) -> Result<Vec<InspectedColumn>> {
    let relation = DatabaseRelation::Table { schema: None, name: "shop".to_owned() };
    let until = Instant::now() + Duration::from_secs(60);
    TypeChooser { database, kind, relation: &relation, until }.columns(database.columns.clone()).await
}

#[tokio::test]
async fn numbers_without_digits_have_as_many_as_their_values_need() {
    for (digits, scale) in [(0, 10), (10, 10), (11, 20), (20, 20), (25, 30), (400, 30)] {
        let number = T::Decimal128(38, scale);
        let database = Written {
            columns: vec![column("id", "integer", Ok(T::Int32)), column("a\"b", "numeric", Err("it has no digits"))],
            readable: vec![("a\"b", number.clone())],
            digits: Some(digits),
            ..Written::default()
        };
        let columns = chosen(&database, DatabaseKind::Postgres).await.unwrap();
        assert_eq!((&columns[0].data_type, columns[0].is_chosen, &columns[0].note), (&Ok(T::Int32), false, &None));
        assert_eq!((&columns[1].data_type, columns[1].is_chosen), (&Ok(number), true), "{digits}");
        let expected = format!("more than {scale} after the point, or more than {} before it", 38 - scale);
        assert!(columns[1].note.as_ref().unwrap().contains(&expected), "{:?}", columns[1].note);
        assert_eq!(
            *lock(&database.queries),
            [
                "SELECT CAST(max(scale(q.c)) AS int4) AS c0 FROM (SELECT t.\"a\"\"b\" AS c FROM shop AS t LIMIT 10000) AS q"
            ]
        );
    }
}

#[tokio::test]
async fn a_column_that_no_type_fits_keeps_its_reason() {
    let columns = vec![
        column("shape", "polygon", Err("a node has no type for it")),
        column("numbers", "numeric[]", Err("an array needs digits")),
    ];
    let database = Written { columns, ..Written::default() };
    let columns = chosen(&database, DatabaseKind::Postgres).await.unwrap();
    assert_eq!(columns[0].data_type, Err("a node has no type for it".to_owned()));
    assert_eq!(columns[1].data_type, Err("an array needs digits".to_owned()));
    assert_eq!(lock(&database.queries).len(), 1);
    for (kind, reason) in [
        (ErrorKind::PermissionDenied, "the account may not read it"),
        (ErrorKind::InvalidData, "an array needs digits"),
    ] {
        let columns = vec![column("a", "money_list", Err(reason))];
        let hidden = Written { columns, fault: Some(kind), ..Written::default() };
        assert_eq!(chosen(&hidden, DatabaseKind::Postgres).await.unwrap()[0].data_type, Err(reason.to_owned()));
    }
    // A slow view decides nothing, and other errors are errors.
    let number = ("a", T::Decimal128(38, 10));
    let slow = Written {
        columns: vec![column("a", "numeric", Err("it has no digits"))],
        readable: vec![number],
        fault: Some(ErrorKind::DeadlineExceeded),
        ..Written::default()
    };
    assert_eq!(chosen(&slow, DatabaseKind::Postgres).await.unwrap()[0].data_type, Ok(T::Decimal128(38, 10)));
    let down = Written { fault: Some(ErrorKind::SiteUnavailable), ..slow };
    assert_eq!(chosen(&down, DatabaseKind::Postgres).await.unwrap_err().kind(), ErrorKind::SiteUnavailable);
}

#[tokio::test]
async fn the_values_of_sqlite_decide() {
    let database = Written {
        columns: vec![
            column("id", "INTEGER", Ok(T::Int64)),
            column("day", "DATE", Ok(T::Date32)),
            column("mixed_day", "DATE", Ok(T::Date32)),
            column("count", "INTEGER", Ok(T::Int64)),
            column("empty", "", Err("it has no values")),
            column("name", "TEXT", Ok(T::Utf8)),
            column("bytes", "TEXT", Ok(T::Utf8)),
        ],
        readable: vec![("mixed_day", T::Utf8), ("empty", T::Utf8)],
        misfits: vec![("mixed_day", T::Date32), ("count", T::Int64), ("bytes", T::Utf8)],
        ..Written::default()
    };
    let columns = chosen(&database, DatabaseKind::Sqlite).await.unwrap();
    let types: Vec<_> = columns.iter().map(|own| (own.data_type.clone().ok(), own.is_chosen)).collect();
    assert_eq!(
        types,
        [
            (Some(T::Int64), false),
            (Some(T::Date32), false),
            (Some(T::Utf8), true),
            (None, false),
            (Some(T::Utf8), true),
            (Some(T::Utf8), false),
            (None, false),
        ]
    );
    let notes: Vec<_> = columns.iter().map(|own| own.note.as_deref().unwrap_or_default()).collect();
    assert!(notes[1].starts_with("SQLite does not check `DATE`. The first 10000 rows"), "{notes:?}");
    assert_eq!(notes[2], "some value is not of the type that `DATE` stands for");
    assert_eq!((notes[0], notes[5], notes[6]), ("", "", ""));
    let misfit = Err("the value does not fit".to_owned());
    assert_eq!((&columns[3].data_type, &columns[6].data_type, notes[4]), (&misfit, &misfit, ""));
    // One query is enough for a table whose values have the types.
    let clean = Written { columns: database.columns[..2].to_vec(), ..Written::default() };
    chosen(&clean, DatabaseKind::Sqlite).await.unwrap();
    assert_eq!(*lock(&clean.queries), ["SELECT t.id AS c0, t.day AS c1 FROM shop AS t LIMIT 10000"]);
}

#[tokio::test]
async fn a_small_integer_of_mysql_may_be_a_boolean() {
    let columns = vec![column("paid", "tinyint(1)", Ok(T::Int8)), column("n", "tinyint(4)", Ok(T::Int8))];
    let database = Written { columns, ..Written::default() };
    let columns = chosen(&database, DatabaseKind::MariaDb).await.unwrap();
    assert!(columns[0].note.as_ref().unwrap().starts_with("with `logicalType: boolean`"));
    assert_eq!((&columns[0].data_type, &columns[1].note), (&Ok(T::Int8), &None));
    assert!(lock(&database.queries).is_empty());
}
