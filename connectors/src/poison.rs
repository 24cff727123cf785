//! Locks that stay usable after a panic of their holder.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also if a thread has panicked while it held the lock.
///
/// Use it only for values that are always consistent, because each change is one step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_poisoned_mutex_can_be_locked() {
        let number = Arc::new(Mutex::new(1));
        let held = number.clone();
        let holder = std::thread::spawn(move || {
            let _held = lock(&held);
            panic!("the holder panics");
        });
        assert!(holder.join().is_err());
        *lock(&number) += 1;
        assert_eq!(*lock(&number), 2);
    }
}
