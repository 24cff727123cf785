//! Throttles logins after failures.
//!
//! - Each failure of a name at an address costs more than the one before, and too many attempts are refused.
//! - Many failures at an address delay attempts with any name, and refuse none. Many users can share an address, and one
//!   of them must not lock out the others.
//!
//! No attempt waits longer than a few seconds, and the record of failures is bounded and expires.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use crate::listener::network;

/// The number of failures of a name after which attempts are delayed. It is above one because people mistype.
const FREE: u32 = 3;
/// The first delay. It doubles with each further failure.
const FIRST_DELAY: Duration = Duration::from_millis(125);
const MAX_DELAY: Duration = Duration::from_secs(4);
/// The number of failures at an address after which attempts are delayed. The delay doubles with each further time this
/// number.
const FREE_AT_ADDRESS: u32 = 100;
const MAX_DELAY_AT_ADDRESS: Duration = Duration::from_secs(2);
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
    /// The earliest time of the next attempt with a name.
    next: Instant,
}

/// The keys of a login in the throttle.
#[derive(Clone)]
pub(crate) struct LoginAttempt {
    name: Option<Key>,
    address: Option<Key>,
    /// The number of failures of the name that the attempt has already waited for.
    paid: u32,
    /// True if the attempt has waited for the failures at the address.
    slowed: bool,
}

