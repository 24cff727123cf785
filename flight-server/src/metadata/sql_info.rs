//! The properties and capabilities of the server, as `GetSqlInfo` reports them. Only identifiers of the specification
//! are reported, each with the type that it requires, because drivers cast without checking.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UnionArray};
use arrow::compute::{can_cast_types, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, UInt32Type, UnionFields};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use portolan_catalog::MAX_NAME_LENGTH;
use portolan_engine::server::functions as scalar_functions;
use portolan_engine::{Engine, Error, ErrorKind, Result};

use crate::failure::{arrow, encoding};
use crate::options::ServerLimits;

const KEYWORDS: &[&str] = &["ANTI", "EXCEPT", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "SEMI", "UNNEST"];
/// Identifiers that JDBC drivers before version 17 do not know. These drivers fail on every response that contains one.
const YOUNG: &[i32] =
    &[SqlInfo::FlightSqlServerBulkIngestion as i32, SqlInfo::FlightSqlServerIngestTransactionsSupported as i32];

/// The facts that only the running server knows.
pub(crate) struct Facts<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) limits: &'a ServerLimits,
}

/// Returns all properties.
pub(crate) fn sql_info(facts: &Facts<'_>) -> Result<SqlInfoData> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info, facts);
    syntax(&mut info);
    functions(&mut info, scalar_functions(facts.engine));
    capabilities(&mut info);
    conversions(&mut info);
    limits(&mut info, facts.limits);
    transactions(&mut info);
    info.build().map_err(encoding)
}

/// Returns the properties with the requested identifiers. If none are requested, returns all properties except those
/// that make older drivers fail. The columns are the ones that Arrow's own clients compare with, because the builder's
/// columns may be NULL.
pub(crate) fn answers(info: &SqlInfoData, asked: &[u32]) -> Result<RecordBatch> {
    let built = info.record_batch(asked.iter().copied()).map_err(encoding)?;
    let ids = built.column(0).as_primitive::<UInt32Type>();
    let known: BooleanArray =
        ids.values().iter().map(|id| Some(!asked.is_empty() || !YOUNG.contains(&(*id as i32)))).collect();
    let built = filter_record_batch(&built, &known).map_err(arrow)?;
    let (_, kinds, offsets, values) = built.column(1).as_union().clone().into_parts();
    let DataType::Union(fields, mode) = built.schema().field(1).data_type().clone() else {
        return Err(Error::new(ErrorKind::Internal, "the values of GetSqlInfo are not a union"));
    };
    let strict: UnionFields =
        fields.iter().map(|(id, field)| (id, Arc::new(field.as_ref().clone().with_nullable(false)))).collect();
    let schema = Schema::new(vec![
        Field::new("info_name", DataType::UInt32, false),
        Field::new("value", DataType::Union(strict.clone(), mode), false),
    ]);
    let values = UnionArray::try_new(strict, kinds, offsets, values).map_err(arrow)?;
    RecordBatch::try_new(Arc::new(schema), vec![built.column(0).clone(), Arc::new(values)]).map_err(arrow)
}

fn server(info: &mut SqlInfoDataBuilder, facts: &Facts<'_>) {
    info.append(SqlInfo::FlightSqlServerName, "Portolan");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    // The time until an unused handle is dropped, in milliseconds.
    let idle = i32::try_from(facts.limits.statement_idle.as_millis()).unwrap_or(i32::MAX);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, idle);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn syntax(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, true);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // The protocol has no value for names that keep their case, and drivers read "unknown" as that.
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    // NULLs sort last in ascending order and first in descending order.
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSchemaTerm, "data product");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "domain");
    info.append(SqlInfo::SqlCatalogAtStart, true);
}

