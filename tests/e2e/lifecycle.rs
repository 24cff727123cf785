//! The demo as a process: its output, and that it leaves nothing behind however it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portolan_engine::ErrorKind;
use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::mesh::free_addresses;
use portolan_tests::mesh::{SCALE, cache_home, data, until, within};
use portolan_tests::node::{is_running, output, program, run, signal};
use portolan_tests::rows::count;
use portolan_tests::terminal::Prompt;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// The demo with `--serve`, which is killed when this value is dropped.
struct Demo {
    child: Child,
    ready: Value,
}

impl Demo {
    fn start() -> Self {
        Self::start_by(command(&[]))
    }

    fn start_by(mut command: Command) -> Self {
        data();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the demo said `{line}`"));
        Self { child, ready }
    }

    fn pids(&self) -> Vec<u32> {
        let nodes = self.ready["nodes"].as_array().unwrap().iter().chain([&self.ready["gateway"]]);
        nodes.map(|node| node["pid"].as_u64().unwrap() as u32).collect()
    }
}

/// Returns the command that starts the demo with `--serve` and these arguments.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["demo", "--serve", "--scale", &SCALE.to_string()]).args(arguments);
    command.env("XDG_CACHE_HOME", cache_home()).env_remove("PORTOLAN_PASSWORD");
    command
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_leaves_no_process_behind() {
    within(240, async {
        for ending in ["KILL", "TERM", "INT"] {
            let mut demo = tokio::task::spawn_blocking(Demo::start).await.unwrap();
            let pids = demo.pids();
            assert_eq!(pids.len(), 4, "{}", demo.ready);
            assert!(pids.iter().all(|pid| is_running(*pid)), "{}", demo.ready);
            let url = demo.ready["gateway"]["url"].as_str().unwrap();
            assert!(url.starts_with("grpc://127.0.0.1:"), "{url}");
            let client = Client::connect(url, &ConnectOptions::default()).await.unwrap();
            assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(8));
            drop(client);
            signal(demo.child.id(), ending);
            tokio::task::spawn_blocking(move || demo.child.wait().map(|_| demo)).await.unwrap().unwrap();
            until("every node has ended", SOON, async || !pids.iter().any(|pid| is_running(*pid))).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_listens_on_a_fixed_port_for_one_user() {
    within(240, async {
        let address = free_addresses(1).unwrap().remove(0);
        let port = address.rsplit_once(':').unwrap().1.to_owned();
        let with_user = command(&["--port", &port, "--user", "ann"]);
        let demo = tokio::task::spawn_blocking(move || Demo::start_by(with_user)).await.unwrap();
        let gateway = &demo.ready["gateway"];
        let url = format!("grpc://{address}");
        assert_eq!((&gateway["url"], &gateway["user"]), (&json!(url), &json!("ann")), "{}", demo.ready);
        let password = gateway["password"].as_str().expect("a generated password").to_owned();

        let refused = Client::connect(&url, &ConnectOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{}", refused.chain());
        let credentials = Some(("ann".to_owned(), password));
        let ann = Client::connect(&url, &ConnectOptions { credentials, ..ConnectOptions::default() }).await.unwrap();
        let join = "SELECT count(*) FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey";
        assert_eq!(count(&ann, join).await, Ok(1500));

        let second = command(&["--port", &port]);
        let (code, out, err) = tokio::task::spawn_blocking(move || output(second)).await.unwrap();
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(&format!("another process listens on {address}")), "{err}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_does_not_print_a_password_of_the_environment() {
    within(240, async {
        let mut chosen = command(&["--user", "ann"]);
        chosen.env("PORTOLAN_PASSWORD", "correct-horse-battery");
        let demo = tokio::task::spawn_blocking(move || Demo::start_by(chosen)).await.unwrap();
        assert_eq!(demo.ready["gateway"]["user"], "ann");
        assert!(!demo.ready.to_string().contains("correct-horse-battery"), "{}", demo.ready);
        let credentials = Some(("ann".to_owned(), "correct-horse-battery".to_owned()));
        let options = ConnectOptions { credentials, ..ConnectOptions::default() };
        let ann = Client::connect(demo.ready["gateway"]["url"].as_str().unwrap(), &options).await.unwrap();
        assert_eq!(count(&ann, "SELECT count(*) FROM mesh.ports").await, Ok(8));
    })
    .await;
}

#[test]
fn the_demo_shows_a_person_how_to_connect() {
    data();
    let home = tempfile::tempdir().unwrap();
    let (cache, scale) = (cache_home(), SCALE.to_string());
    let arguments = ["demo", "--serve", "--scale", &scale];
    let mut demo = Prompt::start(&arguments, home.path(), &[("XDG_CACHE_HOME", cache.as_path())]);
    demo.wait_for("Ctrl-C ends the demo.", 1);
    signal(demo.pid(), "INT");
    let (code, shown) = demo.end();
    assert_eq!(code, Some(0), "{shown}");
    for part in ["The gateway is at grpc://127.0.0.1:", "sales", "portolan sql --url grpc://127.0.0.1:"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains("\"pid\""), "{shown}");
}

#[test]
fn the_port_and_the_user_of_the_demo_are_checked_before_anything_starts() {
    for (arguments, expected) in [
        (&["demo", "--serve", "--port", "0"][..], "0 is not in 1..=65535"),
        (&["demo", "--serve", "--user", "ann bell"][..], "expected letters, digits, `-`, `_`, `.` and `@`"),
        (&["demo", "--user", "ann"][..], "--serve"),
        (&["demo", "--run", "--port", "50051"][..], "cannot be used with"),
        (&["demo", "--serve", "--governed", "--user", "ann"][..], "cannot be used with"),
    ] {
        let (code, out, err) = run(arguments, &[("XDG_CACHE_HOME", &cache_home())]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?} {err}");
        assert!(err.contains(expected), "{arguments:?} {err}");
    }
}

#[test]
fn an_error_names_a_cache_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache");
    fs::write(&file, "no folder").unwrap();
    let (code, out, err) = run(&["demo", "--serve", "--scale", "0.001"], &[("XDG_CACHE_HOME", &file)]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("cannot write") && err.contains(file.to_str().unwrap()), "{err}");
}

#[test]
fn a_full_disk_is_reported_and_no_partial_file_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    // A limit on the size of files replaces a full disk, because it needs no special rights.
    let script = format!("trap '' XFSZ; ulimit -f 64; exec '{}' demo --serve --scale 0.01", program().display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env("XDG_CACHE_HOME", folder.path()).stdin(Stdio::null());
    let (code, out, err) = output(command);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("the disk is full"), "{err}");
    assert!(unfinished(&folder.path().join("portolan")).is_empty());
}

/// Returns the files and folders of a cache that contain data.
fn unfinished(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    entries.filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn the_demo_runs_the_queries_and_checks_them() {
    data();
    let scale = SCALE.to_string();
    let (code, out, err) = run(&["demo", "--run", "--scale", &scale], &[("XDG_CACHE_HOME", &cache_home())]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("all 22 results equal"), "{out}");
}

/// A join of two domains, whose rows depend on the policies of the customers.
const BOTH: &str = "SELECT count(*) FROM sales.customers.customer JOIN geo.places.nation ON c_nationkey = n_nationkey";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_governed_demo_gives_two_users_two_answers() {
    within(240, async {
        let governed = command(&["--governed"]);
        let demo = tokio::task::spawn_blocking(move || Demo::start_by(governed)).await.unwrap();
        let url = demo.ready["gateway"]["url"].as_str().unwrap();
        let users = demo.ready["gateway"]["users"].as_array().unwrap();
        let logins: Vec<_> = users.iter().map(|user| (user["user"].as_str().unwrap(), &user["password"])).collect();
        assert_eq!(logins.iter().map(|(user, _)| *user).collect::<Vec<_>>(), ["ann", "bob"]);
        let mut sessions = vec![];
        for (user, password) in logins {
            let credentials = Some((user.to_owned(), password.as_str().unwrap().to_owned()));
            let options = ConnectOptions { credentials, ..ConnectOptions::default() };
            sessions.push(Client::connect(url, &options).await.unwrap());
        }
        let [ann, bob] = <[Client; 2]>::try_from(sessions).unwrap();
        assert_eq!(count(&bob, BOTH).await, Ok(1500));
        let europeans = count(&ann, BOTH).await.unwrap();
        let by_hand = format!("{BOTH} JOIN geo.places.region ON r_regionkey = n_regionkey WHERE r_name = 'EUROPE'");
        assert_eq!(count(&bob, &by_hand).await, Ok(europeans));
        let masked = "SELECT count(*) FROM sales.customers.customer WHERE c_phone NOT LIKE 'nn-nnn-nnn-%'";
        assert_eq!(count(&ann, masked).await, Ok(0));

        // The policies are files that a reader can open, and change while the demo runs.
        let files = demo.ready["policies"].as_array().unwrap();
        let files: Vec<_> = files.iter().map(|file| Path::new(file.as_str().unwrap())).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        let customers = files.iter().find(|file| file.ends_with("policies/customers.cedar")).unwrap();
        let text = fs::read_to_string(customers).unwrap();
        fs::write(customers, text.replace("[6, 7, 19, 22, 23]", "[6]")).unwrap();
        let french = count(&bob, &format!("{BOTH} WHERE n_name = 'FRANCE'")).await;
        assert!(french.is_ok() && french != Ok(europeans), "{french:?}");
        until("the changed policy applies", SOON, async || count(&ann, BOTH).await == french).await;

        // A client without a login gets nothing, at no node.
        for node in demo.ready["nodes"].as_array().unwrap().iter().chain([&demo.ready["gateway"]]) {
            let url = node["url"].as_str().unwrap();
            let refused = Client::connect(url, &ConnectOptions::default()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{}", refused.chain());
        }
    })
    .await;
}

#[test]
fn the_governed_demo_checks_both_answers() {
    data();
    let scale = SCALE.to_string();
    let arguments = ["demo", "--run", "--governed", "--scale", &scale];
    let (code, out, err) = run(&arguments, &[("XDG_CACHE_HOME", &cache_home())]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for part in ["nn-nnn-nnn-", "EXPLAIN (POLICY), as ann:", "label: restricted · "] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert_eq!((out.matches("✓").count(), out.matches("✗").count()), (4, 0), "{out}");
}

#[test]
fn the_governed_demo_introduces_its_users() {
    data();
    let home = tempfile::tempdir().unwrap();
    let (cache, scale) = (cache_home(), SCALE.to_string());
    let mut demo =
        Prompt::start(&["demo", "--governed", "--scale", &scale], home.path(), &[("XDG_CACHE_HOME", cache.as_path())]);
    demo.wait_for("You are ann", 1);
    demo.wait_for("portolan> ", 1);
    demo.type_in("SELECT c_phone, c_acctbal FROM sales.customers.customer LIMIT 1;\r");
    demo.wait_for("label: confidential · sales.customers.customer 1.0.0 (governed)", 1);
    demo.type_in("\\q\r");
    let (_, shown) = demo.end();
    for part in ["customers.cedar", "nn-nnn-nnn-", "EXPLAIN (POLICY)", " bob"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_prompt_without_a_terminal_is_refused_before_anything_starts() {
    let (code, out, err) = run(&["demo", "--scale", "1000"], &[("XDG_CACHE_HOME", &cache_home())]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("needs a terminal") && err.contains("--serve"), "{err}");
}
