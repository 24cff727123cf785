//! Column masks: the nine actions of Iceberg's read restrictions, and `hmac-sha-256`, as kernels over Arrow arrays.
//!
//! The semantics are those of Iceberg's REST catalog specification (`open-api/rest-catalog-open-api.yaml`, schemas
//! `MaskAlphanum` to `Sha256QueryLocal`; pull request 13879 at commit 32ddf37d). [`Mask`] names the actions and the
//! types that they accept, and [`MaskFunction`] puts a mask into a plan. This module decides neither which column has a
//! mask nor for whom.
//!
//! # Invariants
//! - The result has the type and the length of the input.
//! - A mask does not fail on a value. It fails on a type that it does not fit, on a salt that is missing or short, and
//!   on a result that Arrow's offsets cannot address.
//! - The buffers of the result are a function of the masked values alone. A client gets these buffers, with the bytes
//!   under NULLs and the order of a dictionary, so that none of them may depend on a hidden value. The kernels
//!   therefore share no values with their input, and build a new dictionary. They share the validity bitmap only.

mod bytes;
mod dates;
mod fixed;
mod function;
mod hash;
mod identity;
mod salt;
#[cfg(test)]
mod tests;
mod text;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

pub(crate) use self::function::MaskFunction;
pub(crate) use self::salt::Salt;
use portolan_governance::Mask;

/// Returns the masked values of an array, in the array's type. `salt` is the secret of [`Mask::Sha256QueryLocal`] and
/// [`Mask::HmacSha256`].
///
/// NULL stays NULL, except with [`Mask::MaskToFixedValue`], which hides also which values are NULL.
///
/// # Errors
/// - The mask does not fit the type (see [`Mask::fits`]).
/// - The mask takes a salt, and `salt` is `None` or has fewer than [`Salt::SHORTEST`] bytes.
/// - The result has more than 2 GiB in an array with offsets of 32 bits. Hashes can be longer than their values.
pub(crate) fn mask(mask: Mask, array: &dyn Array, salt: Option<&[u8]>) -> Result<ArrayRef, ArrowError> {
    mask.fits(array.data_type()).map_err(ArrowError::InvalidArgumentError)?;
    match mask {
        Mask::ReplaceWithNull => Ok(new_null_array(array.data_type(), array.len())),
        Mask::MaskToFixedValue => fixed::fixed(array.data_type(), array.len()),
        _ => match array.as_any_dictionary_opt() {
            Some(dictionary) => {
                let masked = masked_values(mask, dictionary.values(), salt)?;
                // A packed dictionary has a value once, in the order of the rows. With the old keys, two equal results
                // would still show that their values differ, and the order of the values often is their sort order.
                cast(&take(&masked, dictionary.keys(), None)?, array.data_type())
            }
            None => masked_values(mask, array, salt),
        },
    }
}

/// Returns the masked values of an array that is not a dictionary.
fn masked_values(mask: Mask, array: &dyn Array, salt: Option<&[u8]>) -> Result<ArrayRef, ArrowError> {
    match mask {
        Mask::MaskAlphanum => text::alphanumeric(array),
        Mask::ShowFirst4 => text::show_first_4(array),
        Mask::ShowLast4 => text::show_last_4(array),
        Mask::TruncateToYear => dates::truncate(array, dates::first_day_of_year),
        Mask::TruncateToMonth => dates::truncate(array, dates::first_day_of_month),
        Mask::Sha256Global => hash::sha256(array, None),
        Mask::Sha256QueryLocal => hash::sha256(array, Some(salt::checked(mask, salt)?)),
        Mask::HmacSha256 => hash::hmac_sha256(array, salt::checked(mask, salt)?),
        Mask::ReplaceWithNull | Mask::MaskToFixedValue => Err(unfit(mask, array.data_type())),
    }
}

/// Returns the error of a kernel for a type that [`Mask::fits`] rejects.
fn unfit(mask: Mask, data_type: &DataType) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("expected a type that `{mask}` fits, got {data_type}"))
}
