//! The log on standard error. Every message, every field and every panic passes through this module, so that text of
//! others cannot start a line, control a terminal or mislead a reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Debug};
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use nu_ansi_term::Style;
use portolan_catalog::{printable, printable_json};
use portolan_node::config::LogFormat;
use portolan_node::{Error, Result};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::escaping::EscapingWriter;
use crate::terminal::has_colours;

/// Starts the log of this process, and makes panics lines of it. The variable `PORTOLAN_LOG` has the filter, or else
/// `default`. Must be called once.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn start_log(default: &str, format: LogFormat) -> Result<()> {
    report_panics(format);
    let filter = match std::env::var("PORTOLAN_LOG") {
        Ok(filter) => {
            EnvFilter::try_new(filter).map_err(|e| Error::config("cannot parse PORTOLAN_LOG").with_source(e))?
        }
        Err(_) => {
            EnvFilter::try_new(default).map_err(|e| Error::config("cannot parse the log filter").with_source(e))?
        }
    };
    // Programs that read the log from a file or a pipe expect plain text.
    let colours = has_colours(&io::stderr()) && format == LogFormat::Text;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    match format {
        LogFormat::Text => log.fmt_fields(PrintableFields).with_writer(io::stderr).init(),
        LogFormat::Json => log.json().flatten_event(true).with_writer(|| escaped_json(io::stderr())).init(),
    }
    Ok(())
}

/// Formats the fields of events and spans as `tracing_subscriber` does, with escapes for unsafe characters.
#[derive(Clone, Copy, Debug, Default)]
struct PrintableFields;

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter { writer, is_first: true, outcome: Ok(()) };
        fields.record(&mut visitor);
        visitor.outcome
    }
}

/// Returns the writer of a log in JSON, with escapes for unsafe characters. JSON itself escapes few of them.
fn escaped_json<W: Write>(out: W) -> EscapingWriter<W> {
    EscapingWriter::new(out, printable_json)
}

/// Makes panics lines of the log. Readers of sources can panic on what is in a file, and the message can contain it.
pub fn report_panics(format: LogFormat) {
    std::panic::set_hook(Box::new(move |info| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        // A log that cannot be written is no reason to end the process.
        let _ = writeln!(io::stderr(), "{}", panic_entry(format, &described(info), backtrace.as_deref()));
    }));
}

fn panic_entry(format: LogFormat, message: &str, backtrace: Option<&str>) -> String {
    match format {
        LogFormat::Text => {
            let backtrace = backtrace.map(|trace| format!("\n{trace}")).unwrap_or_default();
            format!("{}{backtrace}", printable(message))
        }
        LogFormat::Json => {
            let mut timestamp = String::new();
            // Writing to a string does not fail.
            let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
            let mut entry =
                json!({ "timestamp": timestamp, "level": "ERROR", "message": message, "target": module_path!() });
            if let Some(backtrace) = backtrace {
                entry["backtrace"] = backtrace.into();
            }
            printable_json(&entry.to_string()).into_owned()
        }
    }
}

fn described(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("no message");
    format!("thread `{}` panicked{place}: {message}", thread.name().unwrap_or("unnamed"))
}

struct FieldWriter<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    outcome: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, field: &Field, value: &dyn Debug) -> fmt::Result {
        if !std::mem::replace(&mut self.is_first, false) {
            self.writer.write_char(' ')?;
        }
        let name = field.name().strip_prefix("r#").unwrap_or(field.name());
        if name != "message" {
            match self.writer.has_ansi_escapes() {
                true => {
                    write!(self.writer, "{}{}", Style::new().italic().paint(name), Style::new().dimmed().paint("="))?
                }
                false => write!(self.writer, "{name}=")?,
            }
        }
        self.writer.write_str(&printable(&format!("{value:?}")))
    }
}

impl Visit for FieldWriter<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // The formatter shows these fields of the `log` crate elsewhere.
        if self.outcome.is_ok() && !field.name().starts_with("log.") {
            self.outcome = self.write(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use portolan_catalog::is_printable;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_field_starts_a_line_or_controls_a_terminal() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(PrintableFields)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let evil = "x\n2026-01-01T00:00:00Z  WARN forged \u{1b}[31m \u{202e}";
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("a span", user = evil, shown = %evil);
            let _entered = span.enter();
            tracing::warn!(call = "DoGet", who = evil, shown = %evil, debugged = ?[evil], "failed: {evil}");
        });
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(is_printable(log.trim_end()), "{log}");
        let shown = r"x\n2026-01-01T00:00:00Z  WARN forged \u{1b}[31m \u{202e}";
        for part in [format!("failed: {shown}"), "call=\"DoGet\"".to_owned(), format!("shown={shown}")] {
            assert!(log.contains(&part), "{part}\n{log}");
        }
    }

    #[test]
    fn a_line_of_json_has_the_message_in_escapes() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || escaped_json(writer.clone()))
            .finish();
        let evil = "x\nforged \u{1b}[31m \u{9b} \u{202e}";
        tracing::subscriber::with_default(subscriber, || tracing::warn!(who = evil, "failed: {evil}"));
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(log.ends_with('\n') && is_printable(log.trim_end()), "{log}");
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(line["who"], evil);
        assert!(line["message"].as_str().unwrap().ends_with("\u{202e}"), "{log}");
    }

    #[test]
    fn a_panic_is_one_entry_of_the_log() {
        let (evil, trace) = ("x\nforged \u{202e}", "0: main\n1: start");
        assert_eq!(panic_entry(LogFormat::Text, evil, None), r"x\nforged \u{202e}");
        assert!(panic_entry(LogFormat::Text, evil, Some(trace)).ends_with(&format!("\n{trace}")));
        let line = panic_entry(LogFormat::Json, evil, Some(trace));
        assert!(is_printable(&line), "{line}");
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(entry["message"], evil);
        assert_eq!(entry["backtrace"], trace);
        assert!(entry["level"] == "ERROR" && !entry["timestamp"].as_str().unwrap().is_empty(), "{line}");
    }
}
