//! Secrets can be written in three ways, and are never shown.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::SourceOptions;
use crate::secret::Secret;

#[test]
fn options_are_typed_and_reject_unknown_keys() {
    let options: SourceOptions = serde_json::from_str(
        r#"{"max_files": 5, "s3": {"endpoint": "http://localhost:1", "secret_access_key": "hunter2",
            "access_key_id": {"env": "PORTOLAN_TEST_UNSET"}, "allow_http": true}}"#,
    )
    .unwrap();
    assert_eq!(options.max_files, 5);
    assert!(options.s3.allow_http);
    let shown = format!("{options:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let error = serde_json::from_str::<SourceOptions>(r#"{"s3": {"secret_acess_key": "hunter2"}}"#).unwrap_err();
    assert!(error.to_string().contains("secret_acess_key"), "{error}");
}

#[test]
fn credentials_without_a_place_to_go_to_are_found() {
    let unbound = |text: &str| serde_json::from_str::<SourceOptions>(text).unwrap().unbound();
    assert!(unbound(r#"{"s3": {"endpoint": "https://a.example"}, "http": {"hosts": ["a.example"]}}"#).is_empty());
    let found = unbound(r#"{"s3": {"session_token": "x"}, "http": {"username": "x"}, "database": {"user": "x"}}"#);
    assert_eq!(found, [("s3", "buckets"), ("http", "hosts"), ("database", "host")]);
    assert_eq!(unbound(r#"{"database": {"password": {"env": "X"}}}"#), [("database", "host")]);
    assert!(unbound(r#"{"database": {"host": "db", "user": "x"}}"#).is_empty());
    let bound = r#"{"s3": {"access_key_id": "x", "buckets": ["*"]}, "azure": {"sas_token": "x", "containers": ["a"]},
                    "gcs": {"service_account_path": "x", "buckets": ["a"]}}"#;
    assert!(unbound(bound).is_empty());
    let options: SourceOptions = serde_json::from_str(
        r#"{"s3": {"access_key_id": {"file": "id"}, "secret_access_key": "x"}, "gcs": {"service_account_path": "key"}}"#,
    )
    .unwrap();
    assert_eq!(options.secret_files().collect::<Vec<_>>(), [Path::new("id"), Path::new("key")]);
}

#[test]
fn the_path_of_every_secret_can_be_changed() {
    let secret = r#"{"file": "x"}"#;
    let text = r#"{"s3": {"access_key_id": @, "secret_access_key": @, "session_token": @},
                   "gcs": {"service_account_path": "x", "service_account_key": @},
                   "azure": {"access_key": @, "sas_token": @, "bearer_token": @},
                   "http": {"bearer_token": @, "password": @}, "database": {"password": @, "ca": "x"}}"#;
    let mut options: SourceOptions = serde_json::from_str(&text.replace('@', secret)).unwrap();
    options.named_files_mut().for_each(|path| *path = Path::new("/config").join(&*path));
    assert_eq!(options.secret_files().collect::<Vec<_>>(), [Path::new("/config/x"); 11]);
    assert_eq!(options.database.ca.as_deref(), Some(Path::new("/config/x")), "no secret, but a path of the config");
}

#[test]
fn a_secret_of_the_wrong_form_is_not_repeated() {
    for bad in ["4711", "-4711", "4711.5", "true", r#"{"env": "A", "file": "B"}"#, r#"{"hunter2": "x"}"#, "{}"] {
        let error = serde_json::from_str::<Secret>(bad).unwrap_err().to_string();
        assert!(error.contains("{env: NAME}") && !error.contains("4711") && !error.contains("hunter2"), "{error}");
    }
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
}

#[test]
fn secrets_come_from_files_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "hunter2\n").unwrap();
    let text = serde_json::json!({ "file": path }).to_string();
    assert_eq!(serde_json::from_str::<Secret>(&text).unwrap().reveal().unwrap(), "hunter2");
    let home = serde_json::from_str::<Secret>(r#"{"env": "PATH"}"#).unwrap();
    assert_eq!(home.reveal().unwrap(), std::env::var("PATH").unwrap());
    let unset = serde_json::from_str::<Secret>(r#"{"env": "PORTOLAN_TEST_UNSET"}"#).unwrap();
    assert!(unset.reveal().unwrap_err().contains("PORTOLAN_TEST_UNSET"));
}

#[test]
fn the_options_of_a_database_have_bounds() {
    let faults = |text: &str| {
        let options: SourceOptions = serde_json::from_str(&format!(r#"{{"database": {text}}}"#)).unwrap();
        options.database.faults().into_iter().map(|fault| (fault.key, fault.message)).collect::<Vec<_>>()
    };
    assert_eq!(faults("{}"), []);
    assert_eq!(faults(r#"{"host": "db", "user": "u", "password": "p", "tls": "verify", "ca": "ca.pem"}"#), []);
    for host in ["db.example.org", "db:5432", "10.0.0.1:1", "::1", "[::1]", "[::1]:5432"] {
        assert_eq!(faults(&format!(r#"{{"host": "{host}"}}"#)), [], "{host}");
    }
    for host in ["", "db:", "db:0", "db:65536", "a,b", "me:hunter2@db", "postgres://db", "/run/postgresql", "[db]:1"] {
        let found = faults(&format!(r#"{{"host": "{host}"}}"#));
        assert!(matches!(found.as_slice(), [("host", message)] if !message.contains("hunter2")), "{host}: {found:?}");
    }
    let found = faults(r#"{"password": "p", "tls": "disable", "ca": "x"}"#);
    assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["password", "ca"]);
    for (key, within, beyond) in [
        ("connections", [1, 1000], [0, 1001]),
        ("scan_connections", [1, 64], [0, 65]),
        ("connect_timeout", [1, 600], [0, 601]),
    ] {
        for value in within {
            assert_eq!(faults(&format!(r#"{{"{key}": {value}}}"#)), []);
        }
        for value in beyond {
            let found = faults(&format!(r#"{{"{key}": {value}}}"#));
            let expected = format!("expected a number from {} to {}, got {value}", within[0], within[1]);
            assert_eq!(found, [(key, expected)]);
        }
    }
    assert_eq!(faults(r#"{"connection_wait": 0}"#), []);
    assert_eq!(faults(r#"{"connection_wait": 3601}"#).len(), 1);
    let error = serde_json::from_str::<SourceOptions>(r#"{"database": {"pasword": "hunter2"}}"#).unwrap_err();
    assert!(error.to_string().contains("pasword") && !error.to_string().contains("hunter2"), "{error}");
}
