//! Users' passwords: argon2 hashes, checked on blocking threads, a few at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::invalid;
use crate::listener::network;
use crate::options::User;

/// The longest time that a caller waits until the password is checked.
const TURN: Duration = Duration::from_secs(10);
/// The time after which a caller who has waited so long can try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The password hashes of the users that have one.
pub(crate) struct Passwords {
    hashes: HashMap<String, String>,
    turns: Arc<Semaphore>,
    /// The turns of single addresses: half of all turns, so that one address leaves turns to others.
    of_addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    of_one_address: usize,
    /// The hash that is checked for unknown users, so that refusing them takes as long as refusing a wrong password.
    decoy: String,
}

/// The permission to check one password now.
pub(crate) struct Turn {
    _of_address: Option<OwnedSemaphorePermit>,
    _permit: OwnedSemaphorePermit,
}

/// Returns the argon2 hash of a password, in the format of [`User::password_hash`](crate::User::password_hash).
///
/// # Errors
/// `Internal` if the system provides no randomness.
pub fn hash_password(password: &str) -> Result<String> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the password cannot be hashed: {e}")))?;
    Ok(hash.to_string())
}

impl Passwords {
    /// Creates the table of hashes. At most `checks` passwords are checked at once.
    pub(crate) fn new(users: &[User], checks: usize) -> Result<Self> {
        let mut hashes = HashMap::new();
        for user in users {
            let Some(hash) = &user.password_hash else { continue };
            if PasswordHash::new(hash).is_err() {
                let name = &user.name;
                return Err(invalid(format!("the password hash of user `{name}` is not an argon2 hash in PHC format")));
            }
            hashes.insert(user.name.clone(), hash.clone());
        }
        let decoy = if hashes.is_empty() { String::new() } else { hash_password("")? };
        let turns = Arc::new(Semaphore::new(checks.max(1)));
        Ok(Self { hashes, turns, of_addresses: Mutex::default(), of_one_address: (checks / 2).max(1), decoy })
    }

    /// True if no user has a password.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Waits until a password from `address` may be checked.
    pub(crate) async fn turn(&self, address: Option<IpAddr>) -> Result<Turn> {
        let turn = async {
            let of_address = match address {
                Some(address) => Some(self.of_address(address).acquire_owned().await?),
                None => None,
            };
            Ok::<_, AcquireError>(Turn { _of_address: of_address, _permit: self.turns.clone().acquire_owned().await? })
        };
        let turn = timeout(TURN, turn).await.map_err(|_| {
            Error::new(ErrorKind::ResourceExhausted, "too many logins at once: try again").with_retry_after(RETRY_AFTER)
        })?;
        turn.map_err(|e| Error::new(ErrorKind::Internal, "the queue of logins is closed").with_source(e))
    }

    /// Returns the turns of an address.
    fn of_address(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut turns = lock(&self.of_addresses);
        // Unused ones are removed when the list has doubled.
        if turns.len().is_power_of_two() {
            turns.retain(|_, own| Arc::strong_count(own) > 1);
        }
        turns.entry(network(address)).or_insert_with(|| Arc::new(Semaphore::new(self.of_one_address))).clone()
    }

    /// True if `password` is the password of `user`.
    pub(crate) async fn matches(&self, turn: Turn, user: &str, password: String) -> Result<bool> {
        let known = self.hashes.get(user);
        let hash = known.unwrap_or(&self.decoy).clone();
        let matches = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, even if the caller no longer waits for it.
            let _turn = turn;
            Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok()
        })
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "the password cannot be checked").with_source(e))?;
        Ok(matches && known.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn an_address_leaves_turns_to_others() {
        let passwords = Passwords::new(&[], 2).unwrap();
        let at = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let held = passwords.turn(at(1)).await.unwrap();
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, passwords.turn(at(1))).await.is_err());
        let other = passwords.turn(at(2)).await.unwrap();
        assert!(timeout(soon, passwords.turn(at(3))).await.is_err());
        drop((held, other));
        for last in 0..100 {
            passwords.turn(at(last)).await.unwrap();
        }
        assert!(lock(&passwords.of_addresses).len() <= 4);
    }
}
