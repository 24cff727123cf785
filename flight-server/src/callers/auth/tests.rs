//! Tests of users and their passwords.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::User;

fn ann() -> AuthOptions {
    let password_hash = Some(hash_password("se:cret").unwrap());
    let user = User { name: "ann".to_owned(), password_hash, node: true, ..User::default() };
    AuthOptions { users: vec![user], ..AuthOptions::default() }
}

fn authenticator(options: &AuthOptions) -> Result<Authenticator> {
    Authenticator::new(options, false, false, 2)
}

#[tokio::test]
async fn passwords_are_checked() {
    let authenticator = authenticator(&ann()).unwrap();
    let nowhere = CallOrigin::default();
    let identity = authenticator.check("ann", "se:cret".to_owned(), &nowhere).await.unwrap();
    assert_eq!(identity, Identity { principal: Principal::new("ann"), node: true, expires: None });
    for (user, password) in [("ann", "se"), ("ann", ""), ("bob", "se:cret"), ("bob", "")] {
        let error = authenticator.check(user, password.to_owned(), &nowhere).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{user}");
    }
    let error = authenticator.nobody(&nowhere).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.chain().contains("user and password"), "{}", error.chain());
}

#[tokio::test]
async fn one_without_a_password_cannot_give_one() {
    let mut options = ann();
    options.users.push(User { name: "node".to_owned(), node: true, ..User::default() });
    let authenticator = authenticator(&options).unwrap();
    for password in ["", "se:cret"] {
        assert!(authenticator.check("node", password.to_owned(), &CallOrigin::default()).await.is_err());
    }
}

#[test]
fn users_must_make_sense() {
    let mut twice = ann();
    twice.users.push(twice.users[0].clone());
    assert!(authenticator(&twice).is_err());
    for name in ["anonymous", "", "a:b", "a\nb", "a\u{202e}b", "a\u{200d}b"] {
        let mut bad = ann();
        bad.users[0].name = name.to_owned();
        assert!(authenticator(&bad).is_err(), "{name}");
    }
    let mut plain = ann();
    plain.users[0].password_hash = Some("se:cret".to_owned());
    let error = authenticator(&plain).unwrap_err();
    assert!(!error.chain().contains("se:cret"), "{}", error.chain());
}

#[tokio::test]
async fn a_login_error_says_that_only_nodes_can_log_in() {
    let authenticator = authenticator(&AuthOptions::default()).unwrap();
    let nowhere = CallOrigin::default();
    let password = authenticator.check("ann", "se:cret".to_owned(), &nowhere).await.unwrap_err();
    for error in [authenticator.nobody(&nowhere).unwrap_err(), password] {
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.context().ends_with("only the nodes in its `trusted_nodes` can log in"), "{error}");
    }
    let open = Authenticator::new(&AuthOptions::default(), true, false, 2).unwrap();
    let error = open.check("ann", "se:cret".to_owned(), &nowhere).await.unwrap_err();
    assert!(error.context().contains("connect without user and password"), "{error}");
}

#[test]
fn debug_shows_no_hash() {
    let shown = format!("{:?} {:?}", ann(), authenticator(&ann()).unwrap());
    assert!(shown.contains("ann") && !shown.contains("$argon2"), "{shown}");
}
