//! Tests of the errors that come from DataFusion.

use std::sync::Arc;

use datafusion::common::{Column, Location, Span};
use datafusion::parquet::errors::ParquetError;

use super::*;

#[test]
fn one_of_ours_comes_out_as_it_went_in() {
    let error = into_datafusion(Error::new(ErrorKind::SiteUnavailable, "sales is down"));
    let error = DataFusionError::Shared(Arc::new(error.context("while joining")));
    let error = DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(error))), None);
    let ours = from_datafusion(&error);
    assert_eq!((ours.kind(), ours.context()), (ErrorKind::SiteUnavailable, "sales is down"));
}

#[test]
fn kinds_follow_the_root() {
    let error = DataFusionError::ResourcesExhausted("2 GiB".into()).context("sort");
    assert_eq!(from_datafusion(&error).kind(), ErrorKind::ResourceExhausted);
    assert_eq!(from_datafusion(&DataFusionError::Plan("x".into())).kind(), ErrorKind::InvalidQuery);
    let csv = DataFusionError::ArrowError(Box::new(ArrowError::CsvError("a record of 3 fields".into())), None);
    assert_eq!(from_datafusion(&csv).kind(), ErrorKind::SiteUnavailable);
}

#[test]
fn only_the_owner_sees_where_files_are_stored() {
    let error = DataFusionError::ParquetError(Box::new(ParquetError::General("EOF in /srv/a.parquet".into())));
    let error = from_datafusion(&error.context("reading"));
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(!error.chain().contains("/srv") && error.owner_chain().contains("/srv/a.parquet"), "{error}");
    for (said, hidden) in
        [("no store for s3://lake/a", true), ("cannot open '/srv/a'", true), ("a / b is wrong", false)]
    {
        let error = from_datafusion(&DataFusionError::Internal(said.to_owned()));
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.owner_chain().contains(said) && error.chain().contains(said) != hidden, "{error}");
    }
    let inner = Error::new(ErrorKind::SiteUnavailable, "file a is gone").for_owner("file /srv/a is gone");
    let error = from_datafusion(&into_datafusion(inner).context("reading"));
    assert_eq!((error.chain(), error.owner_chain()), ("file a is gone".into(), "file /srv/a is gone".into()));
}

#[test]
fn a_regular_expression_is_the_fault_of_the_query() {
    for (error, expected) in [
        (DataFusionError::Internal("failed to call it Compute error: CompiledTooBig(10)".into()), "too large"),
        (DataFusionError::Execution("Regular expression did not compile: CompiledTooBig(10)".into()), "too large"),
        (DataFusionError::External("regex parse error:\n    (\n    ^\nerror: unclosed group".into()), "unclosed group"),
    ] {
        let error = from_datafusion(&error);
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{error}");
        assert!(error.context().contains(expected), "{error}");
        assert!(!error.context().contains('\n'), "{error}");
    }
    let error = from_datafusion(&DataFusionError::Internal("no such thing".into()));
    assert_eq!((error.kind(), error.context()), (ErrorKind::Internal, "DataFusion failed: no such thing"));
}

#[test]
fn no_message_has_words_of_datafusion_or_arrow() {
    let arrow = |error| DataFusionError::ArrowError(Box::new(error), None);
    for (error, expected) in [
        (arrow(ArrowError::DivideByZero), "division by zero"),
        (
            arrow(ArrowError::CastError("Cannot cast string 'x' to value of Int64 type".into())),
            "cannot convert 'x' to BIGINT",
        ),
        (
            DataFusionError::Plan("There is no type for Utf8View, Date32.".into()).context("type_coercion"),
            "there is no type for VARCHAR, DATE",
        ),
        (
            DataFusionError::External(Box::new(arrow(ArrowError::ParseError("Invalid input\n for 'x'".into())))),
            "invalid input for 'x'",
        ),
        (
            arrow(ArrowError::ExternalError(Box::new(DataFusionError::Execution("Invalid radius".into())))),
            "invalid radius",
        ),
        (DataFusionError::NotImplemented("ANY in LIKE expression".into()), "ANY in LIKE expression is not supported"),
        (DataFusionError::NotImplemented("JOIN x not supported yet".into()), "JOIN x not supported yet"),
        (
            DataFusionError::NotImplemented("Unsupported SQL type INTT".into()),
            "there is no type `INTT`; did you mean `INT`?",
        ),
        (
            DataFusionError::NotImplemented(format!("{NO_WINDOW}(WindowFunction {{ fun: x }})")),
            "a window function cannot be in WHERE, HAVING or a condition of a join: write QUALIFY, or compute it in a \
             subquery in FROM",
        ),
        (
            DataFusionError::NotImplemented(format!("{NO_SUBQUERY} ScalarSubquery(<subquery>)")),
            "a subquery is not supported at this place: write it as a join, or in the select list of a subquery in FROM",
        ),
    ] {
        assert_eq!(from_datafusion(&error).context(), expected);
    }
}

#[test]
fn a_column_that_does_not_exist_has_its_position_and_its_suggestion_as_data() {
    let mut field = Column::new_unqualified("n_nam");
    let (line, column) = (2, 8);
    let start = Location { line, column };
    field.spans_mut().add_span(Span { start, end: start });
    let valid_fields = vec![Column::new(Some("n"), "n_name")];
    let schema = SchemaError::FieldNotFound { field: Box::new(field), valid_fields };
    let error = from_datafusion(&DataFusionError::SchemaError(Box::new(schema), Box::new(None)));
    assert_eq!(error.context(), "there is no column `n_nam`; did you mean `n_name`? (line 2, column 8)");
    assert_eq!((error.position(), error.suggestion()), (Some(Position { line, column }), Some("n_name")));
    assert_eq!(position(0, 0), None);
}
