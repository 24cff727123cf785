//! Each crate is built in floors: a module imports only what stands below it. ARCHITECTURE.md shows the floors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::path::Path;

use portolan_tests::floors::{Floors, upward};

/// The floors of each crate, the lowest first.
const CRATES: [Floors; 9] = [
    Floors {
        crate_folder: "audit",
        order: &[
            "error",
            "settings",
            "digest",
            "clock",
            "entry",
            "line",
            "bounds",
            "segment",
            "backward",
            "recovery",
            "retention",
            "chain",
            "queue",
            "open_read",
            "reply",
            "writer",
            "store",
            "verify",
            "reads",
        ],
        exceptions: &[],
    },
    Floors {
        crate_folder: "catalog",
        order: &[
            "printable",
            "names",
            "nearest",
            "diagnostic",
            "yaml",
            "statistics",
            "text_format",
            "rules",
            "model",
            "logical_type",
            "sql_string",
            "sql_type",
            "server_rules",
            "schema",
            "odcs",
            "odps",
            "source",
            "mesh",
            "lint",
            "load",
            "received",
        ],
        exceptions: &[],
    },
    Floors {
        crate_folder: "governance",
        order: &[
            "time",
            "statements",
            "caller",
            "condition",
            "mask",
            "mask_key",
            "entity",
            "decision",
            "operators",
            "scope",
            "rule",
            "agreement",
            "schema",
            "files",
            "residual",
            "policies",
            "later",
            "describe",
            "evaluation",
            "decide",
            "validate",
            "warnings",
            "resolve",
            "refused",
            "cache",
        ],
        exceptions: &[],
    },
    Floors {
        crate_folder: "connectors",
        order: &[
            "addresses",
            "crypto",
            "poison",
            "secret",
            "source_options",
            "error",
            "data_fault",
            "panics",
            "fence",
            "file_calls",
            "writers",
            "principal",
            "trace",
            "refusal",
            "sql",
            "capabilities",
            "label",
            "fragment",
            "decisions",
            "site",
            "peer",
            "source",
            "local_file",
            "closed",
            "statistics",
            "open",
            "databases",
            "postgres",
            "mysql",
            "sqlite",
            "files",
            "sources",
            "node",
        ],
        // One file of `databases` creates the drivers.
        exceptions: &[("databases", "postgres"), ("databases", "mysql"), ("databases", "sqlite")],
    },
    Floors {
        crate_folder: "engine",
        order: &[
            "limits",
            "settings",
            "progress",
            "metrics",
            "mesh",
            "execution",
            "visit",
            "bounds",
            "functions",
            "masks",
            "dialect",
            "upstream",
            "state",
            "names",
            "encode",
            "plan",
            "planner",
            "derived",
            "exchange",
            "explain",
            "query",
            "session",
            "engine",
            "connect",
            "server",
        ],
        // A session returns the engine that opened it.
        exceptions: &[("session", "engine")],
    },
    Floors {
        crate_folder: "flight-server",
        order: &[
            "failure",
            "options",
            "listener",
            "dispatch",
            "callers",
            "rows",
            "statements",
            "metadata",
            "calls",
            "health",
            "server",
        ],
        exceptions: &[],
    },
    Floors {
        crate_folder: "node",
        order: &[
            "error",
            "units",
            "client",
            "host",
            "process",
            "digest",
            "config",
            "progress",
            "draft",
            "peers",
            "state",
            "status",
            "metrics",
            "telemetry",
            "admin",
            "open",
            "audit",
            "policy_files",
            "assemble",
            "product_test",
            "policy",
            "reload",
            "reload_config",
            "watch",
            "serve",
        ],
        exceptions: &[],
    },
    Floors {
        crate_folder: "testbed",
        order: &["descriptors", "calendar", "compare", "copy_text", "leash", "tpch", "mesh", "postgres", "single"],
        exceptions: &[],
    },
    Floors {
        crate_folder: "cli",
        order: &[
            "exit",
            "escaping",
            "terminal",
            "log",
            "units",
            "lexer",
            "render",
            "output",
            "place",
            "local_files",
            "connection",
            "password",
            "login",
            "questions",
            "product",
            "policy",
            "init",
            "repl",
            "sql",
            "lint",
            "catalog",
            "audit",
            "node_key",
            "serve",
            "demo",
        ],
        exceptions: &[],
    },
];

#[test]
fn no_import_goes_up_a_floor() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found: Vec<String> = CRATES
        .iter()
        .flat_map(|floors| upward(&workspace, floors).unwrap_or_else(|e| panic!("{e}")))
        .map(|import| import.to_string())
        .collect();
    assert!(found.is_empty(), "{} imports go up a floor:\n{}", found.len(), found.join("\n"));
}

/// Writes a crate of four modules. `below` may not import `above`, however the import is written.
fn fixture(below: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("lib.rs", "mod above;\nmod below;\nmod lowest;\npub use above::Roof;\n"),
        ("lowest.rs", "pub struct Ground;\n"),
        ("below.rs", below),
        ("above/mod.rs", "pub mod deep;\npub use deep::*;\npub use crate::lowest::Ground;\npub struct Roof;\n"),
        ("above/deep.rs", "pub struct Beam;\npub use Beam as Pillar;\n"),
    ];
    for (name, text) in files {
        let file = folder.path().join("house/src").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let floors = Floors { crate_folder: "house", order: &["lowest", "below", "above"], exceptions: &[] };
    let found = upward(folder.path(), &floors).unwrap();
    found.into_iter().map(|import| import.path).collect()
}

#[test]
fn an_import_that_goes_up_is_found() {
    let up = [
        ("use crate::above::Roof;", "crate::above::Roof"),
        ("use super::above::deep::Beam;", "super::above::deep::Beam"),
        ("use crate::Roof;", "crate::Roof"),
        ("use crate::{above::{self as roof}, lowest::Ground};", "crate::above"),
        ("use crate::above::*;", "crate::above"),
        ("fn f() -> crate::above::Pillar { todo!() }", "crate::above::Pillar"),
        ("fn f() { println!(\"{:?}\", crate::above::Roof); }", "crate::above::Roof"),
        ("fn f() { use super::above::Beam; }", "super::above::Beam"),
    ];
    for (text, path) in up {
        assert_eq!(fixture(text), [path], "{text}");
    }
    let right = [
        "use crate::lowest::Ground;",
        // An item that `above` only re-exports belongs to the module that defines it.
        "use crate::above::Ground;",
        "use std::fmt::Debug;",
        "#[cfg(test)]\nmod tests { use crate::above::Roof; }",
        "#[cfg(any(test, feature = \"testing\"))]\nfn f() { crate::above::f(); }",
    ];
    for text in right {
        assert_eq!(fixture(text), [] as [&str; 0], "{text}");
    }
}
