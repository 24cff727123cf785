use super::*;

#[test]
fn mask_alphanum_keeps_the_punctuation_of_the_specification() {
    check_strings(
        Mask::MaskAlphanum,
        &[
            ("prashant010696@gmail.com", "xxxxxxxxnnnnnn@xxxxx.xxx"),
            ("", ""),
            ("a", "x"),
            ("7", "n"),
            ("(),.-@", "(),.-@"),
            ("+49 (30) 1234-5", "xnnx(nn)xnnnn-n"),
            ("a_b/c:d;e'f\"g\\h\t\n\0", "xxxxxxxxxxxxxxxxxx"),
            ("4111-1111-1111-4444", "nnnn-nnnn-nnnn-nnnn"),
        ],
    );
}

#[test]
fn a_character_is_a_code_point() {
    check_strings(
        Mask::MaskAlphanum,
        &[
            ("é", "x"),
            // The letter and the accent after it.
            ("e\u{301}", "xx"),
            ("Zoë 9", "xxxxn"),
            ("🙂", "x"),
            // Two people, joined: five characters, of which two are joiners or selectors.
            ("👩\u{200d}❤\u{fe0f}👨", "xxxxx"),
            // Digits that ASCII does not have, and full-width punctuation.
            ("٣", "x"),
            ("１＠", "xx"),
            ("日本-日本", "xx-xx"),
            ("\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}", "xxxxx"),
        ],
    );
}

#[test]
fn show_first_4_shows_four_characters() {
    check_strings(
        Mask::ShowFirst4,
        &[
            ("prashant010696@gmail.com", "prasxxxxnnnnnn@xxxxx.xxx"),
            ("", ""),
            ("a", "a"),
            ("ab", "ab"),
            ("abc", "abc"),
            ("abcd", "abcd"),
            ("abcde", "abcdx"),
            ("abcde6", "abcdxn"),
            ("abcde6-", "abcdxn-"),
            ("abcde6-h", "abcdxn-x"),
            ("éèêë", "éèêë"),
            ("éèêëē1", "éèêëxn"),
            ("🙂🙃🙂🙃🙂", "🙂🙃🙂🙃x"),
            ("日本日本日本日本日本", "日本日本xxxxxx"),
        ],
    );
}

#[test]
fn show_last_4_shows_four_characters() {
    check_strings(
        Mask::ShowLast4,
        &[
            ("4111-1111-1111-4444", "nnnn-nnnn-nnnn-4444"),
            ("", ""),
            ("a", "a"),
            ("ab", "ab"),
            ("abc", "abc"),
            ("abcd", "abcd"),
            ("abcde", "xbcde"),
            ("1abcde", "nxbcde"),
            ("-1abcde", "-nxbcde"),
            ("h-1abcde", "x-nxbcde"),
            ("éèêë", "éèêë"),
            ("1ēéèêë", "nxéèêë"),
            ("🙂🙃🙂🙃🙂", "x🙃🙂🙃🙂"),
            ("日本日本日本日本日本", "xxxxxx日本日本"),
        ],
    );
}

/// A view of up to 12 bytes holds its value itself. A mask can move a value over this limit in both directions.
#[test]
fn values_around_the_length_of_a_view_are_masked() {
    check_strings(
        Mask::ShowLast4,
        &[
            ("abcdefghijk", "xxxxxxxhijk"),
            ("abcdefghijkl", "xxxxxxxxijkl"),
            ("abcdefghijklm", "xxxxxxxxxjklm"),
            ("日本日本日1", "xx日本日1"),
        ],
    );
    check_strings(Mask::MaskAlphanum, &[("日本日本日本", "xxxxxx"), ("ééééééé", "xxxxxxx")]);
}

/// The values of a view array fill more than one buffer.
#[test]
fn long_view_arrays_have_several_buffers() {
    let long = "é1".repeat(100_000);
    let given = cast(&StringArray::from(vec![long.as_str(); 9]), &DataType::Utf8View).unwrap();
    let result = masked(Mask::MaskAlphanum, &given);
    assert!(result.as_string_view().data_buffers().len() > 1);
    assert!(result.as_string_view().iter().all(|text| text == Some("xn".repeat(100_000).as_str())));
}

#[test]
fn empty_arrays_stay_empty() {
    for layout in [DataType::Utf8, DataType::Utf8View, dictionary(DataType::Int8, DataType::Utf8)] {
        let empty = arrow::array::new_empty_array(&layout);
        for kind in
            [Mask::MaskAlphanum, Mask::ShowFirst4, Mask::Sha256Global, Mask::MaskToFixedValue, Mask::ReplaceWithNull]
        {
            assert_eq!(masked(kind, &empty).len(), 0);
        }
    }
}