/// Adds the engine's functions, sorted into the four lists of the protocol.
fn functions(info: &mut SqlInfoDataBuilder, functions: Vec<(String, &'static str)>) {
    let list_of = |chapter: &str| match chapter {
        "Math Functions" => SqlInfo::SqlNumericFunctions,
        "String Functions" | "Binary String Functions" | "Regular Expression Functions" => SqlInfo::SqlStringFunctions,
        "Time and Date Functions" => SqlInfo::SqlDatetimeFunctions,
        _ => SqlInfo::SqlSystemFunctions,
    };
    let mut lists: [(SqlInfo, Vec<String>); 4] = [
        (SqlInfo::SqlNumericFunctions, vec![]),
        (SqlInfo::SqlStringFunctions, vec![]),
        (SqlInfo::SqlDatetimeFunctions, vec![]),
        (SqlInfo::SqlSystemFunctions, vec![]),
    ];
    for (name, chapter) in functions {
        let list = list_of(chapter);
        lists.iter_mut().filter(|(id, _)| *id == list).for_each(|(_, names)| names.push(name.clone()));
    }
    for (id, mut names) in lists {
        names.sort_unstable();
        info.append(id, names);
    }
}

/// Adds the conversions that `CAST` supports, which are those of Arrow's casts.
fn conversions(info: &mut SqlInfoDataBuilder) {
    use SqlSupportsConvert as Convert;
    let types = [
        (Convert::SqlConvertBigint, DataType::Int64),
        (Convert::SqlConvertBinary, DataType::Binary),
        (Convert::SqlConvertBit, DataType::Boolean),
        (Convert::SqlConvertChar, DataType::Utf8),
        (Convert::SqlConvertDate, DataType::Date32),
        (Convert::SqlConvertDecimal, DataType::Decimal128(38, 10)),
        (Convert::SqlConvertFloat, DataType::Float32),
        (Convert::SqlConvertInteger, DataType::Int32),
        (Convert::SqlConvertLongvarbinary, DataType::Binary),
        (Convert::SqlConvertLongvarchar, DataType::Utf8),
        (Convert::SqlConvertNumeric, DataType::Decimal128(38, 10)),
        (Convert::SqlConvertReal, DataType::Float32),
        (Convert::SqlConvertSmallint, DataType::Int16),
        (Convert::SqlConvertTime, DataType::Time64(TimeUnit::Nanosecond)),
        (Convert::SqlConvertTimestamp, DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (Convert::SqlConvertTinyint, DataType::Int8),
        (Convert::SqlConvertVarbinary, DataType::Binary),
        (Convert::SqlConvertVarchar, DataType::Utf8),
    ];
    let from = |from: &DataType| {
        let to = types.iter().filter(|(_, to)| can_cast_types(from, to));
        to.map(|(to, _)| *to as i32).collect::<Vec<_>>()
    };
    let all: BTreeMap<i32, Vec<i32>> = types.iter().map(|(id, data_type)| (*id as i32, from(data_type))).collect();
    info.append(SqlInfo::SqlSupportsConvert, all);
}

fn capabilities(info: &mut SqlInfoDataBuilder) {
    for yes in [
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        info.append(yes, true);
    }
    for no in [
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        info.append(no, false);
    }
    // Several rows bound to one change.
    info.append(SqlInfo::SqlBatchUpdatesSupported, true);
    let group_by =
        bits(&[SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32]);
    info.append(SqlInfo::SqlSupportedGroupBy, group_by);
    let grammar = bits(&[SupportedSqlGrammar::SqlMinimumGrammar as i32, SupportedSqlGrammar::SqlCoreGrammar as i32]);
    info.append(SqlInfo::SqlSupportedGrammar, grammar);
    info.append(SqlInfo::SqlAnsi92SupportedLevel, bits(&[0]));
    let joins = SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32;
    info.append(SqlInfo::SqlOuterJoinsSupportLevel, bits(&[joins]));
    info.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    info.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
    info.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    let subqueries = bits(&[
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
    ]);
    info.append(SqlInfo::SqlSupportedSubqueries, subqueries);
    let unions = bits(&[SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32]);
    info.append(SqlInfo::SqlSupportedUnions, unions);
    let forward = bits(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32]);
    info.append(SqlInfo::SqlSupportedResultSetTypes, forward);
    let read_only = bits(&[SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32]);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, read_only);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32);
    info.append(SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32);
}

