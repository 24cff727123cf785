//! The line that shows the progress of a long query: rows and bytes from each domain, or those of an upload.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use portolan_catalog::printable;
use portolan_engine::Progress;
use tokio_util::task::AbortOnDropHandle;
use unicode_width::UnicodeWidthStr;

use crate::connection::Control;
use crate::render::fit;
use crate::terminal;
use crate::units::{show_bytes, show_count, show_time};

/// The time that a query runs before the line appears.
const PATIENCE: Duration = Duration::from_millis(500);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The columns beside the message: the spinner, a space, and the `^C` that the terminal shows after the line. On the next
/// line, `^C` would keep this line on the screen.
const BESIDE: usize = 5;
/// The columns of a terminal that does not report them.
const USUAL_COLUMNS: usize = 80;

/// The progress line. Dropping it removes the line from the screen.
#[derive(Debug)]
pub struct ProgressLine {
    bar: ProgressBar,
    _task: AbortOnDropHandle<()>,
}

impl ProgressLine {
    /// Starts to show the progress of a query. `control` is `None` while the query is planned.
    pub fn start(control: Option<Control>, started: Instant) -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(PATIENCE.saturating_sub(started.elapsed())).await;
            shown.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            loop {
                let progress = match &control {
                    Some(control) => control.progress().await,
                    None => None,
                };
                let mut text = message(progress.as_ref(), started.elapsed());
                if let Some(upload) = control.as_ref().and_then(Control::upload) {
                    text.push_str(&format!(" · {}", printable(&upload)));
                }
                shown.set_message(cut(&text, terminal::columns().unwrap_or(USUAL_COLUMNS)));
                shown.tick();
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });
        Self { bar, _task: AbortOnDropHandle::new(task) }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        // The task may still run until its next await. Its output is hidden from now on.
        self.bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
}

/// Returns the message in a terminal of so many columns.
fn cut(message: &str, columns: usize) -> String {
    let room = columns.saturating_sub(BESIDE);
    if message.width() > room { fit(message, room, false) } else { message.to_owned() }
}

fn message(progress: Option<&Progress>, elapsed: Duration) -> String {
    let mut text = show_time(elapsed);
    for edge in progress.iter().flat_map(|progress| &progress.edges) {
        let domains = edge.domains.join("+");
        let domains = printable(&domains);
        if edge.rows == 0 && !edge.finished {
            text.push_str(&format!(" · {domains} no rows yet"));
            continue;
        }
        let (rows, bytes) = (show_count(edge.rows), show_bytes(edge.bytes));
        let done = if edge.finished { " ✓" } else { "" };
        text.push_str(&format!(" · {domains} {rows} rows, {bytes}{done}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use portolan_engine::EdgeProgress;

    use super::*;

    #[test]
    fn every_domain_is_shown() {
        let edge = |domain: &str, rows, finished| {
            let mut edge = EdgeProgress::default();
            (edge.domains, edge.site) = (vec![domain.into()], "grpc://a:1".into());
            (edge.rows, edge.bytes, edge.finished) = (rows, 34_000, finished);
            edge
        };
        let mut progress = Progress::default();
        progress.edges = vec![edge("sales", 1200, true), edge("geo", 1200, false), edge("supply", 0, false)];
        assert_eq!(
            message(Some(&progress), Duration::from_millis(1500)),
            "1.5 s · sales 1,200 rows, 34.0 kB ✓ · geo 1,200 rows, 34.0 kB · supply no rows yet"
        );
        assert_eq!(message(None, Duration::from_millis(600)), "600 ms");
    }

    #[test]
    fn a_message_leaves_room_on_its_line() {
        assert_eq!(cut("12 s · sales 1,200 rows", 28), "12 s · sales 1,200 rows");
        assert_eq!(cut("12 s · sales 1,200 rows", 20), "12 s · sales 1…");
        assert_eq!(cut("12 s · 表表", 15), "12 s · 表…");
    }
}
