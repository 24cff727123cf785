//! Formats sizes, times and counts for people: `1.5 MB`, `3.4 s`, `1,234,567`.

use std::time::Duration;

/// Formats a number of bytes, such as `1.5 MB`.
pub fn show_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.95 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Formats a time, such as `12 ms`, `3.4 s` or `2 m 05 s`.
pub fn show_time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        s if s < 60 => format!("{:.1} s", time.as_secs_f64()),
        s => format!("{} m {:02} s", s / 60, s % 60),
    }
}

/// Formats a count, such as `1,234,567`.
pub fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things, such as `1 port` or `3 ports`.
pub fn show_number(number: u64, singular: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {singular}{end}", show_count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(1_500_000), "1.5 MB");
        assert_eq!(show_bytes(999_999), "1.0 MB");
        assert_eq!(show_time(Duration::from_millis(125_400)), "2 m 05 s");
        assert_eq!(show_time(Duration::from_millis(3_400)), "3.4 s");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(show_count(123), "123");
        assert_eq!([0, 1, 2].map(|n| show_number(n, "port")), ["0 ports", "1 port", "2 ports"]);
    }
}
