//! Masks of columns: the nine actions of Iceberg's read restrictions and a keyed hash, their order, and the types that they
//! fit.

use std::collections::BTreeSet;
use std::fmt;

use arrow_schema::DataType;
use portolan_catalog::nearest::nearest;

/// A mask of a column: an action of the read restrictions in Iceberg's REST catalog, or `hmac-sha-256`, which Iceberg does
/// not have. A mask keeps the type.
///
/// The order is that of strictness: a greater mask discloses less. `show-first-4` and `show-last-4` are incomparable,
/// although one is greater here: [`Mask::strictest`] combines them to `replace-with-null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// `truncate-to-month`: the first instant of the month, in UTC.
    TruncateToMonth,
    /// `truncate-to-year`: the first instant of the year, in UTC.
    TruncateToYear,
    /// `show-last-4`: all but the last four characters are masked as by `mask-alphanum`. Shorter strings stay.
    ShowLast4,
    /// `show-first-4`: all but the first four characters are masked as by `mask-alphanum`. Shorter strings stay.
    ShowFirst4,
    /// `mask-alphanum`: letters and digits are replaced, other characters stay.
    MaskAlphanum,
    /// `sha-256-global`: the SHA-256 digest, equal in all queries and engines.
    Sha256Global,
    /// `hmac-sha-256`: HMAC-SHA-256 with a key for each principal and purpose, derived from the key of the mesh. Equal at
    /// all nodes that have this key.
    HmacSha256,
    /// `sha-256-query-local`: the SHA-256 digest with a salt for each query.
    Sha256QueryLocal,
    /// `mask-to-fixed-value`: zero, `false`, `XXXXXXXX`, the start of 1970, or an empty value, also instead of NULL.
    MaskToFixedValue,
    /// `replace-with-null`: NULL. The column may then be NULL, whatever its source declares.
    ReplaceWithNull,
}

impl Mask {
    /// All masks, from the mildest to the strictest.
    pub const ALL: [Self; 10] = [
        Self::TruncateToMonth,
        Self::TruncateToYear,
        Self::ShowLast4,
        Self::ShowFirst4,
        Self::MaskAlphanum,
        Self::Sha256Global,
        Self::HmacSha256,
        Self::Sha256QueryLocal,
        Self::MaskToFixedValue,
        Self::ReplaceWithNull,
    ];

    /// Returns the name, as the annotation `@mask` spells it. The names of Iceberg's actions are Iceberg's.
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncateToMonth => "truncate-to-month",
            Self::TruncateToYear => "truncate-to-year",
            Self::ShowLast4 => "show-last-4",
            Self::ShowFirst4 => "show-first-4",
            Self::MaskAlphanum => "mask-alphanum",
            Self::Sha256Global => "sha-256-global",
            Self::HmacSha256 => "hmac-sha-256",
            Self::Sha256QueryLocal => "sha-256-query-local",
            Self::MaskToFixedValue => "mask-to-fixed-value",
            Self::ReplaceWithNull => "replace-with-null",
        }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// The nearest name, if the name is unknown and one is near.
    pub fn parse(name: &str) -> Result<Self, Option<&'static str>> {
        let found = Self::ALL.into_iter().find(|mask| mask.name() == name);
        found.ok_or_else(|| nearest(name, Self::ALL.map(Self::name)))
    }

    /// True if neither mask discloses less than the other.
    pub fn is_incomparable(self, other: Self) -> bool {
        matches!((self, other), (Self::ShowFirst4, Self::ShowLast4) | (Self::ShowLast4, Self::ShowFirst4))
    }

    /// Returns the mask that discloses no more than any of these, or `None` if there are none. Masks of which two are
    /// incomparable are combined to at least `replace-with-null`, so that one more mask never discloses more.
    pub fn strictest(masks: impl IntoIterator<Item = Self>) -> Option<Self> {
        let masks: BTreeSet<Self> = masks.into_iter().collect();
        let are_incomparable = masks.contains(&Self::ShowFirst4) && masks.contains(&Self::ShowLast4);
        let strictest = masks.last().copied()?;
        Some(if are_incomparable { Self::ReplaceWithNull } else { strictest })
    }

    /// True if the mask takes secret bytes: the salt of the query, or the key of the principal.
    pub const fn takes_salt(self) -> bool {
        matches!(self, Self::Sha256QueryLocal | Self::HmacSha256)
    }

    /// True if the mask replaces values by hashes. Two columns of hashes have equal values only if the masks, their
    /// secrets and the types are equal.
    pub const fn is_hash(self) -> bool {
        matches!(self, Self::Sha256Global | Self::HmacSha256 | Self::Sha256QueryLocal)
    }

    /// True if the masked column can have NULLs. `nullable` is true if the column itself can have NULLs.
    ///
    /// [`Mask::MaskToFixedValue`] leaves no NULLs. The masked column stays nullable, because a mask keeps the schema of a table.
    pub const fn nullable(self, nullable: bool) -> bool {
        nullable || matches!(self, Self::ReplaceWithNull)
    }

    /// Checks that the mask fits a type.
    ///
    /// The type does not say if a column is required. [`Mask::ReplaceWithNull`] must not be set for a required column, which the
    /// caller checks.
    ///
    /// # Errors
    /// A message with the expected types, for the author of a policy.
    pub fn fits(self, data_type: &DataType) -> Result<(), String> {
        let (fits, expected) = match self {
            Self::MaskAlphanum | Self::ShowFirst4 | Self::ShowLast4 | Self::HmacSha256 => {
                (is_string(value_type(data_type)), "a string")
            }
            Self::TruncateToYear | Self::TruncateToMonth => (is_date(value_type(data_type)), "a date or a timestamp"),
            Self::Sha256Global | Self::Sha256QueryLocal => {
                let fits = match value_type(data_type) {
                    DataType::Int32 | DataType::Int64 => true,
                    other => is_string(other) || is_binary(other),
                };
                (fits, "a string, a binary, an Int32 or an Int64")
            }
            Self::MaskToFixedValue => (has_fixed_value(data_type), "a type with a fixed value"),
            Self::ReplaceWithNull => (can_be_null(data_type), "a type with NULLs of its own"),
        };
        if fits {
            return Ok(());
        }
        Err(match self {
            Self::ReplaceWithNull => {
                format!("the mask `{self}` expects {expected}, got {data_type}; hide the column instead")
            }
            _ => format!(
                "the mask `{self}` expects {expected}, got {data_type}; `{}` fits more types",
                Self::ReplaceWithNull
            ),
        })
    }
}

/// Returns the type of a dictionary's values, or the type itself.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn is_string(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// True if [`Mask::MaskToFixedValue`] has a value of the type. Iceberg has no value for a list of a fixed length.
fn has_fixed_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|f| has_fixed_value(f.data_type())),
        DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => true,
        DataType::Dictionary(_, values) => match **values {
            // Arrow packs no dictionaries of these types.
            DataType::Boolean | DataType::Duration(_) | DataType::Interval(_) | DataType::Dictionary(..) => false,
            _ => !values.is_nested() && has_fixed_value(values),
        },
        DataType::Boolean | DataType::FixedSizeBinary(_) => true,
        other => other.is_primitive() || is_string(other) || is_binary(other),
    }
}

/// True if an array of the type has a validity bitmap. Unions and run-end encoded arrays have NULLs in their children
/// only, which `Array::is_null` ignores.
fn can_be_null(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::RunEndEncoded(..) => false,
        DataType::Struct(fields) => fields.iter().all(|f| can_be_null(f.data_type())),
        DataType::FixedSizeList(item, _) => can_be_null(item.data_type()),
        _ => true,
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
