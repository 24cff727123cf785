//! The speed of the link to a peer. The engine measures it while nodes communicate, unless the config sets it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portolan_connectors::{FragmentSummary, lock};

/// The number of measurements that count, which are the last ones.
const REMEMBERED: usize = 16;
/// The smallest stream that is measured. A shorter stream measures buffers, and the time until the tasks that read it run on a
/// busy node, rather than the link.
const LEAST_STREAM_BYTES: u64 = 4 << 20;
/// The smallest stream that is measured if it takes [`LONG_STREAM`], as on a slow link.
const LEAST_LONG_STREAM_BYTES: u64 = 256 << 10;
const LONG_STREAM: Duration = Duration::from_secs(1);
/// The factor by which the speed of a link must change before it counts as another one.
const OTHER_SPEED: f64 = 2.0;

/// The speed of the link between two nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    /// The time of a round trip.
    pub(crate) latency: Duration,
    /// The bytes per second.
    pub(crate) bandwidth: f64,
}

impl Link {
    /// True if the speeds of two links are so different that it matters.
    pub(super) fn differs(self, other: Self) -> bool {
        let differs = |a: f64, b: f64| a.max(b) > a.min(b) * OTHER_SPEED;
        differs(self.latency.as_secs_f64(), other.latency.as_secs_f64()) || differs(self.bandwidth, other.bandwidth)
    }
}

impl Default for Link {
    /// Returns the link of two nodes on one machine or in one rack.
    fn default() -> Self {
        Self { latency: Duration::from_micros(500), bandwidth: 500e6 }
    }
}

/// The configured speed of the link to a peer, which takes precedence over measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkOverride {
    /// The time of a round trip.
    pub latency: Option<Duration>,
    /// The bytes per second, above 0.
    pub bandwidth: Option<f64>,
}

/// The factor that limited the speed of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The link: the rows were ready before it could carry them.
    Link,
    /// Perhaps the plan at the peer. The link is at least as fast.
    Unknown,
}

/// The measurements of the link to one peer.
#[derive(Debug, Default)]
pub(crate) struct LinkMeter {
    given: LinkOverride,
    measured: Mutex<Measured>,
}

#[derive(Debug, Default)]
struct Measured {
    round_trips: VecDeque<Duration>,
    /// Bytes per second.
    rates: VecDeque<f64>,
}

impl LinkMeter {
    pub(crate) fn new(given: LinkOverride) -> Self {
        Self { given, measured: Mutex::default() }
    }

    /// Records the round trip of a small request.
    pub(crate) fn record_round_trip(&self, took: Duration) {
        let mut measured = lock(&self.measured);
        remember(&mut measured.round_trips, took);
    }

    /// Records a stream of rows. Streams that are too short are ignored. Streams that a slow plan may have delayed are
    /// also ignored, unless they were faster than the known speed of the link. A link that seems slow is used less, so
    /// it would rarely be measured again.
    pub(crate) fn record_stream(&self, bytes: u64, took: Duration, pace: Pace) {
        let least = if took < LONG_STREAM { LEAST_STREAM_BYTES } else { LEAST_LONG_STREAM_BYTES };
        if bytes < least || took.is_zero() {
            return;
        }
        let rate = bytes as f64 / took.as_secs_f64();
        if pace == Pace::Link || rate > self.link().bandwidth {
            let mut measured = lock(&self.measured);
            remember(&mut measured.rates, rate);
        }
    }

    /// Returns the link as measured. The fastest round trip and the fastest stream count, because any other work of the
    /// two nodes makes them slower. A figure without a measurement has its default.
    pub(crate) fn link(&self) -> Link {
        let default = Link::default();
        let measured = lock(&self.measured);
        // A shorter time is mostly the time to wake tasks, not that of the link.
        let latency = measured.round_trips.iter().min().map(|quickest| (*quickest).max(default.latency));
        let bandwidth = measured.rates.iter().copied().max_by(f64::total_cmp);
        let given = self.given.bandwidth.filter(|b| b.is_finite() && *b > 0.0);
        Link {
            latency: self.given.latency.or(latency).unwrap_or(default.latency),
            bandwidth: given.or(bandwidth).unwrap_or(default.bandwidth),
        }
    }
}

/// The measurement of one stream of rows.
#[derive(Debug)]
pub(crate) struct StreamMeter {
    link: Arc<LinkMeter>,
    first_batch: Option<Instant>,
    /// The bytes after the first batch, whose own transfer was not timed.
    bytes: u64,
    blocked: Duration,
}

impl StreamMeter {
    pub(crate) fn new(link: Arc<LinkMeter>) -> Self {
        Self { link, first_batch: None, bytes: 0, blocked: Duration::ZERO }
    }

    /// Records a batch that has arrived.
    pub(crate) fn received(&mut self, bytes: usize) {
        match self.first_batch {
            None => self.first_batch = Some(Instant::now()),
            Some(_) => self.bytes += bytes as u64,
        }
    }

    /// Records the time that the reader let rows wait.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.blocked += time;
    }

    /// Ends the measurement. A stream that mostly waited for its reader does not count.
    pub(crate) fn finish(&self, summary: &FragmentSummary) {
        let Some(took) = self.first_batch.map(|first| first.elapsed()) else { return };
        if self.blocked < took / 2 {
            self.link.record_stream(self.bytes, took, pace(summary, took));
        }
    }
}

