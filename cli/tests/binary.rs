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
fn it_tells_its_version() {
    let (code, out, _) = portolan(&["--version"]);
    assert_eq!((code, out.trim()), (Some(0), concat!("portolan ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn an_unknown_command_is_a_wrong_argument() {
    let (code, out, err) = portolan(&["sreve"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("serve"), "{err}");
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let (code, out, err) = portolan(&["serve", "--config", "/nowhere/node.yaml"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("/nowhere/node.yaml"), "{err}");
}
