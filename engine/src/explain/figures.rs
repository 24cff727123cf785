//! Figures in a readable format.

/// Formats a count: `25`, `37.5 k`, `6.0 M`.
pub(super) fn count(value: f64) -> String {
    scaled(value, &["", " k", " M", " G", " T"])
}

/// Formats bytes: `77 B`, `1.2 MB`.
pub(super) fn bytes(value: f64) -> String {
    scaled(value, &[" B", " kB", " MB", " GB", " TB"])
}

/// Formats milliseconds: `0.5 ms`, `35 ms`, `3.4 s`.
pub(super) fn milliseconds(value: f64) -> String {
    match value {
        v if v < 9.95 => format!("{v:.1} ms"),
        v if v < 999.5 => format!("{v:.0} ms"),
        v => format!("{:.1} s", v / 1000.0),
    }
}

fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value.max(0.0), 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit_name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 || value >= 99.95 { format!("{value:.0}{unit_name}") } else { format!("{value:.1}{unit_name}") }
}

/// Formats a table with aligned columns. `right` is true for the columns of numbers, which are aligned to the right.
pub(super) fn table(rows: &[Vec<String>], right: &[bool]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|v| v.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(c, (value, width))| {
            let fill = " ".repeat(width.saturating_sub(value.chars().count()));
            if right.get(c) == Some(&true) { fill + value } else { value.clone() + &fill }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_people() {
        for (value, text) in
            [(0.0, "0"), (25.0, "25"), (999.4, "999"), (999.6, "1.0 k"), (37_500.0, "37.5 k"), (6e6, "6.0 M")]
        {
            assert_eq!(count(value), text);
        }
        assert_eq!((bytes(77.0).as_str(), bytes(1.2e6).as_str()), ("77 B", "1.2 MB"));
        assert_eq!(bytes(2e17), "200000 TB");
        assert_eq!(milliseconds(0.5) + &milliseconds(35.2) + &milliseconds(3400.0), "0.5 ms35 ms3.4 s");
    }

    #[test]
    fn an_estimate_is_off_either_way_alike() {}

    #[test]
    fn columns_stand_under_one_another() {
        let rows = [vec!["a".to_owned(), "rows".into()], vec!["longer".into(), "1".into()]];
        assert_eq!(table(&rows, &[false, true]), "a       rows\nlonger     1");
    }
}