/// Adds the limits. Zero means that there is no limit, or no known one.
fn limits(info: &mut SqlInfoDataBuilder, limits: &ServerLimits) {
    for unlimited in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxConnections,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(unlimited, 0_i64);
    }
    for name in [SqlInfo::SqlMaxCatalogNameLength, SqlInfo::SqlDbSchemaNameLength, SqlInfo::SqlMaxTableNameLength] {
        info.append(name, MAX_NAME_LENGTH as i64);
    }
    let statements = i64::try_from(limits.statements_per_principal).unwrap_or(i64::MAX);
    info.append(SqlInfo::SqlMaxStatements, statements);
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    info.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(none));
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, bits(&[none]));
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
}

fn bits(of: &[i32]) -> i32 {
    of.iter().fold(0, |bits, bit| bits | (1 << bit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, AsArray, RecordBatch, StringArray, UnionArray};
    use arrow::datatypes::UInt32Type;

    use super::*;

    async fn answers(asked: &[u32]) -> RecordBatch {
        let engine = Engine::builder().build().unwrap();
        let facts = Facts { engine: &engine, limits: &ServerLimits::default() };
        sql_info(&facts).unwrap().record_batch(asked.iter().copied()).unwrap()
    }

    fn row_of(batch: &RecordBatch, id: SqlInfo) -> usize {
        batch.column(0).as_primitive::<UInt32Type>().values().iter().position(|v| *v == id as u32).unwrap()
    }

    fn values(batch: &RecordBatch) -> &UnionArray {
        batch.column(1).as_any().downcast_ref::<UnionArray>().unwrap()
    }

    fn names(batch: &RecordBatch, id: SqlInfo) -> Vec<String> {
        let names = values(batch).value(row_of(batch, id));
        let names = names.as_list::<i32>().value(0);
        let names: &StringArray = names.as_string();
        names.iter().flatten().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn every_known_identifier_is_answered_in_its_type() {
        let all = answers(&[]).await;
        let ids = all.column(0).as_primitive::<UInt32Type>();
        assert!(ids.values().iter().all(|id| SqlInfo::try_from(*id as i32).is_ok()));
        let defined = (0..1000).filter(|id| SqlInfo::try_from(*id).is_ok()).count();
        // The two Substrait versions have no value here.
        assert_eq!(all.num_rows(), defined - 2);
        for (id, expected) in [
            (SqlInfo::FlightSqlServerName, 0),
            (SqlInfo::FlightSqlServerReadOnly, 1),
            (SqlInfo::SqlMaxColumnsInTable, 2),
            (SqlInfo::SqlMaxStatements, 2),
            (SqlInfo::FlightSqlServerTransaction, 3),
            (SqlInfo::FlightSqlServerStatementTimeout, 3),
            (SqlInfo::SqlSupportedUnions, 3),
            (SqlInfo::SqlKeywords, 4),
            (SqlInfo::SqlNumericFunctions, 4),
            (SqlInfo::SqlSupportsConvert, 5),
        ] {
            assert_eq!(values(&all).type_id(row_of(&all, id)), expected, "{id:?}");
        }
    }

    #[tokio::test]
    async fn unknown_identifiers_are_left_out() {
        assert_eq!(answers(&[8, 77_777]).await.num_rows(), 1);
        assert_eq!(answers(&[77_777]).await.num_rows(), 0);
    }

    #[tokio::test]
    async fn functions_are_those_of_the_engine() {
        let all = answers(&[]).await;
        for (id, function) in [
            (SqlInfo::SqlNumericFunctions, "sqrt"),
            (SqlInfo::SqlStringFunctions, "substr"),
            (SqlInfo::SqlStringFunctions, "regexp_replace"),
            (SqlInfo::SqlDatetimeFunctions, "date_trunc"),
            (SqlInfo::SqlSystemFunctions, "coalesce"),
        ] {
            let names = names(&all, id);
            assert!(names.iter().any(|name| name == function), "{id:?}: {names:?}");
            assert!(names.is_sorted());
        }
    }
}
