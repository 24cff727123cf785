#![allow(clippy::unwrap_used)]
//! Values of every type and notation.

use arrow::array::Array;
use portolan_catalog::TimePattern;

use super::*;

/// Parses values, and returns them with the faults: the row and the message's parts.
fn parse(data_type: &DataType, format: &ColumnFormat, texts: &[&str]) -> (ArrayRef, Vec<ValueFault>) {
    let parser = ValueParser::new(data_type, format, true).unwrap().unwrap();
    let mut faults = ColumnFaults::new(10);
    let array = parser.parse(texts.iter().map(|text| Cell::Text(text)), &mut faults);
    (array, faults.found)
}

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn strings_that_stand_for_null() {
    let texts = ["a", "", "NULL", " ", "null"];
    let (array, _) = parse(&DataType::Utf8, &ColumnFormat::default(), &texts);
    assert_eq!(
        array.as_ref(),
        &StringArray::from(vec![Some("a"), None, Some("NULL"), Some(" "), Some("null")]) as &dyn Array
    );
    // The list of the contract takes the place of the empty string, in columns of strings.
    let format = ColumnFormat { null_values: words(&["NULL"]), ..ColumnFormat::default() };
    let (array, _) = parse(&DataType::Utf8, &format, &texts);
    assert_eq!(
        array.as_ref(),
        &StringArray::from(vec![Some("a"), Some(""), None, Some(" "), Some("null")]) as &dyn Array
    );
    // No number is empty.
    let (array, faults) = parse(&DataType::Int64, &format, &["1", "", " ", "NULL", " 2 ", "null"]);
    assert_eq!(array.as_ref(), &Int64Array::from(vec![Some(1), None, None, None, Some(2), None]) as &dyn Array);
    assert_eq!(faults.len(), 1);
    assert_eq!((faults[0].row, faults[0].value.as_deref()), (5, Some("null")));
    assert!(faults[0].hint.as_ref().unwrap().contains("`portolan.nullValues`"));
}

#[test]
fn money_is_a_decimal_number() {
    let german = ColumnFormat { has_decimal_comma: true, thousands_separator: Some('.'), ..ColumnFormat::default() };
    let money = DataType::Decimal128(10, 2);
    let (array, faults) = parse(&money, &german, &["1400,50", "1.234,50", "-0,5", "1,505", "1400.50", "123456789,00"]);
    let expected = [Some(140_050), Some(123_450), Some(-50), None, None, None];
    let expected = Decimal128Array::from(expected.to_vec()).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(array.as_ref(), &expected as &dyn Array);
    assert_eq!(faults.iter().map(|fault| fault.row).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(
        faults[0].expected,
        "a number of type DECIMAL(10,2) with `,` before its fraction and `.` between thousands"
    );
    let wide = DataType::Decimal256(50, 1);
    let (array, faults) = parse(&wide, &ColumnFormat::default(), &["1234567890123456789012345678901234567890.5"]);
    assert!(faults.is_empty() && array.is_valid(0) && *array.data_type() == wide, "{faults:?}");
}

#[test]
fn booleans_have_the_words_of_the_contract() {
    let (array, _) = parse(&DataType::Boolean, &ColumnFormat::default(), &["true", "FALSE", ""]);
    assert_eq!(array.as_ref(), &BooleanArray::from(vec![Some(true), Some(false), None]) as &dyn Array);
    let format =
        ColumnFormat { true_values: words(&["ja", "J"]), false_values: words(&["nein"]), ..ColumnFormat::default() };
    let (array, faults) = parse(&DataType::Boolean, &format, &["ja", "Nein", "j", "true", "1"]);
    let expected = BooleanArray::from(vec![Some(true), Some(false), Some(true), None, None]);
    assert_eq!(array.as_ref(), &expected as &dyn Array);
    assert_eq!(faults[0].expected, "`ja`, `J` (true) or `nein` (false)");
}

#[test]
fn dates_have_the_pattern_of_the_contract() {
    let pattern =
        TimePattern { text: "dd.MM.yyyy".to_owned(), description: "[day].[month].[year]".to_owned(), has_time: false };
    let format = ColumnFormat { pattern: Some(pattern), ..ColumnFormat::default() };
    let (array, faults) = parse(&DataType::Date32, &format, &["24.08.2017", "", "2017-08-24", "31.02.2017"]);
    assert_eq!(array.as_ref(), &Date32Array::from(vec![Some(17_402), None, None, None]) as &dyn Array);
    assert_eq!(faults[0].expected, "a date of the form `dd.MM.yyyy`");
    let (array, _) = parse(&DataType::Timestamp(TimeUnit::Microsecond, None), &format, &["24.08.2017"]);
    assert_eq!(array.as_ref(), &TimestampMicrosecondArray::from(vec![17_402 * 86_400_000_000]) as &dyn Array);
    let (_, faults) = parse(&DataType::Date32, &ColumnFormat::default(), &["24.08.2017"]);
    assert_eq!(faults[0].expected, "a date such as `2024-01-31`");
    assert!(faults[0].hint.as_ref().unwrap().contains("`logicalTypeOptions.format`"));
}

#[test]
fn bytes_that_are_no_text_are_a_fault_of_every_type() {
    for data_type in [DataType::Utf8, DataType::Int64] {
        let parser = ValueParser::new(&data_type, &ColumnFormat::default(), true).unwrap().unwrap();
        let mut faults = ColumnFaults::new(10);
        let array = parser.parse([Cell::Null, Cell::Undecodable].into_iter(), &mut faults);
        assert_eq!((array.null_count(), faults.found.len()), (2, 1));
        assert_eq!((faults.found[0].row, faults.found[0].value.clone()), (1, None));
    }
}

#[test]
fn types_are_inferred_from_what_all_values_have() {
    let infer = |texts: &[&str], format: &ColumnFormat| infer(|| texts.iter().map(|text| Cell::Text(text)), format);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    for (texts, expected) in [
        (&["1", "", "-2"] as &[&str], DataType::Int64),
        (&["007", "8"], DataType::Int64),
        (&["1", "2.0"], DataType::Float64),
        (&["9223372036854775808", "1"], DataType::Utf8),
        (&["9007199254740992", "0.5"], DataType::Float64),
        (&["9007199254740993", "0.5"], DataType::Utf8),
        (&["true", "False"], DataType::Boolean),
        (&["2024-01-31"], DataType::Date32),
        // Midnight is also a date, but the next record may have another time.
        (&["2024-01-31T00:00:00"], micros.clone()),
        (&["2024-01-31", "2024-01-31T12:00:00.123"], micros),
        (&["2024-01-31T12:00:00.123456789"], DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (&["24.08.2017"], DataType::Utf8),
        (&["1", "x"], DataType::Utf8),
        (&["", ""], DataType::Null),
        (&[], DataType::Null),
    ] {
        assert_eq!(infer(texts, &ColumnFormat::default()), expected, "{texts:?}");
    }
    let format = ColumnFormat { null_values: words(&["NULL"]), ..ColumnFormat::default() };
    assert_eq!(infer(&["1", "NULL"], &format), DataType::Int64);
}
