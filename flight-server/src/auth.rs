//! Who is calling: users with passwords, whose hashes are checked on blocking threads, a few at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use portolan_engine::{Error, ErrorKind, Principal, Result};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::failure::invalid;
use crate::options::AuthOptions;

/// How long a caller waits for its password's turn to be checked.
const TURN: Duration = Duration::from_secs(10);

/// Go's clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) principal: Principal,
    /// Whether it may send fragments.
    pub(crate) node: bool,
}

/// What an `authorization` header holds.
#[derive(PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Nothing, or what drivers send that have nothing to say.
    Nobody,
    /// A token that a login gave.
    Bearer(String),
    /// A user's name and password.
    Basic(String, String),
}

pub(crate) struct Authenticator {
    anonymous: bool,
    users: HashMap<String, KnownUser>,
    turns: Arc<Semaphore>,
    /// Checked for names that nobody has, so that they take as long to refuse as wrong passwords.
    decoy: String,
}

struct KnownUser {
    password_hash: Option<String>,
    identity: Identity,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&String> = self.users.keys().collect();
        f.debug_struct("Authenticator").field("users", &users).finish_non_exhaustive()
    }
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

impl Authorization {
    /// Reads the header.
    pub(crate) fn parse(header: &str) -> Result<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "" => Ok(Self::Nobody),
            "bearer" if rest.is_empty() || rest == "None" => Ok(Self::Nobody),
            "bearer" => Ok(Self::Bearer(rest.to_owned())),
            "basic" => {
                let text = BASE64.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                match text.as_deref().and_then(|text| text.split_once(':')) {
                    Some(("", "")) => Ok(Self::Nobody),
                    Some((user, password)) => Ok(Self::Basic(user.to_owned(), password.to_owned())),
                    None => Err(unauthenticated("the `authorization` header is malformed")),
                }
            }
            _ => Err(unauthenticated("the `authorization` header is neither `Basic` nor `Bearer`")),
        }
    }
}

impl Authenticator {
    pub(crate) fn new(options: &AuthOptions, anonymous: bool, checks: usize) -> Result<Self> {
        let mut users = HashMap::new();
        for user in &options.users {
            if user.name.is_empty() || user.name.contains(':') {
                return Err(invalid(format!("`{}` is no name for a user: it is empty or holds a colon", user.name)));
            }
            if user.name == Principal::anonymous().name() {
                return Err(invalid(format!(
                    "no user may be named `{}`: it is the name of those without one",
                    user.name
                )));
            }
            if user.password_hash.as_ref().is_some_and(|hash| PasswordHash::new(hash).is_err()) {
                let name = &user.name;
                return Err(invalid(format!("the password hash of user `{name}` is no argon2 hash in PHC form")));
            }
            let identity = Identity { principal: user.principal(), node: user.node };
            let known = KnownUser { password_hash: user.password_hash.clone(), identity };
            if users.insert(user.name.clone(), known).is_some() {
                return Err(invalid(format!("there are two users named `{}`", user.name)));
            }
        }
        let decoy = if users.is_empty() { String::new() } else { hash_password("")? };
        Ok(Self { anonymous, users, turns: Arc::new(Semaphore::new(checks.max(1))), decoy })
    }

    /// The identity of callers without a name, where they are let in.
    pub(crate) fn nobody(&self) -> Result<Identity> {
        if self.anonymous {
            // Where users are known, nodes are among them.
            Ok(Identity { principal: Principal::anonymous(), node: self.users.is_empty() })
        } else {
            Err(unauthenticated("this node lets nobody in without user and password"))
        }
    }

    /// Checks a password.
    pub(crate) async fn check(&self, user: &str, password: String) -> Result<Identity> {
        if self.users.is_empty() {
            return Err(unauthenticated("this node has no users: connect without user and password"));
        }
        let turn = timeout(TURN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| Error::new(ErrorKind::ResourceExhausted, "too many logins at once: try again"))?
            .map_err(|e| Error::new(ErrorKind::Internal, "logins ended").with_source(e))?;
        let known = self.users.get(user).filter(|known| known.password_hash.is_some());
        let hash = known.and_then(|known| known.password_hash.clone()).unwrap_or_else(|| self.decoy.clone());
        let matches = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, not with the wait for it.
            let _turn = turn;
            Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok()
        })
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "the password cannot be checked").with_source(e))?;
        match known {
            Some(known) if matches => Ok(known.identity.clone()),
            _ => Err(unauthenticated("user or password is wrong")),
        }
    }
}

pub(crate) fn unauthenticated(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unauthenticated, context)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::User;

    fn ann() -> AuthOptions {
        let password_hash = Some(hash_password("se:cret").unwrap());
        let user = User { name: "ann".to_owned(), password_hash, node: true, ..User::default() };
        AuthOptions { anonymous: None, users: vec![user] }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text))
    }

    #[test]
    fn headers_are_read() {
        let parse = |header: &str| Authorization::parse(header).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert!(parse("") == Authorization::Nobody);
        assert!(parse("Bearer None") == Authorization::Nobody);
        assert!(parse("Bearer ") == Authorization::Nobody);
        assert!(parse("Bearer abc") == Authorization::Bearer("abc".to_owned()));
        assert!(parse(&basic("ann:se:cret")) == Authorization::Basic("ann".to_owned(), "se:cret".to_owned()));
        assert!(parse("Basic YW5uOng") == Authorization::Basic("ann".to_owned(), "x".to_owned()));
        assert!(parse("Basic YW5uOng=") == Authorization::Basic("ann".to_owned(), "x".to_owned()));
        assert!(Authorization::parse("Basic !!").is_err());
        assert!(Authorization::parse("Digest x").is_err());
    }

    #[tokio::test]
    async fn passwords_are_checked() {
        let authenticator = Authenticator::new(&ann(), false, 2).unwrap();
        let identity = authenticator.check("ann", "se:cret".to_owned()).await.unwrap();
        assert_eq!(identity, Identity { principal: Principal::new("ann"), node: true });
        for (user, password) in [("ann", "se"), ("ann", ""), ("bob", "se:cret"), ("bob", "")] {
            let error = authenticator.check(user, password.to_owned()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{user}");
        }
        assert_eq!(authenticator.nobody().unwrap_err().kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn users_must_make_sense() {
        let mut twice = ann();
        twice.users.push(twice.users[0].clone());
        assert!(Authenticator::new(&twice, false, 2).is_err());
        let mut plain = ann();
        plain.users[0].password_hash = Some("se:cret".to_owned());
        let error = Authenticator::new(&plain, false, 2).unwrap_err();
        assert!(!error.chain().contains("se:cret"), "{}", error.chain());
    }

    #[test]
    fn debug_shows_no_hash() {
        let shown = format!("{:?} {:?}", ann(), Authenticator::new(&ann(), false, 2).unwrap());
        assert!(shown.contains("ann") && !shown.contains("$argon2"), "{shown}");
    }
}
