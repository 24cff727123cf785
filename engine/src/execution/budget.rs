//! Bytes of memory or disk with a limit. A budget can be a part of a larger one, which then counts its bytes too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, ErrorKind, Result, Usage};

/// The end of the error of a budget that is used up.
pub(crate) const REFUSED: &str = "more were requested: try again later";

/// Bytes that are in use, and their limit.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    limit: AtomicUsize,
    /// The setting with the limit, for errors.
    setting: String,
    whole: Option<Arc<Self>>,
}

impl Budget {
    /// Returns a budget with the limit in `setting`.
    pub(crate) fn new(limit: usize, setting: impl Into<String>) -> Arc<Self> {
        Self::part_of(None, limit, setting)
    }

    /// Returns a budget whose bytes also count in `whole`.
    pub(crate) fn part_of(whole: Option<Arc<Self>>, limit: usize, setting: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit: AtomicUsize::new(limit), setting: setting.into(), whole })
    }

    /// Changes the limit. The bytes in use stay, even if there are more.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// `ResourceExhausted` if there are not so many.
    pub(crate) fn take(&self, bytes: usize) -> Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        if let Err(held) = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("{held} of {limit} bytes are in use ({}), and {bytes} {REFUSED}", self.setting),
            ));
        }
        match &self.whole {
            Some(whole) => whole.take(bytes).inspect_err(|_| {
                self.held.fetch_sub(bytes, Ordering::Relaxed);
            }),
            None => Ok(()),
        }
    }

    /// Takes bytes that cannot be refused. They are counted, so that others are refused.
    pub(crate) fn take_anyway(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.take_anyway(bytes);
        }
    }

    /// Returns bytes.
    pub(crate) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give(bytes);
        }
    }

    /// Returns the bytes in use.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns the bytes in use, and the limit.
    pub(crate) fn usage(&self) -> Usage {
        Usage { held: self.held() as u64, limit: self.limit.load(Ordering::Relaxed) as u64 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_part_counts_in_the_whole_and_both_limits_hold() {
        let whole = Budget::new(100, "limits.memory");
        let part = |name: &str| Budget::part_of(Some(whole.clone()), 60, name);
        let (ann, bob) = (part("memory of ann"), part("memory of bob"));
        ann.take(60).unwrap();
        let error = ann.take(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.context().starts_with("60 of 60 bytes are in use (memory of ann), and 1 more"), "{error}");
        let error = bob.take(41).unwrap_err();
        assert!(error.context().contains("limits.memory"), "{error}");
        assert_eq!((bob.held(), whole.held()), (0, 60));
        bob.take(40).unwrap();
        bob.take_anyway(30);
        assert_eq!((bob.held(), whole.usage()), (70, Usage { held: 130, limit: 100 }));
        bob.give(70);
        ann.set_limit(80);
        ann.take(20).unwrap();
        assert!(ann.take(usize::MAX).is_err());
        ann.give(80);
        assert_eq!((ann.held(), bob.held(), whole.held()), (0, 0, 0));
    }
}
