//! The terminal of the user: its size, and colours that people can read on a light and on a dark background.

use std::io::IsTerminal;

use nu_ansi_term::Color;

/// The colour of errors.
pub const RED: Color = Color::Fixed(160);
/// The colour of strings.
pub const GREEN: Color = Color::Fixed(28);
/// The colour of numbers.
pub const TEAL: Color = Color::Fixed(30);
/// The colour of keywords and of the prompt.
pub const BLUE: Color = Color::Fixed(32);
/// The colour of commands.
pub const PURPLE: Color = Color::Fixed(133);
/// A colour beside the others.
pub const BROWN: Color = Color::Fixed(130);
/// The colour of comments and hints.
pub const GREY: Color = Color::Fixed(243);

/// True if output to `stream` may have colours: the stream is a terminal, and the user has not forbidden colours with
/// the variable `NO_COLOR`.
pub fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_forbidden && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Returns the number of columns of the terminal that shows standard output, or `None` if standard output is no terminal.
/// The variable `COLUMNS` overrides what the terminal reports.
pub fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    given.filter(|columns| *columns > 0).or_else(columns)
}

/// Returns the number of columns of the terminal, if it reports them.
pub fn columns() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| columns.into()).filter(|columns| *columns > 0)
}

/// Returns the number of lines of the terminal, if it reports them.
pub fn height() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(_, rows)| rows.into()).filter(|rows| *rows > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    /// Returns the relative luminance of a colour of the palette of 256 colours (WCAG 2).
    fn luminance(color: Color) -> f64 {
        let Color::Fixed(number) = color else { panic!("{color:?} depends on the terminal's palette") };
        let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
        let [r, g, b] = match number {
            232.. => [8 + 10 * (number - 232); 3],
            16.. => [(number - 16) / 36, (number - 16) / 6 % 6, (number - 16) % 6].map(level),
            _ => panic!("{color:?} depends on the terminal's palette"),
        };
        let linear = |n: u8| {
            let share = f64::from(n) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn every_colour_can_be_read_on_white_and_on_black() {
        for color in [RED, GREEN, TEAL, BLUE, PURPLE, BROWN, GREY] {
            let light = luminance(color);
            let (on_white, on_black) = (1.05 / (light + 0.05), (light + 0.05) / 0.05);
            assert!(on_white > 3.5 && on_black > 3.5, "{color:?}: {on_white:.1} on white, {on_black:.1} on black");
        }
    }
}
