//! The masks of random policies, as the tests compute them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::swapped::{Kind, Value};
use super::values::{first_day_of_year, mask_alphanum, show_first_4, show_last_4};

/// A mask of a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum ColumnMask {
    First4,
    Last4,
    Alphanum,
    Year,
    Fixed,
    Null,
}

/// Returns a mask for a type.
pub(super) fn mask_for(kind: Kind, random: &mut StdRng) -> ColumnMask {
    use ColumnMask::{Alphanum, First4, Fixed, Last4, Null, Year};
    let masks: &[ColumnMask] = match kind {
        Kind::Int => &[Fixed, Null],
        Kind::Text => &[First4, Last4, Alphanum, Fixed, Null],
        Kind::Date => &[Year, Fixed, Null],
    };
    *masks.choose(random).unwrap()
}

impl ColumnMask {
    /// Returns the name in policies.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First4 => "show-first-4",
            Self::Last4 => "show-last-4",
            Self::Alphanum => "mask-alphanum",
            Self::Year => "truncate-to-year",
            Self::Fixed => "mask-to-fixed-value",
            Self::Null => "replace-with-null",
        }
    }

    /// Returns the masked value of a column of this type.
    pub(super) fn apply(self, value: &Value, kind: Kind) -> Value {
        match (self, value) {
            (Self::Null, _) => Value::Null,
            // This mask hides also which values are NULL.
            (Self::Fixed, _) => match kind {
                Kind::Int => Value::Int(0),
                Kind::Text => Value::Text("XXXXXXXX".to_owned()),
                Kind::Date => Value::Date(0),
            },
            (Self::First4, Value::Text(text)) => Value::Text(show_first_4(text)),
            (Self::Last4, Value::Text(text)) => Value::Text(show_last_4(text)),
            (Self::Alphanum, Value::Text(text)) => Value::Text(mask_alphanum(text)),
            (Self::Year, Value::Date(day)) => Value::Date(first_day_of_year(*day)),
            (_, other) => other.clone(),
        }
    }
}
