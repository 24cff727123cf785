//! The used tokens of one node that have not expired.

use std::collections::BTreeSet;
use std::sync::Mutex;

use portolan_connectors::lock;
use portolan_engine::{Error, ErrorKind, Result};
use uuid::Uuid;

/// The largest number of recorded tokens. A node sends fewer fragments while its tokens are valid.
const MOST: usize = 1 << 20;

/// Used tokens, ordered by expiry.
#[derive(Default)]
pub(super) struct UsedTokens(Mutex<BTreeSet<(u64, Uuid)>>);

impl UsedTokens {
    /// Records a token, and refuses a token that was used before. If [`MOST`] tokens are recorded, further tokens are
    /// refused until one expires.
    pub(super) fn first_use(&self, issuer: &str, jti: &str, until: u64, now: u64) -> Result<()> {
        let id =
            Uuid::parse_str(jti).map_err(|_| denied(format!("the token of node `{issuer}` has no valid `jti`")))?;
        let mut used = lock(&self.0);
        while used.first().is_some_and(|(until, _)| *until < now) {
            used.pop_first();
        }
        if used.contains(&(until, id)) {
            return Err(denied(format!("the token of node `{issuer}` was used before, and is valid once")));
        }
        if used.len() >= MOST {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("node `{issuer}` sent {MOST} fragments while their tokens were valid: try again"),
            ));
        }
        used.insert((until, id));
        Ok(())
    }
}

fn denied(context: String) -> Error {
    Error::new(ErrorKind::PermissionDenied, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_token_is_taken_once_and_forgotten_in_time() {
        let (used, id) = (UsedTokens::default(), Uuid::new_v4().to_string());
        used.first_use("a", &id, 100, 50).unwrap();
        assert_eq!(used.first_use("a", &id, 100, 100).unwrap_err().kind(), ErrorKind::PermissionDenied);
        used.first_use("a", &Uuid::new_v4().to_string(), 200, 101).unwrap();
        assert_eq!(used.0.lock().unwrap().len(), 1, "an expired token is dropped");
        assert!(used.first_use("a", "x", 200, 101).is_err());
    }

    #[test]
    fn it_is_bounded() {
        let used = UsedTokens::default();
        *used.0.lock().unwrap() = (0..MOST as u128).map(|i| (100, Uuid::from_u128(i))).collect();
        let take = |now| used.first_use("a", &Uuid::new_v4().to_string(), 200, now);
        assert_eq!(take(100).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        take(101).unwrap();
    }
}
