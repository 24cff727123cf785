//! The limits on the depth and the size of a statement. Parsing, planning and dropping a plan recurse for each level,
//! and a stack overflow ends the process. A statement that is too deep is therefore refused before it is parsed. A plan
//! that becomes too deep or too large when names are expanded is refused before it is planned further.

mod copies;
mod definitions;
mod depth;
mod plan;
mod statement;

use arrow::datatypes::{DataType, Schema};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Tokenizer};

pub(crate) use self::copies::Measured;
pub(crate) use self::depth::{MOST_NESTED, QueryDepth, nested_too_deep};
pub(crate) use self::plan::check_plan;
pub(crate) use self::statement::check_statement;
use crate::{Error, ErrorKind, Result};

/// The largest size of a statement's text, in bytes. Each byte takes some hundred bytes of memory during parsing.
pub const MOST_STATEMENT_BYTES: usize = 1 << 20;
/// The largest nesting depth of a statement's expressions and queries. Each operator in a sequence of operators counts
/// as one level.
const MOST_LEVELS: usize = 2_000;
/// The largest nesting depth of a type, such as lists of lists.
const MOST_TYPES_NESTED: usize = 64;
/// The largest number of types within a type, such as those of the fields of nested structs. Common table expressions
/// that each make a struct of two columns of the one before double the number at each level.
const MOST_FIELDS: usize = 10_000;
/// The largest size of a fixed-size type, in values or bytes. A NULL takes as much space as a value.
const LARGEST_FIXED: i32 = 1 << 16;

/// The largest number of characters or items of the value that one call creates.
pub(crate) const MOST_MADE: u64 = 16 << 20;

/// The kind of a nesting level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Statement,
    Bracket,
    Case,
}

