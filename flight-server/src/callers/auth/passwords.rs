//! Users' passwords: argon2 hashes, checked on blocking threads, a few at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use portolan_engine::{Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::invalid;
use crate::options::User;

/// How long a caller waits for its password's turn to be checked.
const TURN: Duration = Duration::from_secs(10);

/// The passwords of those who have one.
pub(crate) struct Passwords {
    hashes: HashMap<String, String>,
    turns: Arc<Semaphore>,
    /// Checked for names that nobody has, so that they take as long to refuse as wrong passwords.
    decoy: String,
}

/// The right to have a password checked now.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

/// The argon2 hash of a password, in the form that [`User::password_hash`](crate::User::password_hash) takes.
///
/// # Errors
/// `Internal` where the system has no randomness to give.
pub fn hash_password(password: &str) -> Result<String> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the password cannot be hashed: {e}")))?;
    Ok(hash.to_string())
}

impl Passwords {
    /// At most `checks` are checked at once.
    pub(crate) fn new(users: &[User], checks: usize) -> Result<Self> {
        let mut hashes = HashMap::new();
        for user in users {
            let Some(hash) = &user.password_hash else { continue };
            if PasswordHash::new(hash).is_err() {
                let name = &user.name;
                return Err(invalid(format!("the password hash of user `{name}` is no argon2 hash in PHC form")));
            }
            hashes.insert(user.name.clone(), hash.clone());
        }
        let decoy = if hashes.is_empty() { String::new() } else { hash_password("")? };
        Ok(Self { hashes, turns: Arc::new(Semaphore::new(checks.max(1))), decoy })
    }

    /// Whether nobody has one.
    pub(crate) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Waits until a password may be checked.
    pub(crate) async fn turn(&self) -> Result<Turn> {
        timeout(TURN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| Error::new(ErrorKind::ResourceExhausted, "too many logins at once: try again"))?
            .map(|permit| Turn { _permit: permit })
            .map_err(|e| Error::new(ErrorKind::Internal, "logins ended").with_source(e))
    }

    /// Whether `password` is that of `user`.
    pub(crate) async fn matches(&self, turn: Turn, user: &str, password: String) -> Result<bool> {
        let known = self.hashes.get(user);
        let hash = known.unwrap_or(&self.decoy).clone();
        let matches = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, not with the wait for it.
            let _turn = turn;
            Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok()
        })
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "the password cannot be checked").with_source(e))?;
        Ok(matches && known.is_some())
    }
}
