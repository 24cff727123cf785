//! The binary as it is started: help, versions, exit codes. That this test exists has cargo build the binary for the
//! end-to-end tests as well.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn portolan(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portolan")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_version_is_printed() {
    let (code, out, _) = portolan(&["--version"]);
    assert_eq!((code, out.trim()), (Some(0), concat!("portolan ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_help_has_the_commands_and_the_variables() {
    let (code, out, _) = portolan(&["--help"]);
    assert_eq!(code, Some(0));
    for part in [
        "portolan demo",
        "init",
        "product",
        "serve",
        "sql",
        "audit",
        "node-key",
        "PORTOLAN_URL",
        "PORTOLAN_PASSWORD",
        "PORTOLAN_RC",
        "PORTOLAN_LOG",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
}

#[test]
fn an_unknown_command_is_a_wrong_argument() {
    let (code, out, err) = portolan(&["sreve"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("serve"), "{err}");
}

#[test]
fn an_error_names_a_missing_config() {
    let (code, out, err) = portolan(&["serve", "--config", "/nowhere/node.yaml"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("/nowhere/node.yaml"), "{err}");
}
