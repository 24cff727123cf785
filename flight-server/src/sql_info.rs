//! What this server is and can do, as `GetSqlInfo` tells it. Only identifiers of the specification, each in the type
//! that it demands: drivers cast without looking.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use portolan_engine::Result;

use crate::failure::encoding;

const KEYWORDS: &[&str] = &["ANTI", "EXCEPT", "ILIKE", "LIMIT", "OFFSET", "QUALIFY", "SEMI", "UNNEST"];
const NUMERIC: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cot", "degrees", "exp", "floor", "ln", "log", "log10",
    "pi", "power", "radians", "random", "round", "signum", "sin", "sqrt", "tan", "trunc",
];
const STRING: &[&str] = &[
    "ascii", "chr", "concat", "left", "length", "lower", "lpad", "ltrim", "repeat", "replace", "reverse", "right",
    "rpad", "rtrim", "strpos", "substr", "trim", "upper",
];
const DATETIME: &[&str] =
    &["current_date", "current_time", "date_bin", "date_part", "date_trunc", "now", "to_timestamp"];

/// The answers to the identifiers asked for; to all, if none is named. Unknown ones are left out.
pub(crate) fn sql_info(asked: &[u32]) -> Result<RecordBatch> {
    data()?.record_batch(asked.iter().copied()).map_err(encoding)
}

fn data() -> Result<SqlInfoData> {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info);
    syntax(&mut info);
    capabilities(&mut info);
    limits(&mut info);
    transactions(&mut info);
    info.build().map_err(encoding)
}

fn server(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::FlightSqlServerName, "Portolan");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.5");
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0_i32);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn syntax(info: &mut SqlInfoDataBuilder) {
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // The protocol has no word for names that keep their case; drivers take "unknown" for it.
    info.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    // NULLs come last when ascending and first when descending.
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlKeywords, KEYWORDS);
    info.append(SqlInfo::SqlNumericFunctions, NUMERIC);
    info.append(SqlInfo::SqlStringFunctions, STRING);
    info.append(SqlInfo::SqlSystemFunctions, &["coalesce", "nullif"] as &[&str]);
    info.append(SqlInfo::SqlDatetimeFunctions, DATETIME);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlExtraNameCharacters, "");
    info.append(SqlInfo::SqlSchemaTerm, "data product");
    info.append(SqlInfo::SqlProcedureTerm, "procedure");
    info.append(SqlInfo::SqlCatalogTerm, "domain");
    info.append(SqlInfo::SqlCatalogAtStart, true);
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
        SqlInfo::SqlBatchUpdatesSupported,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        info.append(no, false);
    }
    info.append(SqlInfo::SqlSupportsConvert, BTreeMap::<i32, Vec<i32>>::new());
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

/// Zero: no limit, or none that is known.
fn limits(info: &mut SqlInfoDataBuilder) {
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
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatementLength,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTableNameLength,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        info.append(unlimited, 0_i64);
    }
    info.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    info.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(none));
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, bits(&[none]));
    info.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, true);
}

fn bits(of: &[i32]) -> i32 {
    of.iter().fold(0, |bits, bit| bits | (1 << bit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, AsArray, UnionArray};
    use arrow::datatypes::UInt32Type;

    use super::*;

    fn type_of(batch: &RecordBatch, id: SqlInfo) -> i8 {
        let row = batch.column(0).as_primitive::<UInt32Type>().values().iter().position(|v| *v == id as u32);
        let values = batch.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        values.type_id(row.unwrap())
    }

    #[test]
    fn every_known_identifier_is_answered_in_its_type() {
        let all = sql_info(&[]).unwrap();
        let ids = all.column(0).as_primitive::<UInt32Type>();
        assert!(ids.values().iter().all(|id| SqlInfo::try_from(*id as i32).is_ok()));
        let defined = (0..1000).filter(|id| SqlInfo::try_from(*id).is_ok()).count();
        // Substrait's two versions have no value here.
        assert_eq!(all.num_rows(), defined - 2);
        for (id, expected) in [
            (SqlInfo::FlightSqlServerName, 0),
            (SqlInfo::FlightSqlServerReadOnly, 1),
            (SqlInfo::SqlMaxColumnsInTable, 2),
            (SqlInfo::FlightSqlServerTransaction, 3),
            (SqlInfo::SqlSupportedUnions, 3),
            (SqlInfo::SqlKeywords, 4),
            (SqlInfo::SqlSupportsConvert, 5),
        ] {
            assert_eq!(type_of(&all, id), expected, "{id:?}");
        }
    }

    #[test]
    fn unknown_identifiers_are_left_out() {
        assert_eq!(sql_info(&[8, 77_777]).unwrap().num_rows(), 1);
        assert_eq!(sql_info(&[77_777]).unwrap().num_rows(), 0);
    }
}