/// Refuses text that is too long or nested too deep. Text that cannot be tokenized is left to the parser.
///
/// # Errors
/// `InvalidQuery`.
pub(crate) fn check_text(sql: &str) -> Result<()> {
    // Each level takes at least one character.
    if sql.len() <= MOST_LEVELS {
        return Ok(());
    }
    if sql.len() > MOST_STATEMENT_BYTES {
        return Err(too_much(format!(
            "has {} bytes, and the limit is {MOST_STATEMENT_BYTES}: put long lists into a table of the session, \
             or bind them as parameters",
            sql.len()
        )));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    // These functions have type names in strings, and the parser of type names recurses for each level.
    let casts = tokens.iter().any(|token| matches!(token, Token::Word(word) if is_type_cast(&word.value)));
    if casts && tokens.iter().any(|token| token.to_string().matches('(').count() > MOST_LEVELS) {
        return Err(too_much(format!("names a type of more than {MOST_LEVELS} levels")));
    }
    check_levels(deepest(&tokens))
}

/// Refuses a statement of so many levels, with the levels of the queries that it reads.
///
/// # Errors
/// `InvalidQuery`.
fn check_levels(levels: usize) -> Result<()> {
    match levels > MOST_LEVELS {
        true => Err(too_much(format!("is nested more than {MOST_LEVELS} levels deep"))),
        false => Ok(()),
    }
}

/// Returns the nesting depth of a statement that was checked before.
fn levels(sql: &str) -> usize {
    Tokenizer::new(&GenericDialect {}, sql).tokenize().map_or(0, |tokens| deepest(&tokens))
}

/// Returns the nesting depth of a statement, or a depth beyond the limit.
fn deepest(tokens: &[Token]) -> usize {
    let mut open = vec![(Opened::Statement, 0)];
    let (mut levels, mut most) = (0_usize, 0);
    for token in tokens {
        match step(token) {
            DepthChange::None => {}
            DepthChange::Open(what) => {
                open.push((what, 1));
                levels += 1;
            }
            DepthChange::Close(what) if open.last().is_some_and(|(opened, _)| *opened == what) => {
                levels -= open.pop().map_or(0, |(_, within)| within);
            }
            DepthChange::Close(_) => {}
            DepthChange::Next => {
                if let Some((what, within)) = open.last_mut() {
                    let first = usize::from(*what != Opened::Statement);
                    levels = levels + first - *within;
                    *within = first;
                }
            }
            DepthChange::Deeper => {
                if let Some((_, within)) = open.last_mut() {
                    *within += 1;
                    levels += 1;
                }
            }
        }
        // Subscripts follow one another.
        if matches!(token, Token::RBracket)
            && let Some((_, within)) = open.last_mut()
        {
            *within += 1;
            levels += 1;
        }
        most = levels.max(most);
        if most > MOST_LEVELS {
            break;
        }
    }
    most
}

/// True if the function with this name has an argument that is the name of a type.
fn is_type_cast(name: &str) -> bool {
    ["arrow_cast", "arrow_try_cast"].iter().any(|cast| name.eq_ignore_ascii_case(cast))
}

/// The effect of a token on the depth.
enum DepthChange {
    None,
    Open(Opened),
    Close(Opened),
    /// The tokens that follow are at the same level as those before.
    Next,
    Deeper,
}

fn step(token: &Token) -> DepthChange {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => DepthChange::Open(Opened::Bracket),
        Token::RParen | Token::RBracket | Token::RBrace => DepthChange::Close(Opened::Bracket),
        Token::Comma | Token::SemiColon => DepthChange::Next,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => DepthChange::Open(Opened::Case),
            Keyword::END => DepthChange::Close(Opened::Case),
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE => DepthChange::Next,
            Keyword::AND | Keyword::OR | Keyword::XOR | Keyword::NOT | Keyword::IS | Keyword::IN | Keyword::LIKE => {
                DepthChange::Deeper
            }
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS | Keyword::JOIN => {
                DepthChange::Deeper
            }
            Keyword::SELECT | Keyword::EXPLAIN | Keyword::COLLATE | Keyword::AT | Keyword::INTERVAL => {
                DepthChange::Deeper
            }
            Keyword::BETWEEN | Keyword::ILIKE | Keyword::SIMILAR | Keyword::RLIKE | Keyword::REGEXP => {
                DepthChange::Deeper
            }
            _ => DepthChange::None,
        },
        Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {
            DepthChange::None
        }
        Token::Period | Token::Char(_) | Token::Colon | Token::EOF => DepthChange::None,
        _ => DepthChange::Deeper,
    }
}

/// Refuses columns whose types are nested too deep, because code that visits their values recurses for each level. Also
/// refuses types with too many fields, and types whose NULLs take too much space.
///
/// # Errors
/// `InvalidQuery`.
pub(crate) fn check_types(schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        if let Some(limits) = beyond_limits(field.data_type()) {
            let name: String = field.name().chars().take(100).collect();
            return Err(too_much(format!("has a column `{name}` whose type {limits}")));
        }
    }
    Ok(())
}

/// Returns the limits on types, if a type exceeds one.
pub(crate) fn beyond_limits(data_type: &DataType) -> Option<String> {
    let mut fields = MOST_FIELDS;
    is_beyond(data_type, MOST_TYPES_NESTED, &mut fields).then(|| {
        format!(
            "is nested more than {MOST_TYPES_NESTED} levels deep, has more than {MOST_FIELDS} fields, or has a fixed \
             size over {LARGEST_FIXED}"
        )
    })
}

/// True if a type has more than these levels and fields. The types of fields may be shared in memory, so that a visit
/// without a limit could take 2^64 steps.
fn is_beyond(data_type: &DataType, levels: usize, fields: &mut usize) -> bool {
    let (Some(below), Some(left)) = (levels.checked_sub(1), fields.checked_sub(1)) else { return true };
    *fields = left;
    match data_type {
        DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) if *size > LARGEST_FIXED => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _)
        | DataType::RunEndEncoded(_, item) => is_beyond(item.data_type(), below, fields),
        DataType::Struct(parts) => parts.iter().any(|part| is_beyond(part.data_type(), below, fields)),
        DataType::Union(parts, _) => parts.iter().any(|(_, part)| is_beyond(part.data_type(), below, fields)),
        DataType::Dictionary(_, values) => is_beyond(values, below, fields),
        _ => false,
    }
}

