//! How fast the link to a peer is: measured while nodes talk, unless the owner of the config knows better.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portolan_connectors::{FragmentSummary, lock};

/// How many measurements count: as many of the last ones.
const REMEMBERED: usize = 16;
/// Shorter streams say more of buffers than of the link.
const LEAST_STREAM_BYTES: u64 = 256 << 10;

/// The speed of the link between two nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    /// Time of a round trip.
    pub(crate) latency: Duration,
    /// Bytes a second.
    pub(crate) bandwidth: f64,
}

impl Default for Link {
    /// Two nodes on one machine or in one rack.
    fn default() -> Self {
        Self { latency: Duration::from_micros(500), bandwidth: 500e6 }
    }
}

/// What is known of the link to a peer from elsewhere; it goes before what is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkOverride {
    /// Time of a round trip.
    pub latency: Option<Duration>,
    /// Bytes a second, above 0.
    pub bandwidth: Option<f64>,
}

/// What set the pace of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The rows were there and the link took its time.
    Link,
    /// Perhaps the plan at the peer: the link is at least as fast.
    Unknown,
}

/// Measures the link to one peer.
#[derive(Debug, Default)]
pub(crate) struct LinkMeter {
    given: LinkOverride,
    measured: Mutex<Measured>,
}

#[derive(Debug, Default)]
struct Measured {
    round_trips: VecDeque<Duration>,
    /// Bytes a second.
    rates: VecDeque<f64>,
}

impl LinkMeter {
    pub(crate) fn new(given: LinkOverride) -> Self {
        Self { given, measured: Mutex::default() }
    }

    /// A small question was answered.
    pub(crate) fn record_round_trip(&self, took: Duration) {
        let mut measured = lock(&self.measured);
        remember(&mut measured.round_trips, took);
    }

    /// Rows came. Streams that are too short to tell are left out, and so are those that a slow plan may have held up,
    /// unless they came faster than the link was known to be: a link that looks slow is used less, and would hardly be
    /// measured again.
    pub(crate) fn record_stream(&self, bytes: u64, took: Duration, pace: Pace) {
        if bytes < LEAST_STREAM_BYTES || took.is_zero() {
            return;
        }
        let rate = bytes as f64 / took.as_secs_f64();
        if pace == Pace::Link || rate > self.link().bandwidth {
            let mut measured = lock(&self.measured);
            remember(&mut measured.rates, rate);
        }
    }

    /// The link as it is known now. The quickest round trip and the fastest stream count, since whatever else the two
    /// nodes did then made them slower; what was never measured is as by default.
    pub(crate) fn link(&self) -> Link {
        let default = Link::default();
        let measured = lock(&self.measured);
        // Below the default it is the time that tasks take to be woken, which says nothing of the link.
        let latency = measured.round_trips.iter().min().map(|quickest| (*quickest).max(default.latency));
        let bandwidth = measured.rates.iter().copied().max_by(f64::total_cmp);
        let given = self.given.bandwidth.filter(|b| b.is_finite() && *b > 0.0);
        Link {
            latency: self.given.latency.or(latency).unwrap_or(default.latency),
            bandwidth: given.or(bandwidth).unwrap_or(default.bandwidth),
        }
    }
}

/// Measures one stream of rows.
#[derive(Debug)]
pub(crate) struct StreamMeter {
    link: Arc<LinkMeter>,
    first_batch: Option<Instant>,
    /// Bytes after the first batch, whose own way was not timed.
    bytes: u64,
    blocked: Duration,
}

impl StreamMeter {
    pub(crate) fn new(link: Arc<LinkMeter>) -> Self {
        Self { link, first_batch: None, bytes: 0, blocked: Duration::ZERO }
    }

    /// A batch came.
    pub(crate) fn received(&mut self, bytes: usize) {
        match self.first_batch {
            None => self.first_batch = Some(Instant::now()),
            Some(_) => self.bytes += bytes as u64,
        }
    }

    /// The reader let rows wait for this long.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.blocked += time;
    }

    /// The stream is at its end. One that mostly waited for its reader says nothing of the link.
    pub(crate) fn finish(&self, summary: &FragmentSummary) {
        let Some(took) = self.first_batch.map(|first| first.elapsed()) else { return };
        if self.blocked < took / 2 {
            self.link.record_stream(self.bytes, took, pace(summary, took));
        }
    }
}

/// The link set the pace where the sender had its rows in less than half of the time in which they came.
fn pace(summary: &FragmentSummary, took: Duration) -> Pace {
    // What the sender says is in whole milliseconds.
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
        assert_eq!(meter.link().latency, MS * 80, "the way may get longer");
        assert_eq!(meter.measured.lock().map(|m| m.round_trips.len()).ok(), Some(REMEMBERED));
        meter.record_round_trip(Duration::from_nanos(10));
        assert_eq!(meter.link().latency, Link::default().latency);
    }

    #[test]
    fn the_fastest_of_the_last_long_streams_counts() {
        let meter = LinkMeter::default();
        meter.record_stream(LEAST_STREAM_BYTES - 1, MS, Pace::Link);
        meter.record_stream(1 << 30, Duration::ZERO, Pace::Link);
        assert_eq!(meter.link().bandwidth, Link::default().bandwidth, "neither says anything");
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
        stream.received(1 << 20);
        stream.waited(Duration::from_secs(3600));
        // Longer than twice the millisecond that a sender's figure may be off.
        std::thread::sleep(MS * 3);
        let ready = FragmentSummary { producing_ms: Some(0), ..FragmentSummary::default() };
        stream.finish(&ready);
        assert_eq!(link.link(), Link::default());
        stream.blocked = Duration::ZERO;
        stream.finish(&ready);
        assert!(link.link().bandwidth < Link::default().bandwidth);
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
        assert_eq!(meter.link().bandwidth, 900e6, "it is at least so fast");
        meter.record_stream(800_000_000, MS * 1000, Pace::Unknown);
        assert_eq!(meter.measured.lock().map(|m| m.rates.len()).ok(), Some(1));
    }
}
