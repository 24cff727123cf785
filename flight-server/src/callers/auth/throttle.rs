//! Throttles logins after failures, by name and address, and by address alone. Each failure costs more than the one
//! before. No attempt waits longer than a few seconds, and the record of failures is bounded and expires.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

/// The number of failures after which attempts are delayed. It is above one because people mistype.
const FREE: u32 = 3;
/// The first delay. It doubles with each further failure.
const FIRST_DELAY: Duration = Duration::from_millis(125);
const MAX_DELAY: Duration = Duration::from_secs(4);
/// The longest wait of an attempt. An attempt that would have to wait longer is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest number of waiting attempts.
const MAX_WAITING: usize = 256;
/// The time after the last failure until the entry is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// The largest number of entries.
const MAX_ENTRIES: usize = 10_000;

/// The recent failures, by name and address.
pub(crate) struct Throttle {
    entries: Mutex<HashMap<Key, Entry>>,
    waiting: Arc<Semaphore>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A name from one address, so that nobody at another address can lock out the user.
    Name(String, Option<IpAddr>),
    Address(IpAddr),
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
    /// The earliest time of the next attempt.
    next: Instant,
}

/// The keys of a login in the throttle.
#[derive(Clone)]
pub(crate) struct Attempt {
    keys: Vec<Key>,
    /// The number of failures that the attempt has already waited for.
    paid: u32,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// Returns an attempt to log in from `address`, as `name` if the client sends one.
    pub(crate) fn attempt(name: Option<&str>, address: Option<IpAddr>) -> Attempt {
        let address = address.map(network);
        let name = name.filter(|name| !name.is_empty()).map(|name| Key::Name(shortened(name).to_owned(), address));
        let address = address.map(Key::Address);
        Attempt { keys: name.into_iter().chain(address).collect(), paid: 0 }
    }

    /// Waits as long as earlier failures require. The next call waits for failures that were added meanwhile.
    pub(crate) async fn wait(&self, attempt: &mut Attempt) -> Result<()> {
        let Some(delay) = self.reserve(attempt, Instant::now())? else { return Ok(()) };
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| too_many())?;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// True if there are failures that the attempt has not waited for.
    pub(crate) fn owes(&self, attempt: &Attempt) -> bool {
        let failures = self.failures(attempt, Instant::now());
        failures >= FREE && failures > attempt.paid
    }

    /// Reserves the next place in the queue; `None` if no wait is needed.
    fn reserve(&self, attempt: &mut Attempt, now: Instant) -> Result<Option<Duration>> {
        let mut entries = self.lock();
        let slow: Vec<(&Key, Entry)> = attempt
            .keys
            .iter()
            .filter_map(|key| Some((key, *entries.get(key)?)))
            .filter(|(_, entry)| entry.failures >= FREE && entry.is_remembered(now))
            .collect();
        let Some(start) = slow.iter().map(|(_, entry)| entry.next.max(now)).max() else { return Ok(None) };
        let paid = slow.iter().map(|(_, entry)| entry.failures).max().unwrap_or_default();
        let wait = start.duration_since(now);
        if wait > PATIENCE {
            return Err(too_many());
        }
        for (key, mut entry) in slow {
            entry.next = start + delay(entry.failures);
            entries.insert(key.clone(), entry);
        }
        attempt.paid = paid;
        Ok(Some(wait))
    }

    /// Records a failure, and returns the number of failures.
    pub(crate) fn failed(&self, attempt: &Attempt) -> u32 {
        self.fail(attempt, Instant::now())
    }

    fn fail(&self, attempt: &Attempt, now: Instant) -> u32 {
        let mut entries = self.lock();
        let mut most = 0;
        for key in &attempt.keys {
            if entries.len() >= MAX_ENTRIES && !entries.contains_key(key) {
                make_room(&mut entries, now);
            }
            let entry = entries.entry(key.clone()).or_insert(Entry { failures: 0, last: now, next: now });
            if !entry.is_remembered(now) {
                *entry = Entry { failures: 0, last: now, next: now };
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            entry.next = entry.next.max(now + delay(entry.failures));
            most = most.max(entry.failures);
        }
        most
    }

    /// Forgets the failures of the name, and halves those of the address. Many clients can share an address. A client
    /// with a valid login could otherwise use it to guess other users' passwords.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut entries = self.lock();
        for key in &attempt.keys {
            match (key, entries.get_mut(key)) {
                (Key::Address(_), Some(entry)) if entry.failures > 1 => entry.failures /= 2,
                (_, Some(_)) => drop(entries.remove(key)),
                (_, None) => {}
            }
        }
    }

