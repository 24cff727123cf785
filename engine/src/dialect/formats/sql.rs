//! Patterns of SQL, as in PostgreSQL: `YYYY-MM-DD HH24:MI:SS`.

use super::percent::push_fraction;

/// What a field becomes.
#[derive(Clone, Copy)]
enum Field {
    /// A number: its pattern, and its pattern without leading zeros.
    Number(&'static str, Option<&'static str>),
    /// The fraction of a second.
    Fraction(&'static str),
    /// The name of a month or a day, as SQL and chrono write it, padded to nine characters without `FM`.
    Long(&'static str, &'static str),
    /// The short name of a month or a day, as SQL and chrono write it.
    Short(&'static str, &'static str),
    /// AM or PM.
    HalfDay,
    /// A field that there is no pattern for, with what to do instead.
    Refused(&'static str),
}

use Field::{Fraction, HalfDay, Long, Number, Refused, Short};

const OTHER_YEAR: &str = "a year has four digits (`YYYY`) or two (`YY`)";
const ORDINAL: &str = "put text such as T into double quotes, as in `YYYY-MM-DD\"T\"HH24`";

/// The fields. The longest one that fits counts.
const FIELDS: &[(&str, Field)] = &[
    ("YYYY", Number("%Y", Some("%-Y"))),
    ("YY", Number("%y", Some("%-y"))),
    ("Y,YYY", Refused(OTHER_YEAR)),
    ("YYY", Refused(OTHER_YEAR)),
    ("Y", Refused(OTHER_YEAR)),
    ("IYYY", Number("%G", None)),
    ("IYY", Refused("a year of weeks has four digits (`IYYY`)")),
    ("IY", Refused("a year of weeks has four digits (`IYYY`)")),
    ("IW", Number("%V", None)),
    ("ID", Number("%u", None)),
    ("IDDD", Refused("the day of the year is `DDD`")),
    ("I", Refused("a year of weeks has four digits (`IYYY`)")),
    ("MM", Number("%m", Some("%-m"))),
    ("MONTH", Long("Month", "%B")),
    ("MON", Short("Mon", "%b")),
    ("DDD", Number("%j", Some("%-j"))),
    ("DD", Number("%d", Some("%-d"))),
    ("DAY", Long("Day", "%A")),
    ("DY", Short("Dy", "%a")),
    ("D", Refused("the day of the week is `ID`, where Monday is 1")),
    ("HH24", Number("%H", Some("%-H"))),
    ("HH12", Number("%I", Some("%-I"))),
    ("HH", Number("%I", Some("%-I"))),
    ("MI", Number("%M", Some("%-M"))),
    ("SSSSS", Refused("use `date_part('epoch', at)` for seconds")),
    ("SSSS", Refused("use `date_part('epoch', at)` for seconds")),
    ("SS", Number("%S", Some("%-S"))),
    ("MS", Fraction("%3f")),
    ("US", Fraction("%6f")),
    ("AM", HalfDay),
    ("PM", HalfDay),
    ("A.M.", Refused("write `AM`")),
    ("P.M.", Refused("write `PM`")),
    ("Q", Number("%q", None)),
    ("WW", Refused("the week of ISO 8601 is `IW`")),
    ("W", Refused("the week of ISO 8601 is `IW`")),
    ("CC", Refused("write the whole year, `YYYY`")),
    ("J", Refused("there are no Julian days")),
    ("BC", Refused("there is no field for eras")),
    ("AD", Refused("there is no field for eras")),
    ("RM", Refused("the number of the month is `MM`")),
    ("TZH", Refused("`%z` prints the offset of a time zone")),
    ("TZM", Refused("`%z` prints the offset of a time zone")),
    ("TZ", Refused("`%z` prints the offset of a time zone")),
    ("OF", Refused("`%z` prints the offset of a time zone")),
    ("TM", Refused("names are in English: write `FMMonth`, `Mon`, `FMDay` or `Dy`")),
    ("TH", Refused(ORDINAL)),
];

/// Translates the pattern of `to_char`.
pub(super) fn written(pattern: &str) -> Result<String, String> {
    translated(pattern, |out, text, field, unpadded| {
        let no_effect = || Err(format!("`FM` has no effect on `{text}`: leave it out"));
        let letters = match field {
            Number(_, Some(short)) if unpadded => short,
            Number(_, None) | Fraction(_) if unpadded => return no_effect(),
            Number(padded, _) => padded,
            Fraction(digits) => digits,
            Long(name, letters) if text == name && unpadded => letters,
            Long(name, _) if text == name => {
                return Err(format!("PostgreSQL pads `{name}` with blanks to nine characters: write `FM{name}`"));
            }
            Long(name, _) => return Err(case(&format!("FM{name}"))),
            Short(name, letters) if text == name => letters,
            Short(name, _) => return Err(case(name)),
            HalfDay if text == text.to_uppercase() => "%p",
            HalfDay if text == text.to_lowercase() => "%P",
            HalfDay => return Err(format!("write `{}` or `{}`", text.to_uppercase(), text.to_lowercase())),
            Refused(instead) => return Err(refused(text, instead)),
        };
        out.push_str(letters);
        Ok(())
    })
}

fn refused(text: &str, instead: &str) -> String {
    format!("`{text}` is not supported: {instead}")
}

/// Returns what to write for a name in capitals or in lower case.
fn case(name: &str) -> String {
    format!("names have the case of `{name}`: use it with `upper(to_char(…))` or `lower(to_char(…))`")
}

/// Translates the pattern of `to_timestamp` and `to_date`. The case of names does not matter, and `FM` has no effect.
pub(super) fn read(pattern: &str) -> Result<String, String> {
    translated(pattern, |out, text, field, _| {
        let letters = match field {
            Fraction(_) => return push_fraction(out),
            Long("Day", _) | Short("Dy", _) => {
                return Err(format!("PostgreSQL ignores the day of the week `{text}`: leave it out"));
            }
            Number("%q", _) => return Err(format!("PostgreSQL ignores the quarter `{text}`: leave it out")),
            Number(letters, _) | Long(_, letters) | Short(_, letters) => letters,
            HalfDay => "%p",
            Refused(instead) => return Err(refused(text, instead)),
        };
        out.push_str(letters);
        Ok(())
    })
}

/// Writes a field: receives what is written before, the field as it stands in the pattern, and true after `FM`.
type Write = fn(&mut String, &str, Field, bool) -> Result<(), String>;

fn translated(pattern: &str, write: Write) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = quoted(&rest[1..], &mut out)?;
            continue;
        }
        if !first.is_alphabetic() {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let unpadded = starts_with(rest, "FM");
        let from = if unpadded { &rest[2..] } else { rest };
        let fitting = FIELDS.iter().filter(|(name, _)| starts_with(from, name));
        let Some((name, field)) = fitting.max_by_key(|(name, _)| name.len()) else {
            let word: String = from.chars().take_while(|c| c.is_alphabetic()).collect();
            return Err(format!("`{word}` is no field: put text into double quotes"));
        };
        let (text, after) = from.split_at(name.len());
        if starts_with(after, "TH") && !matches!(field, Refused(_)) {
            return Err(format!("`{text}{}` would be an ordinal number: {ORDINAL}", &after[..2]));
        }
        write(&mut out, text, *field, unpadded)?;
        rest = after;
    }
    Ok(out)
}

/// True if a text starts with ASCII letters, in any case.
fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Writes the text up to the closing double quote, and returns what follows.
fn quoted<'a>(text: &'a str, out: &mut String) -> Result<&'a str, String> {
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok(&text[at + 1..]),
            '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
            c => out.push(c),
        }
    }
    Err("a double quote is not closed".to_owned())
}
