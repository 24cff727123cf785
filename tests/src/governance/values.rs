//! The masks as the tests compute them: from their definitions, without the product's kernels.

/// The number of characters that `show-last-4` and `show-first-4` show.
const SHOWN: usize = 4;

/// Returns what the mask `mask-alphanum` returns.
pub fn mask_alphanum(text: &str) -> String {
    text.chars().map(replaced).collect()
}

/// Returns what the mask `show-last-4` returns.
pub fn show_last_4(text: &str) -> String {
    let count = text.chars().count();
    text.chars().enumerate().map(|(i, c)| if i + SHOWN >= count { c } else { replaced(c) }).collect()
}

/// Returns what the mask `show-first-4` returns.
pub fn show_first_4(text: &str) -> String {
    text.chars().enumerate().map(|(i, c)| if i < SHOWN { c } else { replaced(c) }).collect()
}

fn replaced(c: char) -> char {
    match c {
        '0'..='9' => 'n',
        '(' | ')' | ',' | '.' | '-' | '@' => c,
        _ => 'x',
    }
}

/// Returns the first day of the year of a day. Days count from 1970-01-01, and are not before it.
pub fn first_day_of_year(day: i32) -> i32 {
    assert!(day >= 0, "expected a day from 1970 on, got {day}");
    let (mut first, mut year) = (0, 1970);
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = if is_leap { 366 } else { 365 };
        if first + days > day {
            return first;
        }
        first += days;
        year += 1;
    }
}