    fn failures(&self, attempt: &Attempt, now: Instant) -> u32 {
        let entries = self.lock();
        let of = |key: &Key| entries.get(key).filter(|entry| entry.is_remembered(now)).map(|entry| entry.failures);
        attempt.keys.iter().filter_map(of).max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        lock(&self.entries)
    }
}

impl Entry {
    fn is_remembered(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("entries", &self.lock().len()).finish_non_exhaustive()
    }
}

/// Returns the delay before the next attempt after this number of failures.
pub(crate) fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_DELAY.saturating_mul(1 << doublings.min(16)).min(MAX_DELAY),
    }
}

/// Removes expired entries, or else the oldest entry.
fn make_room(entries: &mut HashMap<Key, Entry>, now: Instant) {
    entries.retain(|_, entry| entry.is_remembered(now));
    if entries.len() >= MAX_ENTRIES {
        let oldest = entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
        oldest.map(|key| entries.remove(&key));
    }
}

/// Shortens a name, because unauthenticated clients send names of any length.
pub(crate) fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(128)).unwrap_or_default()
}

/// Returns the network of an address. A client with one IPv6 address usually has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        "too many logins failed for this name or from this address: try again in a few seconds",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ann() -> Attempt {
        Throttle::attempt(Some("ann"), Some([192, 0, 2, 1].into()))
    }

    fn fail_often(throttle: &Throttle, times: usize, now: Instant) {
        for _ in 0..times {
            throttle.fail(&ann(), now);
        }
    }

    #[test]
    fn each_failure_costs_more_up_to_a_bound() {
        assert_eq!(delay(2), Duration::ZERO);
        assert!(delay(3) > Duration::ZERO && delay(4) > delay(3));
        assert_eq!(delay(u32::MAX), MAX_DELAY);
    }

    #[test]
    fn attempts_stand_in_line_and_the_line_is_short() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..20 {
            assert!(throttle.fail(&ann(), now) > 0);
        }
        assert!(throttle.owes(&ann()));
        let first = throttle.reserve(&mut ann(), now).unwrap().unwrap();
        let second = throttle.reserve(&mut ann(), now).unwrap().unwrap();
        assert_eq!((first, second), (MAX_DELAY, 2 * MAX_DELAY));
        assert_eq!(throttle.reserve(&mut ann(), now).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        // Attempts with other names and addresses do not wait.
        let bob = || Throttle::attempt(Some("bob"), Some([192, 0, 2, 2].into()));
        assert_eq!(throttle.reserve(&mut bob(), now).unwrap(), None);
        // The same name at another address does not wait, but other names at the same address do.
        let mut elsewhere = Throttle::attempt(Some("ann"), Some([192, 0, 2, 3].into()));
        assert_eq!(throttle.reserve(&mut elsewhere, now).unwrap(), None);
        assert!(throttle.owes(&Throttle::attempt(Some("eve"), Some([192, 0, 2, 1].into()))));
        assert_eq!(throttle.reserve(&mut ann(), now + MEMORY).unwrap(), None);
    }

    #[test]
    fn one_that_has_waited_owes_what_was_added_meanwhile() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        fail_often(&throttle, 5, now);
        let mut attempt = ann();
        throttle.reserve(&mut attempt, now).unwrap().unwrap();
        assert!(!throttle.owes(&attempt));
        throttle.fail(&ann(), now);
        assert!(throttle.owes(&attempt));
    }

    #[test]
    fn success_forgets_the_name_and_half_of_the_address() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        fail_often(&throttle, 8, now);
        throttle.succeeded(&ann());
        assert_eq!(throttle.failures(&Throttle::attempt(Some("ann"), None), now), 0);
        assert_eq!(throttle.failures(&ann(), now), 4);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for i in 0..MAX_ENTRIES + 10 {
            throttle.fail(&Throttle::attempt(Some(&format!("{i}{}", "x".repeat(500))), None), now);
        }
        let entries = throttle.lock();
        assert_eq!(entries.len(), MAX_ENTRIES);
        assert!(entries.keys().all(|key| matches!(key, Key::Name(name, _) if name.len() <= 128)));
    }

    #[test]
    fn an_address_of_the_sixth_version_is_its_network() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff"));
        assert!(parse("2001:db8::1") != parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), parse("192.0.2.1"));
    }
}
