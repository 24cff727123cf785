//! The declared types of columns: their affinities as SQLite defines them, and the Arrow types that they name.

use arrow::datatypes::{DataType, TimeUnit};

/// The storage class that SQLite prefers for the values of a column. Only a column of a STRICT table has no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    /// No preference.
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// Returns the affinity of a column with this declared type.
    pub(super) fn of(declared: &str, strict: bool) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if strict && declared == "ANY" {
            Self::Blob
        } else if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

/// Returns the Arrow type that a declared type names; `None` if only the values show the type.
pub(super) fn named_type(declared: &str, affinity: Affinity) -> Option<DataType> {
    let (name, arguments) = match declared.split_once('(') {
        Some((name, rest)) => (name, rest.split_once(')').map(|(arguments, _)| arguments)),
        None => (declared, None),
    };
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "DATE" => DataType::Date32,
        "DATETIME" | "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "TIME" => DataType::Time64(TimeUnit::Microsecond),
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" => return arguments.and_then(decimal),
        "STRING" | "JSON" | "UUID" | "GUID" | "XML" | "ENUM" => DataType::Utf8,
        _ => match affinity {
            Affinity::Integer => DataType::Int64,
            Affinity::Text => DataType::Utf8,
            Affinity::Real => DataType::Float64,
            Affinity::Blob if !declared.is_empty() && !declared.eq_ignore_ascii_case("ANY") => DataType::Binary,
            Affinity::Blob | Affinity::Numeric => return None,
        },
    })
}

fn decimal(arguments: &str) -> Option<DataType> {
    let mut numbers = arguments.split(',').map(|number| number.trim().parse::<u8>());
    let precision = numbers.next()?.ok().filter(|precision| (1..=38).contains(precision))?;
    let scale = numbers.next().transpose().ok()?.unwrap_or(0);
    (scale <= precision && numbers.next().is_none()).then(|| DataType::Decimal128(precision, scale.cast_signed()))
}

/// Returns true if values of this Arrow type can be in a column of this affinity. SQLite stores other values as another
/// storage class.
pub(super) fn can_hold(affinity: Affinity, data_type: &DataType) -> bool {
    let is_time = matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    match affinity {
        Affinity::Integer => {
            data_type.is_integer() || is_time || matches!(data_type, DataType::Boolean | DataType::Decimal128(..))
        }
        Affinity::Real => is_time || data_type.is_floating() || matches!(data_type, DataType::Decimal128(..)),
        Affinity::Text => {
            let is_text = data_type.is_string() || data_type.is_binary();
            is_text || is_time || matches!(data_type, DataType::Time64(_) | DataType::Decimal128(..))
        }
        Affinity::Blob | Affinity::Numeric => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinities_follow_the_rules_of_sqlite() {
        use Affinity as A;
        for (declared, expected) in [
            ("INT", A::Integer),
            ("UNSIGNED BIG INT", A::Integer),
            ("CHARINT", A::Integer),
            ("FLOATING POINT", A::Integer),
            ("VARCHAR(255)", A::Text),
            ("clob", A::Text),
            ("BLOB", A::Blob),
            ("", A::Blob),
            ("DOUBLE PRECISION", A::Real),
            ("float", A::Real),
            ("DECIMAL(10,5)", A::Numeric),
            ("BOOLEAN", A::Numeric),
            ("DATETIME", A::Numeric),
            ("STRING", A::Numeric),
            ("ANY", A::Numeric),
        ] {
            assert_eq!(Affinity::of(declared, false), expected, "{declared}");
        }
        assert_eq!(Affinity::of("ANY", true), A::Blob);
    }

    #[test]
    fn declared_types_name_arrow_types() {
        let named = |declared: &str| named_type(declared, Affinity::of(declared, false));
        assert_eq!(named("decimal(10, 2)"), Some(DataType::Decimal128(10, 2)));
        assert_eq!(named("NUMERIC(38)"), Some(DataType::Decimal128(38, 0)));
        for declared in ["NUMERIC", "DECIMAL(39,2)", "DECIMAL(2,3)", "DECIMAL(-1)", "", "MONEY", "DECIMAL(5,2,1)"] {
            assert_eq!(named(declared), None, "{declared}");
        }
        assert_eq!(named("datetime"), Some(DataType::Timestamp(TimeUnit::Microsecond, None)));
        assert_eq!(named("boolean"), Some(DataType::Boolean));
        assert_eq!(named("NCHAR(55)"), Some(DataType::Utf8));
        assert_eq!(named("TINYINT(1)"), Some(DataType::Int64));
        assert_eq!(named("BLOB"), Some(DataType::Binary));
    }
}