/// The waits that an attempt needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Waits {
    for_name: Duration,
    for_address: Duration,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// Returns an attempt to log in from `address`, as `name` if the client sends one.
    pub(crate) fn attempt(name: Option<&str>, address: Option<IpAddr>) -> LoginAttempt {
        let address = address.map(network);
        let name = name.filter(|name| !name.is_empty()).map(|name| Key::Name(shortened(name).to_owned(), address));
        LoginAttempt { name, address: address.map(Key::Address), paid: 0, slowed: false }
    }

    /// Waits as long as earlier failures require. The next call waits for failures that were added meanwhile.
    pub(crate) async fn wait(&self, attempt: &mut LoginAttempt) -> Result<()> {
        let waits = self.reserve(attempt, Instant::now())?;
        let wait = waits.for_name.max(waits.for_address);
        if wait.is_zero() {
            return Ok(());
        }
        match self.waiting.clone().try_acquire_owned() {
            Ok(_permit) => tokio::time::sleep(wait).await,
            Err(_) if !waits.for_name.is_zero() => return Err(too_many(wait)),
            // So many attempts wait for the checks of passwords anyway.
            Err(_) => {}
        }
        Ok(())
    }

    /// True if there are failures of the name that the attempt has not waited for.
    pub(crate) fn owes(&self, attempt: &LoginAttempt) -> bool {
        let failures = self.failures(attempt.name.as_ref(), Instant::now());
        failures >= FREE && failures > attempt.paid
    }

    /// Reserves the next turn of the name.
    fn reserve(&self, attempt: &mut LoginAttempt, now: Instant) -> Result<Waits> {
        let mut entries = self.lock();
        let mut waits = Waits::default();
        if !attempt.slowed {
            waits.for_address = delay_at_address(failures(&entries, attempt.address.as_ref(), now));
        }
        let entry = match &attempt.name {
            Some(name) => entries.get_mut(name),
            None => None,
        };
        if let Some(entry) = entry
            && entry.failures >= FREE
            && entry.is_remembered(now)
        {
            let start = entry.next.max(now);
            waits.for_name = start.duration_since(now);
            if waits.for_name > PATIENCE {
                return Err(too_many(waits.for_name - PATIENCE));
            }
            entry.next = start + delay(entry.failures);
            attempt.paid = entry.failures;
        }
        attempt.slowed = true;
        Ok(waits)
    }

    /// Records a failure, and returns the number of failures of the name, or of the address if there is no name.
    pub(crate) fn failed(&self, attempt: &LoginAttempt) -> u32 {
        self.fail(attempt, Instant::now())
    }

    fn fail(&self, attempt: &LoginAttempt, now: Instant) -> u32 {
        let mut entries = self.lock();
        let mut add = |key: &Key| {
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
            entry.failures
        };
        let at_address = attempt.address.as_ref().map(&mut add);
        let of_name = attempt.name.as_ref().map(&mut add);
        of_name.or(at_address).unwrap_or_default()
    }

    /// Forgets the failures of the name. Those of the address stay, because a client with a valid login could otherwise
    /// use it to guess other users' passwords.
    pub(crate) fn succeeded(&self, attempt: &LoginAttempt) {
        if let Some(name) = &attempt.name {
            self.lock().remove(name);
        }
    }

    fn failures(&self, key: Option<&Key>, now: Instant) -> u32 {
        failures(&self.lock(), key, now)
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

/// Returns the remembered failures of a key.
fn failures(entries: &HashMap<Key, Entry>, key: Option<&Key>, now: Instant) -> u32 {
    let entry = key.and_then(|key| entries.get(key)).filter(|entry| entry.is_remembered(now));
    entry.map_or(0, |entry| entry.failures)
}

/// Returns the delay before the next attempt after this number of failures of a name.
pub(crate) fn delay(failures: u32) -> Duration {
    doubled(failures.checked_sub(FREE), MAX_DELAY)
}

/// Returns the delay of each attempt after this number of failures at its address.
fn delay_at_address(failures: u32) -> Duration {
    doubled((failures / FREE_AT_ADDRESS).checked_sub(1), MAX_DELAY_AT_ADDRESS)
}

fn doubled(times: Option<u32>, most: Duration) -> Duration {
    times.map_or(Duration::ZERO, |times| FIRST_DELAY.saturating_mul(1 << times.min(16)).min(most))
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

fn too_many(retry_after: Duration) -> Error {
    let what = "too many logins failed for this name from this address: try again in a few seconds";
    Error::new(ErrorKind::ResourceExhausted, what).with_retry_after(retry_after.max(FIRST_DELAY))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ann() -> LoginAttempt {
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
        assert_eq!((delay_at_address(99), delay_at_address(199)), (Duration::ZERO, FIRST_DELAY));
        assert_eq!((delay_at_address(200), delay_at_address(u32::MAX)), (2 * FIRST_DELAY, MAX_DELAY_AT_ADDRESS));
    }

    #[test]
    fn attempts_stand_in_line_and_the_line_is_short() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..20 {
            assert!(throttle.fail(&ann(), now) > 0);
        }
        assert!(throttle.owes(&ann()));
        let first = throttle.reserve(&mut ann(), now).unwrap();
        let second = throttle.reserve(&mut ann(), now).unwrap();
        assert_eq!((first.for_name, second.for_name), (MAX_DELAY, 2 * MAX_DELAY));
        let error = throttle.reserve(&mut ann(), now).unwrap_err();
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ErrorKind::ResourceExhausted, Some(2 * Duration::from_secs(1)))
        );
        // Other names at the same address, and the same name at another address, do not wait.
        let others = [("eve", 1), ("bob", 2), ("ann", 3)];
        for (name, last) in others {
            let mut other = Throttle::attempt(Some(name), Some([192, 0, 2, last].into()));
            assert_eq!(throttle.reserve(&mut other, now).unwrap(), Waits::default(), "{name}");
            assert!(!throttle.owes(&other));
        }
        assert_eq!(throttle.reserve(&mut ann(), now + MEMORY).unwrap(), Waits::default());
    }

    #[test]
    fn one_that_has_waited_owes_what_was_added_meanwhile() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        fail_often(&throttle, 5, now);
        let mut attempt = ann();
        assert!(throttle.reserve(&mut attempt, now).unwrap().for_name > Duration::ZERO);
        assert!(!throttle.owes(&attempt));
        throttle.fail(&ann(), now);
        assert!(throttle.owes(&attempt));
    }

    #[test]
    fn many_failures_slow_an_address_down_and_lock_nobody_out() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for guess in 0..1000 {
            throttle.fail(&Throttle::attempt(Some(&format!("user {guess}")), Some([192, 0, 2, 1].into())), now);
        }
        for _ in 0..100 {
            let mut attempt = ann();
            let waits = throttle.reserve(&mut attempt, now).unwrap();
            assert_eq!(waits, Waits { for_name: Duration::ZERO, for_address: MAX_DELAY_AT_ADDRESS });
            assert!(!throttle.owes(&attempt));
            assert_eq!(throttle.reserve(&mut attempt, now).unwrap(), Waits::default(), "an attempt waits once");
        }
    }

    #[test]
    fn success_forgets_the_name_and_nothing_else() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let eve = Throttle::attempt(Some("eve"), Some([192, 0, 2, 1].into()));
        fail_often(&throttle, 8, now);
        throttle.fail(&eve, now);
        throttle.succeeded(&eve);
        let of = |key: &Option<Key>| throttle.failures(key.as_ref(), now);
        assert_eq!([of(&eve.name), of(&ann().name), of(&eve.address)], [0, 8, 9]);
        throttle.succeeded(&ann());
        assert_eq!([of(&ann().name), of(&eve.address)], [0, 9]);
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
}
