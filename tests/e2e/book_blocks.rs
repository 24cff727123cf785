//! The code blocks of the book's first pages, which run as a reader would run them, and print what the pages show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod page;
mod reader;

use std::process::Command;

use page::steps;
use portolan_tests::mesh::{Mesh, within};
use reader::Reader;

/// The source of the programs that the tests compile.
const PROGRAMS: &str = include_str!("book_programs.rs");

/// Follows a page, whose path starts from the root of the repository. Its statements go to the gateway of the demo, until
/// the page starts a node of its own.
async fn follow(page: &'static str) {
    let path = format!("{}/../{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let steps = steps(&text).unwrap_or_else(|e| panic!("{page}: {e}"));
    assert!(!steps.is_empty(), "{page} has no blocks to run");
    let gateway = Mesh::shared().await.gateway().url();
    let read = move || {
        let mut reader = Reader::new(&steps, gateway.trim_start_matches("grpc://"));
        for step in &steps {
            reader.follow(step, PROGRAMS).unwrap_or_else(|e| panic!("{page}, line {}: {e}", step.line));
        }
    };
    within(600, async { tokio::task::spawn_blocking(read).await.unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_shows_what_happens() {
    follow("README.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_chapter_shows_what_happens() {
    follow("docs/src/start.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chapter_about_the_first_product_shows_what_happens() {
    follow("docs/src/first-product.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chapter_about_the_prompt_shows_what_happens() {
    follow("docs/src/sql.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_of_the_chapter_about_the_library_are_compiled() {
    follow("docs/src/library.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorial_about_policies_shows_what_happens() {
    follow("docs/src/policies.md").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chapter_about_deploying_shows_what_happens() {
    let version = Command::new("openssl").arg("version").output();
    if !version.is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3")) {
        assert!(std::env::var_os("CI").is_none(), "the test needs OpenSSL 3");
        eprintln!("SKIPPED: OpenSSL 3 is missing, so the commands for certificates are NOT tested");
        return;
    }
    follow("docs/src/deploying.md").await;
}
