//! Users' passwords: argon2 hashes, checked on blocking threads, a few at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::invalid;
use crate::options::User;

/// The longest time that a caller waits until the password is checked.
const TURN: Duration = Duration::from_secs(10);

/// The password hashes of the users that have one.
pub(crate) struct Passwords {
    hashes: HashMap<String, String>,
    turns: Arc<Semaphore>,
    /// The hash that is checked for unknown users, so that refusing them takes as long as refusing a wrong password.
    decoy: String,
}

/// The permission to check one password now.
pub(crate) struct Turn {
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
        Ok(Self { hashes, turns: Arc::new(Semaphore::new(checks.max(1))), decoy })
    }

    /// True if no user has a password.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Waits until a password may be checked.
    pub(crate) async fn turn(&self) -> Result<Turn> {
        timeout(TURN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| Error::new(ErrorKind::ResourceExhausted, "too many logins at once: try again"))?
            .map(|permit| Turn { _permit: permit })
            .map_err(|e| Error::new(ErrorKind::Internal, "the queue of logins is closed").with_source(e))
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
