//! The types of values that people write.

use super::*;

fn csv(values: &[&str]) -> TextType {
    separated(b',', values)
}

fn separated(delimiter: u8, values: &[&str]) -> TextType {
    let mut all = TextValues::of_csv(delimiter);
    values.iter().for_each(|value| all.add(value));
    all.text_type()
}

fn logical(values: &[&str]) -> &'static str {
    csv(values).logical_type
}

#[test]
fn values_have_the_narrowest_type_of_all() {
    for (values, expected) in [
        (vec!["1", "-20", "0"], "integer"),
        (vec!["1", "2.5", "-0.25", "1e3"], "number"),
        (vec!["1", "x"], "string"),
        (vec!["true", "FALSE"], "boolean"),
        (vec!["true", "true"], "boolean"),
        (vec!["2024-02-29", "1999-12-31"], "date"),
        (vec!["2024-02-29 10:00:00", "2024-02-29T10:00:00.5", "2024-02-29"], "timestamp"),
        (vec!["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+02:00"], "timestamp"),
        (vec!["08:30:00"], "time"),
        (vec![" 1", "", "2 "], "integer"),
        (vec![], "string"),
    ] {
        assert_eq!(logical(&values), expected, "{values:?}");
    }
}

#[test]
fn codes_and_long_numbers_stay_strings() {
    for values in [
        vec!["01067", "80331"],
        vec!["+49 30 1234"],
        vec!["123456789012345678901234567890"],
        vec!["007", "1.5"],
        vec!["2024-13-01"],
        vec!["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"],
        vec!["1", "2024-02-29"],
        vec!["yes", "yes"],
        vec!["yes", "no", "maybe"],
        vec!["ja", "no"],
    ] {
        assert_eq!(logical(&values), "string", "{values:?}");
    }
}

#[test]
fn numbers_have_the_separators_of_their_country() {
    let notation = |values: &[&str]| {
        let found = csv(values);
        (found.logical_type, found.has_decimal_comma, found.thousands)
    };
    for (values, expected) in [
        (vec!["1400,50", "7,5"], ("number", true, None)),
        (vec!["1.400,50", "7"], ("number", true, Some('.'))),
        (vec!["1,400.50"], ("number", false, Some(','))),
        (vec!["1.234.567"], ("number", true, Some('.'))),
        (vec!["12 345,6"], ("number", true, Some(' '))),
        (vec!["1'234.5"], ("number", false, Some('\''))),
        (vec!["0,125"], ("number", true, None)),
        // A thousand, or a little more than one.
        (vec!["1,234"], ("string", false, None)),
        (vec!["1.234"], ("number", false, None)),
        (vec!["12.34.567"], ("string", false, None)),
    ] {
        assert_eq!(notation(&values), expected, "{values:?}");
    }
}

#[test]
fn a_point_can_separate_thousands_where_a_comma_separates_no_values() {
    for (values, expected) in [
        (&["1.234", "22.345", "7"] as &[&str], "string"),
        (&["-1.000"], "string"),
        (&["1.234", "0.250"], "number"),
        (&["1.234", "1234.567"], "number"),
        (&["1.5"], "number"),
        (&["1.234.567"], "number"),
        (&["12"], "integer"),
    ] {
        let found = separated(b';', values);
        assert_eq!((found.logical_type, found.note.is_some()), (expected, expected == "string"), "{values:?}");
    }
    assert!(csv(&["1,234"]).note.is_some() && csv(&["x"]).note.is_none());
}

#[test]
fn money_is_decimal() {
    assert_eq!(csv(&["12.50", "-3.00"]).decimal, Some((18, 2)));
    assert_eq!(csv(&["1.400,50"]).decimal, Some((18, 2)));
    for values in [vec!["12.50", "3"], vec!["12.50", "3.5"], vec!["0.5"], vec!["0.12345"]] {
        assert_eq!(csv(&values).decimal, None, "{values:?}");
    }
}

#[test]
fn dates_have_the_pattern_of_their_country() {
    let pattern = |values: &[&str]| (csv(values).logical_type, csv(values).pattern);
    for (values, expected) in [
        (vec!["24.08.2017", "01.02.2018"], ("date", Some("dd.MM.yyyy"))),
        (vec!["24.8.2017", "1.12.2018"], ("date", Some("d.M.yyyy"))),
        (vec!["24/08/2017", "01/02/2018"], ("date", Some("dd/MM/yyyy"))),
        (vec!["08/24/2017", "01/02/2018"], ("date", Some("MM/dd/yyyy"))),
        (vec!["24.08.2017 10:15"], ("timestamp", Some("dd.MM.yyyy HH:mm"))),
        (vec!["32.08.2017"], ("string", None)),
    ] {
        assert_eq!(pattern(&values), expected, "{values:?}");
    }
    let unclear = csv(&["01/02/2018", "03/04/2018"]);
    assert_eq!(unclear.logical_type, "string");
    assert!(unclear.note.is_some());
}

#[test]
fn words_stand_for_null_and_for_truth() {
    let found = csv(&["1", "NULL", "-"]);
    assert_eq!((found.logical_type, found.null_words.join("|").as_str()), ("integer", "|-|NULL"));
    // A string may be the country NA.
    let found = csv(&["DE", "NA"]);
    assert_eq!((found.logical_type, found.null_words.len()), ("string", 0));
    assert_eq!(csv(&["NULL"]).logical_type, "string");
    let found = csv(&["Ja", "nein", "JA"]);
    assert_eq!((found.logical_type, found.truth_words), ("boolean", Some(("ja", "nein"))));
    assert_eq!(csv(&["true", "false"]).truth_words, None);
}

#[test]
fn strings_of_json_are_dates_or_stay_strings() {
    let json = |values: &[&str]| {
        let mut all = TextValues::of_json();
        values.iter().for_each(|value| all.add(value));
        all.text_type().logical_type
    };
    assert_eq!(json(&["2024-02-29"]), "date");
    assert_eq!(json(&["2024-02-29T10:00:00Z"]), "timestamp");
    for value in ["1", "true", "24.08.2017", "08:30:00"] {
        assert_eq!(json(&[value]), "string", "{value}");
    }
}
