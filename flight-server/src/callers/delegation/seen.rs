//! The tokens of one node that were used and would still be good.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use portolan_engine::{Error, ErrorKind, Result};
use uuid::Uuid;

/// How many are kept: more than a node sends fragments while its tokens are good.
const MOST: usize = 1 << 20;

/// Tokens, each with when it will not be good any more: those go first.
#[derive(Default)]
pub(super) struct Seen(Mutex<BTreeSet<(u64, Uuid)>>);

impl Seen {
    /// Notes a token; refuses one that is there already. Where all places are taken, no token is believed until one runs
    /// out.
    pub(super) fn first_use(&self, issuer: &str, jti: &str, until: u64, now: u64) -> Result<()> {
        let id = Uuid::parse_str(jti).map_err(|_| denied(format!("what node `{issuer}` signed has no number")))?;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.first().is_some_and(|(until, _)| *until < now) {
            seen.pop_first();
        }
        if seen.contains(&(until, id)) {
            return Err(denied(format!("what node `{issuer}` signed was used before, and is good once")));
        }
        if seen.len() >= MOST {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("node `{issuer}` sent {MOST} fragments within its tokens' time: try again"),
            ));
        }
        seen.insert((until, id));
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
        let (seen, id) = (Seen::default(), Uuid::new_v4().to_string());
        seen.first_use("a", &id, 100, 50).unwrap();
        assert_eq!(seen.first_use("a", &id, 100, 100).unwrap_err().kind(), ErrorKind::PermissionDenied);
        seen.first_use("a", &Uuid::new_v4().to_string(), 200, 101).unwrap();
        assert_eq!(seen.0.lock().unwrap().len(), 1, "what ran out is not kept");
        assert!(seen.first_use("a", "x", 200, 101).is_err());
    }

    #[test]
    fn it_is_bounded() {
        let seen = Seen::default();
        *seen.0.lock().unwrap() = (0..MOST as u128).map(|i| (100, Uuid::from_u128(i))).collect();
        let take = |now| seen.first_use("a", &Uuid::new_v4().to_string(), 200, now);
        assert_eq!(take(100).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        take(101).unwrap();
    }
}