fn too_much(what: String) -> Error {
    Error::new(ErrorKind::InvalidQuery, format!("the statement {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn what_stands_side_by_side_is_not_deep() {
        let branches = " WHEN id = 1 THEN 'a'".repeat(5_000);
        for sql in [
            format!("SELECT 1{}", ", a + 1".repeat(10_000)),
            format!("SELECT 1 WHERE 1 IN (1{})", ", -1".repeat(10_000)),
            "VALUES (1, [2])".to_owned() + &", (f(-1), [2])".repeat(10_000),
            format!("SELECT CASE{branches} ELSE 'b' END"),
            format!("SELECT 1 -- {}", "(".repeat(10_000)),
            format!("SELECT '{}'", "(".repeat(10_000)),
            format!("SELECT 1{}", " OR a = 1".repeat(900)),
        ] {
            check_text(&sql).unwrap();
        }
    }

    #[test]
    fn levels_are_counted() {
        for (sql, expected) in
            [("SELECT a, b", 1), ("SELECT a + 1 + 1, b + 1", 3), ("SELECT f(g(a))", 3), ("SELECT a WHERE b AND c", 2)]
        {
            assert_eq!(levels(sql), expected, "{sql}");
        }
    }

    #[test]
    fn text_is_bounded() {
        let sql = |bytes: usize| format!("SELECT '{}'", "x".repeat(bytes - 9));
        check_text(&sql(MOST_STATEMENT_BYTES)).unwrap();
        let error = check_text(&sql(MOST_STATEMENT_BYTES + 1)).unwrap_err();
        assert!(error.context().contains("1048577 bytes"), "{error}");
    }

    #[test]
    fn types_are_bounded() {
        let lists = |n| (0..n).fold(DataType::Int8, |t, _| DataType::new_list(t, true));
        let check = |n| check_types(&Schema::new(vec![Field::new("c", lists(n), true)]));
        check(MOST_TYPES_NESTED - 1).unwrap();
        assert_eq!(check(MOST_TYPES_NESTED).unwrap_err().kind(), ErrorKind::InvalidQuery);
        let fixed = Field::new("c", DataType::FixedSizeBinary(i32::MAX), true);
        assert!(check_types(&Schema::new(vec![fixed])).is_err());
        // Each level has two fields of the type of the level before.
        let doubled = |levels| {
            (0..levels).fold(DataType::Int8, |t, _| {
                DataType::Struct(vec![Field::new("a", t.clone(), true), Field::new("b", t, true)].into())
            })
        };
        assert_eq!(beyond_limits(&doubled(12)), None);
        for levels in [13, 40, 63] {
            assert!(beyond_limits(&doubled(levels)).unwrap().contains("10000 fields"));
        }
    }

    #[test]
    fn what_is_deep_is_refused() {
        for (open, close) in [("(", ""), ("[", "]"), ("", "[1]"), ("", " + 1"), ("", "::int"), ("NOT ", ""), ("- ", "")]
        {
            let sql = format!("SELECT {}1{}", open.repeat(3_000), close.repeat(3_000));
            assert_eq!(check_text(&sql).unwrap_err().kind(), ErrorKind::InvalidQuery, "{open}{close}");
        }
        assert!(check_text(&format!("SELECT Arrow_Cast(1, '{}')", "List(".repeat(3_000))).is_err());
        check_text(&format!("SELECT '{}'", "List(".repeat(3_000))).unwrap();
        assert!(check_text(&format!("SELECT {}1", "CASE WHEN a THEN ".repeat(3_000))).is_err());
        assert!(check_text(&format!("SELECT 1{}", " UNION SELECT 1".repeat(3_000))).is_err());
        assert!(check_text(&format!("SELECT {}1{}", "f(a, ".repeat(3_000), ")".repeat(3_000))).is_err());
    }
}
