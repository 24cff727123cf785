//! The syntax of statements: the generic one of the parser, except that `->` and `->>` bind more tightly than other
//! operators, and that numbers may have underscores.
//!
//! The generic dialect of sqlparser 0.62 reads `doc ->> 'a' = 'x'` as `doc ->> ('a' = 'x')`. PostgreSQL compares the
//! value in the document, as nearly every statement means it.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// The precedence of `->` and `->>`: between that of `*` and that of `::`, as in SQLite. So `doc ->> 'a' || 'x'` appends
/// to the value, and `a = doc ->> 'b'` compares with it.
const ARROW: u8 = 45;

/// The syntax of statements.
#[derive(Debug, Default)]
pub(crate) struct Syntax(GenericDialect);

/// Answers as the generic dialect does.
macro_rules! as_generic {
    ($($question:ident),+ $(,)?) => {
        $(fn $question(&self) -> bool {
            self.0.$question()
        })+
    };
}

impl Dialect for Syntax {
    // The parser treats the generic dialect specially in many places.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        matches!(parser.peek_token_ref().token, Token::Arrow | Token::LongArrow).then_some(Ok(ARROW))
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        self.0.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        self.0.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.0.is_identifier_part(ch)
    }

    // `plain_literals` removes them.
    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    // All questions that the generic dialect answers in its own way.
    as_generic!(
        allow_extract_custom,
        allow_extract_single_quotes,
        support_map_literal_syntax,
        supports_array_join_syntax,
        supports_array_typedef_with_brackets,
        supports_asc_desc_in_column_definition,
        supports_bitwise_shift_operators,
        supports_comma_separated_set_assignments,
        supports_comma_separated_trim,
        supports_comment_on,
        supports_comment_optimizer_hint,
        supports_connect_by,
        supports_constraint_keyword_without_name,
        supports_create_index_with_clause,
        supports_create_view_comment_syntax,
        supports_cte_without_as,
        supports_data_type_signed_suffix,
        supports_detach,
        supports_dictionary_syntax,
        supports_empty_projections,
        supports_explain_with_utility_options,
        supports_extract_comma_syntax,
        supports_filter_during_aggregation,
        supports_from_first_select,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_install,
        supports_interpolate,
        supports_interval_options,
        supports_key_column_option,
        supports_left_associative_joins_without_parens,
        supports_limit_by,
        supports_limit_comma,
        supports_load_extension,
        supports_match_against,
        supports_match_recognize,
        supports_multiline_comment_hints,
        supports_named_fn_args_with_assignment_operator,
        supports_nested_comments,
        supports_optimize_table,
        supports_parens_around_table_factor,
        supports_parenthesized_set_variables,
        supports_partition_by_after_order_by,
        supports_pipe_operator,
        supports_prewhere,
        supports_projection_trailing_commas,
        supports_quote_delimited_string,
        supports_select_format,
        supports_select_item_multi_column_alias,
        supports_select_wildcard_except,
        supports_select_wildcard_exclude,
        supports_select_wildcard_ilike,
        supports_select_wildcard_rename,
        supports_select_wildcard_replace,
        supports_set_names,
        supports_settings,
        supports_start_transaction_modifier,
        supports_string_escape_constant,
        supports_struct_literal,
        supports_try_convert,
        supports_unicode_string_literal,
        supports_update_order_by,
        supports_user_host_grantee,
        supports_values_as_table_factor,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
        supports_with_fill,
        supports_xml_expressions,
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlparser::ast::{BinaryOperator, Expr};

    use super::*;
    use crate::visit::visit_expressions;

    fn parsed(dialect: &dyn Dialect, sql: &str) -> String {
        format!("{:?}", Parser::parse_sql(dialect, sql))
    }

    #[test]
    fn other_statements_parse_as_in_the_generic_dialect() {
        for sql in [
            "SELECT 1 + 2 * 3, a || b, -c::INT, x IS NOT NULL AND y LIKE 'a%' OR NOT z",
            "SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM t",
            "SELECT * EXCEPT (a) FROM t",
            "FROM t",
            "FROM t SELECT a |> WHERE a > 1",
            "SELECT {'a': 1}, MAP {'a': 1}, [1, 2], struct(1, 2)",
            "SELECT first_value(a IGNORE NULLS) OVER (w) FROM t WINDOW w AS (ORDER BY b)",
            "SELECT sum(a) FILTER (WHERE b) FROM t GROUP BY ALL",
            "SELECT a, FROM t LIMIT 5, 10",
            "SELECT FROM t",
            "SELECT a FROM t FETCH FIRST 5 ROWS ONLY",
            "SELECT a FROM (VALUES (1)) t(a) QUALIFY row_number() OVER (ORDER BY a) = 1",
            "SELECT extract('year' FROM a), extract(year, a), trim(a, 'x'), E'\\n', U&'\\0041' FROM `t`",
            "SELECT group_concat(a SEPARATOR '; ') FROM t",
            "SET a = 1, b = 2",
            "SHOW TABLES FROM x LIKE 'a%'",
            "SELECT /* a /* b */ c */ 1 -- d",
            "SELECT a FROM t SORT BY a",
            "WITH t (SELECT 1) SELECT * FROM t",
            "SELECT current_user, user, current_timestamp, a[1:2], b.c[1].d FROM t",
        ] {
            assert_eq!(parsed(&Syntax::default(), sql), parsed(&GenericDialect {}, sql), "{sql}");
        }
    }

    #[test]
    fn arrows_bind_more_tightly_than_other_operators() {
        for (sql, expected) in [
            ("SELECT doc -> 'a' ->> 'b' = 'x'", &["doc -> 'a' ->> 'b'", "doc -> 'a'"][..]),
            ("SELECT 'x' = doc ->> 'b'", &["doc ->> 'b'"]),
            ("SELECT doc ->> 'a' || 'x'", &["doc ->> 'a'"]),
            ("SELECT 'x' || doc ->> 'a'", &["doc ->> 'a'"]),
            ("SELECT doc ->> 'a' IS NULL", &["doc ->> 'a'"]),
            ("SELECT NOT doc ->> 'a' LIKE 'x%'", &["doc ->> 'a'"]),
            ("SELECT doc ->> 'a' IN ('x') AND b", &["doc ->> 'a'"]),
            ("SELECT t.doc ->> 'a' BETWEEN '1' AND '2'", &["t.doc ->> 'a'"]),
            ("SELECT doc ->> 'a' = doc ->> 'b'", &["doc ->> 'a'", "doc ->> 'b'"]),
            ("SELECT doc -> ('a' || 'b')", &["doc -> ('a' || 'b')"]),
        ] {
            let statements = Parser::parse_sql(&Syntax::default(), sql).unwrap();
            let mut arrows = vec![];
            visit_expressions(&statements, |expr| {
                if let Expr::BinaryOp { op: BinaryOperator::Arrow | BinaryOperator::LongArrow, .. } = expr {
                    arrows.push(expr.to_string());
                }
            });
            assert_eq!(arrows, expected, "{sql}");
        }
    }
}
