//! The patterns of dates and times in strings: those of `strftime` and of SQL (`YYYY-MM-DD`), translated into the
//! patterns that DataFusion reads, those of the crate chrono. A pattern that is not understood is refused: DataFusion
//! would print it as it is.

mod percent;
mod sql;

/// The patterns of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Patterns {
    /// `to_char`: patterns of chrono, or of SQL.
    ToChar,
    /// `strftime`: DuckDB's patterns.
    Strftime,
    /// `date_format`: the patterns that mean the same in MySQL and in chrono.
    DateFormat,
    /// `to_timestamp`: patterns of chrono, or of SQL.
    ToTimestamp,
    /// `to_date`: as `to_timestamp`, but the time of the day is ignored.
    ToDate,
    /// `strptime`: DuckDB's patterns.
    Strptime,
}

impl Patterns {
    /// Translates a pattern.
    ///
    /// # Errors
    /// The reason why the pattern is not understood.
    pub(super) fn translate(self, pattern: &str) -> Result<String, String> {
        let has_percent = pattern.contains('%');
        let translated = match self {
            Self::ToChar if has_percent => percent::checked(pattern),
            Self::ToChar => sql::written(pattern),
            Self::Strftime => percent::strftime(pattern),
            Self::DateFormat => percent::date_format(pattern),
            Self::ToTimestamp | Self::ToDate if has_percent => percent::read(pattern),
            Self::ToTimestamp | Self::ToDate => sql::read(pattern),
            Self::Strptime => percent::strptime(pattern),
        };
        let translated = translated.map_err(|what| format!("the pattern `{pattern}` is not understood: {what}"))?;
        let incomplete = |what| format!("the pattern `{pattern}` is incomplete: {what}");
        if matches!(self, Self::ToTimestamp | Self::ToDate | Self::Strptime) {
            percent::require_date(&translated).map_err(incomplete)?;
        }
        if matches!(self, Self::ToTimestamp | Self::Strptime) {
            percent::require_time(&translated).map_err(incomplete)?;
        }
        Ok(translated)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Patterns::{self, DateFormat, Strftime, Strptime, ToChar, ToDate, ToTimestamp};

    fn all_become(patterns: Patterns, cases: &[(&str, &str)]) {
        for (pattern, expected) in cases {
            assert_eq!(patterns.translate(pattern).unwrap(), *expected, "{patterns:?}: {pattern}");
        }
    }

    fn all_fail(patterns: Patterns, cases: &[(&str, &str)]) {
        for (pattern, says) in cases {
            let error = patterns.translate(pattern).unwrap_err();
            assert!(error.contains(says), "{patterns:?}: {pattern}: {error}");
            assert!(error.contains(&format!("`{pattern}`")), "{patterns:?}: {pattern}: {error}");
        }
    }

    #[test]
    fn patterns_of_sql_become_those_of_chrono() {
        all_become(
            ToChar,
            &[
                ("YYYY-MM", "%Y-%m"),
                ("yyyy-mm-dd", "%Y-%m-%d"),
                ("DD.MM.YY HH24:MI:SS.MS", "%d.%m.%y %H:%M:%S.%3f"),
                ("HH12:MI AM", "%I:%M %p"),
                ("HH:MI pm", "%I:%M %P"),
                ("FMDD FMMonth YYYY", "%-d %B %Y"),
                ("Dy, DD Mon YYYY", "%a, %d %b %Y"),
                ("FMDay", "%A"),
                ("YYYY\"T\"HH24", "%YT%H"),
                ("\"Q\"Q YYYY", "Q%q %Y"),
                ("IYYY-IW-ID", "%G-%V-%u"),
                ("DDD", "%j"),
                ("US", "%6f"),
                ("YYYYMMDD", "%Y%m%d"),
                ("\"a \\\"b\\\"\"", "a \"b\""),
                ("\\\"YYYY\\\" \"a\"", "\"%Y\" a"),
                ("", ""),
                ("%Y-%m", "%Y-%m"),
                ("%-d %B", "%-d %B"),
                ("%H:%M:%S%.3f", "%H:%M:%S%.3f"),
            ],
        );
        all_fail(
            ToChar,
            &[
                ("Month", "FMMonth"),
                ("MON", "upper"),
                ("DAY", "FMDay"),
                ("Year", "four digits"),
                ("YYYY-MM-DDTHH24:MI", "double quotes"),
                ("DDth", "double quotes"),
                ("YYY", "four digits"),
                ("WW", "IW"),
                ("D", "ID"),
                ("TZ", "time zone"),
                ("YYYY\"T", "not closed"),
                ("%Q", "`%Q`"),
                ("%Y-%", "ends"),
                ("%-A", "`%-A`"),
            ],
        );
    }

    #[test]
    fn patterns_of_strftime_become_those_of_chrono() {
        all_become(
            Strftime,
            &[
                ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%6f"),
                ("%g ms, %n ns", "%3f ms, %9f ns"),
                ("%c|%x|%X", "%Y-%m-%d %H:%M:%S|%Y-%m-%d|%H:%M:%S"),
                ("%A, %-d %B %Y - %I:%M:%S %p", "%A, %-d %B %Y - %I:%M:%S %p"),
                ("%d%%", "%d%%"),
            ],
        );
        all_fail(Strftime, &[("YYYY-MM", "to_char"), ("%s", "`%s`"), ("%e", "`%e`"), ("%Z", "`%Z`"), ("%_d", "`%_d`")]);
        all_become(DateFormat, &[("%Y-%m-%d %H", "%Y-%m-%d %H")]);
        all_fail(DateFormat, &[("yyyy-MM-dd", "to_char"), ("%i", "`%i`"), ("%M", "`%M`"), ("%s", "`%s`")]);
    }

    #[test]
    fn patterns_to_read_need_a_whole_time_of_the_day() {
        all_become(
            ToTimestamp,
            &[
                ("YYYY-MM-DD", "%Y-%m-%d"),
                ("DD/MON/YYYY HH24:MI:SS.US", "%d/%b/%Y %H:%M:%S%.f"),
                ("month DD, YYYY HH12:MI PM", "%B %d, %Y %I:%M %p"),
                ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S%z"),
                ("%s", "%s"),
            ],
        );
        all_become(ToDate, &[("YYYY-MM-DD HH24", "%Y-%m-%d %H"), ("%Y-%m-%d", "%Y-%m-%d")]);
        all_become(
            Strptime,
            &[
                ("%d.%m.%Y", "%d.%m.%Y"),
                ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S%.f"),
                ("%x %X", "%Y-%m-%d %H:%M:%S"),
            ],
        );
        all_fail(
            ToTimestamp,
            &[
                ("YYYY-MM-DD HH24", "minutes"),
                ("YYYY-MM-DD HH12:MI", "AM"),
                ("%Y-%m-%d %H", "minutes"),
                ("YYYY-MM-DD HH24:MI.US", "seconds"),
                ("%F %R%.f", "seconds"),
                ("%F %T %Z", "`%Z`"),
                ("YYYY-MM", "incomplete: a date needs"),
                ("HH24:MI", "incomplete: a date needs"),
                ("YYYY-MM-DD Day", "leave it out"),
                ("YYYY-MM-DD US", "decimal point"),
            ],
        );
        all_fail(ToDate, &[("%F %Z", "`%Z`"), ("%Y", "a date needs a year, a month and a day")]);
        all_become(ToDate, &[("IYYY-IW-ID", "%G-%V-%u"), ("YYYYDDD", "%Y%j"), ("%D", "%D")]);
        all_fail(
            Strptime,
            &[
                ("%d.%m.%y", "to_date"),
                ("%Y-%m-%d %I:%M", "AM"),
                ("%Y-%m-%d %H:%M.%f", "seconds"),
                ("%Y-%m-%d %z", "`%z`"),
                ("YYYY", "to_timestamp"),
            ],
        );
    }
}