/// Returns `Link` if the sender produced its rows in less than half of the time in which they arrived.
fn pace(summary: &FragmentSummary, took: Duration) -> Pace {
    // The sender reports whole milliseconds.
    let producing = summary.producing_ms.map(|ms| Duration::from_millis(ms.saturating_add(1)));
    if producing.is_some_and(|producing| producing < took / 2) { Pace::Link } else { Pace::Unknown }
}

fn remember<T>(last: &mut VecDeque<T>, value: T) {
    if last.len() == REMEMBERED {
        last.pop_front();
    }
    last.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_measured_is_as_by_default() {
        assert_eq!(LinkMeter::default().link(), Link::default());
    }

    #[test]
    fn the_quickest_of_the_last_round_trips_counts() {
        let meter = LinkMeter::default();
        for ms in [60, 50, 90] {
            meter.record_round_trip(MS * ms);
        }
        assert_eq!(meter.link().latency, MS * 50);
        for _ in 0..REMEMBERED {
            meter.record_round_trip(MS * 80);
        }
        assert_eq!(meter.link().latency, MS * 80, "the latency may increase");
        assert_eq!(meter.measured.lock().map(|m| m.round_trips.len()).ok(), Some(REMEMBERED));
        meter.record_round_trip(Duration::from_nanos(10));
        assert_eq!(meter.link().latency, Link::default().latency);
    }

    #[test]
    fn the_fastest_of_the_last_long_streams_counts() {
        let meter = LinkMeter::default();
        meter.record_stream(LEAST_STREAM_BYTES - 1, LONG_STREAM - MS, Pace::Link);
        meter.record_stream(LEAST_LONG_STREAM_BYTES - 1, LONG_STREAM, Pace::Link);
        meter.record_stream(1 << 30, Duration::ZERO, Pace::Link);
        assert_eq!(meter.link().bandwidth, Link::default().bandwidth, "none of the streams counts");
        meter.record_stream(LEAST_LONG_STREAM_BYTES, LONG_STREAM, Pace::Link);
        assert_eq!(meter.link().bandwidth, 262_144.0);
        meter.record_stream(5_000_000, MS * 1000, Pace::Link);
        meter.record_stream(12_500_000, MS * 1000, Pace::Link);
        meter.record_stream(10_000_000, MS * 1000, Pace::Link);
        assert_eq!(meter.link().bandwidth, 12.5e6);
        for _ in 0..REMEMBERED {
            meter.record_stream(1_000_000, MS * 1000, Pace::Link);
        }
        assert_eq!(meter.link().bandwidth, 1e6);
    }

    #[test]
    fn what_is_given_goes_first_each_by_itself() {
        let meter = LinkMeter::new(LinkOverride { latency: Some(MS * 7), bandwidth: None });
        meter.record_round_trip(MS * 50);
        meter.record_stream(10_000_000, MS * 1000, Pace::Link);
        assert_eq!(meter.link(), Link { latency: MS * 7, bandwidth: 10e6 });
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let meter = LinkMeter::new(LinkOverride { latency: None, bandwidth: Some(wrong) });
            assert_eq!(meter.link(), Link::default());
        }
    }

    #[test]
    fn a_stream_that_waited_for_its_reader_does_not_count() {
        let link = Arc::new(LinkMeter::default());
        let mut stream = StreamMeter::new(link.clone());
        stream.received(1 << 20);
        stream.received(4 << 20);
        stream.waited(Duration::from_secs(3600));
        // Longer than twice the millisecond by which a sender's figure may be wrong.
        std::thread::sleep(MS * 3);
        let ready = FragmentSummary { producing_ms: Some(0), ..FragmentSummary::default() };
        stream.finish(&ready);
        assert_eq!(link.link(), Link::default());
        stream.blocked = Duration::ZERO;
        stream.finish(&ready);
        assert_ne!(link.link().bandwidth, Link::default().bandwidth);
    }

    #[test]
    fn a_slow_plan_does_not_make_a_link_slow() {
        let summary = |producing_ms| FragmentSummary { producing_ms, ..FragmentSummary::default() };
        assert_eq!(pace(&summary(Some(3)), MS * 160), Pace::Link);
        assert_eq!(pace(&summary(Some(100)), MS * 160), Pace::Unknown);
        assert_eq!(pace(&summary(Some(u64::MAX)), MS * 160), Pace::Unknown);
        assert_eq!(pace(&summary(None), MS * 160), Pace::Unknown);
        let meter = LinkMeter::default();
        meter.record_stream(1_000_000, MS * 1000, Pace::Unknown);
        assert_eq!(meter.link(), Link::default());
        meter.record_stream(900_000_000, MS * 1000, Pace::Unknown);
        assert_eq!(meter.link().bandwidth, 900e6, "the link is at least as fast");
        meter.record_stream(800_000_000, MS * 1000, Pace::Unknown);
        assert_eq!(meter.measured.lock().map(|m| m.rates.len()).ok(), Some(1));
    }
}
