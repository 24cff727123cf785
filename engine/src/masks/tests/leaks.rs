//! The buffers of a result are a function of the masked values: a client gets the buffers.

use std::sync::Arc;

use arrow::array::{ArrayData, Date32Array, DictionaryArray, Int8Array, StringViewArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Date32Type, Int8Type};

use super::*;

/// A value that no result of these tests contains, and that is too long for a view.
const HIDDEN: &str = "HIDDEN-VALUE-OF-A-ROW";

/// True if a buffer of the array contains a part of [`HIDDEN`].
fn shows_hidden(data: &ArrayData) -> bool {
    let part = b"HIDDEN";
    data.buffers().iter().any(|buffer| buffer.as_slice().windows(part.len()).any(|bytes| bytes == part))
        || data.child_data().iter().any(shows_hidden)
}

const OF_STRINGS: [Mask; 8] = [
    Mask::MaskAlphanum,
    Mask::ShowFirst4,
    Mask::ShowLast4,
    Mask::Sha256Global,
    Mask::HmacSha256,
    Mask::Sha256QueryLocal,
    Mask::MaskToFixedValue,
    Mask::ReplaceWithNull,
];

/// Values before and after a slice, under NULLs, and in a dictionary without a row.
#[test]
fn no_buffer_contains_a_value_that_is_no_row() {
    let long = "a value that is too long for a view";
    let texts = StringArray::from(vec![HIDDEN, long, HIDDEN, "short", HIDDEN]);
    let nulls = NullBuffer::from(vec![true, true, false, true, true]);
    for layout in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
        let array = cast(&texts, &layout).unwrap();
        let array = make_array(array.to_data().into_builder().nulls(Some(nulls.clone())).build().unwrap()).slice(1, 3);
        let keys = Int8Array::from(vec![Some(0), None, Some(2)]);
        let packed = DictionaryArray::<Int8Type>::new(keys, cast(&texts, &layout).unwrap().slice(1, 4));
        // The dictionary keeps two hidden values: one under the NULL of a row, one without a row.
        assert!(shows_hidden(&array.to_data()) && shows_hidden(&packed.to_data()));
        for kind in OF_STRINGS {
            assert!(!shows_hidden(&masked(kind, &array).to_data()), "{kind} of {layout}");
            assert!(!shows_hidden(&masked(kind, &packed).to_data()), "{kind} of a dictionary of {layout}");
        }
    }
}

/// A view shares the buffers of its array, also those that it does not use.
#[test]
fn unused_buffers_of_views_are_dropped() {
    let texts = StringViewArray::from(vec![HIDDEN, "short"]).slice(1, 1);
    assert!(shows_hidden(&texts.to_data()));
    for kind in OF_STRINGS {
        assert!(!shows_hidden(&masked(kind, &texts).to_data()), "{kind}");
    }
    assert!(masked(Mask::ShowLast4, &texts).as_string_view().data_buffers().is_empty());
}

/// Arrays that differ in values that are no rows have results with the same bytes.
#[test]
fn results_do_not_depend_on_hidden_values() {
    let parts = |hidden: &str, layout: &DataType| {
        let texts = StringArray::from(vec![hidden, "a value that is too long for a view", hidden, "short"]);
        let texts = cast(&texts, layout).unwrap();
        let nulls = NullBuffer::from(vec![true, true, false, true]);
        make_array(texts.to_data().into_builder().nulls(Some(nulls)).build().unwrap()).slice(1, 3)
    };
    fn bytes(data: &ArrayData) -> Vec<&[u8]> {
        let own = data.buffers().iter().map(|buffer| buffer.as_slice());
        own.chain(data.child_data().iter().flat_map(bytes)).collect()
    }
    for layout in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary(DataType::Int8, DataType::Utf8)]
    {
        for kind in OF_STRINGS {
            let results = ["", HIDDEN, "12"].map(|hidden| masked(kind, &parts(hidden, &layout)).to_data());
            assert_eq!(bytes(&results[0]), bytes(&results[1]), "{kind} of {layout}");
            assert_eq!(bytes(&results[0]), bytes(&results[2]), "{kind} of {layout}");
        }
    }
}

/// Returns a dictionary as its keys and values.
fn parts(array: &ArrayRef) -> (Vec<Option<i8>>, Vec<Option<String>>) {
    let packed = array.as_dictionary::<Int8Type>();
    let values = packed.values().as_string::<i32>().iter().map(|text| text.map(str::to_owned));
    (packed.keys().iter().collect(), values.collect())
}

/// With the keys of the input, equal results would show that their values differ. The order of its values is often
/// their sort order, which a digest must not show.
#[test]
fn dictionaries_are_built_from_the_masked_values() {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a1"), Some("b2"), None, Some("a-1"), Some("unused")]));
    let keys = Int8Array::from(vec![Some(3), Some(1), Some(0), None, Some(2), Some(1)]);
    let packed = DictionaryArray::<Int8Type>::new(keys, values);
    let result = masked(Mask::MaskAlphanum, &packed);
    let expected = vec![Some("x-n".to_owned()), Some("xn".to_owned())];
    assert_eq!(parts(&result), (vec![Some(0), Some(1), Some(1), None, None, Some(1)], expected));

    let sorted: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let keys = || Int8Array::from(vec![2, 0, 1]);
    let result = masked(Mask::Sha256Global, &DictionaryArray::<Int8Type>::new(keys(), sorted));
    assert_eq!(parts(&result).0, [Some(0), Some(1), Some(2)]);
}

/// All values of the key's type are in use before and after the mask.
#[test]
fn a_full_dictionary_stays_in_the_type_of_its_keys() {
    let values: ArrayRef = Arc::new(StringArray::from_iter_values((0..128).map(|number| format!("{number}"))));
    let packed = DictionaryArray::<Int8Type>::new(Int8Array::from_iter_values(0..=127), values);
    let (keys, values) = parts(&masked(Mask::Sha256Global, &packed));
    assert_eq!((keys.len(), values.len()), (128, 128));
    let (_, values) = parts(&masked(Mask::MaskAlphanum, &packed));
    assert_eq!(values, ["n", "nn", "nnn"].map(|text| Some(text.to_owned())));
}

#[test]
fn dates_under_nulls_become_zero() {
    let dates = Date32Array::new(vec![20_000, 20_001].into(), Some(vec![true, false].into()));
    let result = masked(Mask::TruncateToYear, &dates);
    assert_eq!(result.as_primitive::<Date32Type>().values(), &[19_723, 0]);
}
