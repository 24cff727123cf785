//! What the author of a descriptor can reach. A contract names paths, buckets, endpoints and URLs, and reaches with them
//! neither the node's files nor its credentials nor the services of its machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use portolan_tests::mesh::{merged, within};
use portolan_tests::node::run;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::recording_server::{Answer, RecordingServer};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "hunter2";
const TOKEN: &str = "token-of-a-session";

fn port(server: Value) -> PortFile {
    PortFile { name: "events", server, columns: vec![("id", "integer", false)] }
}

fn s3(location: &str, endpoint: Option<&str>) -> PortFile {
    let mut server = json!({ "server": "lake", "type": "s3", "location": location, "format": "csv" });
    if let Some(endpoint) = endpoint {
        server["endpointUrl"] = endpoint.into();
    }
    port(server)
}

fn web(url: &str) -> PortFile {
    port(json!({ "server": "web", "type": "custom", "location": url, "format": "csv" }))
}

/// Runs `serve --check` over one port with these sources in the config. Returns the errors, or nothing if all is fine.
async fn check(port: PortFile, sources: Value, environment: &[(&'static str, &str)]) -> String {
    let folder = TempDir::new().unwrap();
    products::write(folder.path(), &[port]);
    check_in(folder.path(), sources, environment).await
}

async fn check_in(home: &Path, sources: Value, environment: &[(&'static str, &str)]) -> String {
    let config = home.join("node.yaml");
    fs::write(&config, json!({ "domain": DOMAIN, "sources": sources, "open_timeout": "30s" }).to_string()).unwrap();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, PathBuf::from(value))).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        run(&["serve", "--check", "--config", config.to_str().unwrap()], &environment)
    });
    let (code, _, errors) = ran.await.unwrap();
    assert!(!errors.contains(SECRET) && !errors.contains(TOKEN), "{errors}");
    match code {
        Some(0) => String::new(),
        Some(2) => errors,
        other => panic!("{other:?}: {errors}"),
    }
}

/// Asserts that a check failed for these reasons, and that the server got no request.
#[track_caller]
fn refused(errors: &str, parts: &[&str], server: &RecordingServer) {
    for part in parts {
        assert!(errors.contains(part), "expected `{part}`, got: {errors}");
    }
    assert!(errors.contains("events.odcs.yaml:"), "{errors}");
    assert_eq!(server.requests(), [] as [&str; 0], "{errors}");
}

/// Options of S3 with credentials, and more.
fn keys(more: Value) -> Value {
    let mut options = json!({
        "access_key_id": "me", "secret_access_key": SECRET, "session_token": TOKEN, "allow_http": true, "buckets": ["lake"],
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    json!({ "lake": { "s3": options } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_the_config_go_only_to_its_endpoint_and_buckets() {
    within(120, async {
        let (own, contract) =
            (RecordingServer::start(Answer::NotFound).await, RecordingServer::start(Answer::NotFound).await);
        let theirs = contract.url();
        let errors = check(s3("s3://lake/x.csv", Some(&theirs)), keys(json!({})), &[]).await;
        refused(&errors, &["`sources.lake.s3.endpoint`"], &contract);
        let endpoint = json!({ "endpoint": own.url() });
        let errors = check(s3("s3://pond/x.csv", None), keys(endpoint.clone()), &[]).await;
        refused(&errors, &["`pond`", "`sources.lake.s3.buckets`"], &own);

        let errors = check(s3("s3://lake/x.csv", Some(&theirs)), keys(endpoint), &[]).await;
        assert!(errors.contains("s3://lake/x.csv"), "{errors}");
        let signed = own.requests();
        assert!(signed[0].contains("/lake/x.csv") && signed[0].contains("authorization: "), "{signed:?}");
        assert!(signed[0].contains(TOKEN), "{signed:?}");
        assert_eq!(contract.requests(), [] as [&str; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_the_environment_go_only_to_its_endpoint() {
    within(120, async {
        let (own, contract) =
            (RecordingServer::start(Answer::NotFound).await, RecordingServer::start(Answer::NotFound).await);
        let (mine, theirs) = (own.url(), contract.url());
        let keys = [("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", TOKEN)];
        let endpoint = [("AWS_ENDPOINT_URL", mine.as_str()), ("AWS_ALLOW_HTTP", "true")];
        let environment: Vec<_> = keys.iter().chain(&endpoint).copied().collect();
        let http = json!({ "lake": { "s3": { "allow_http": true } } });
        let plain = || s3("s3://lake/x.csv", Some(&theirs));
        let errors = check(plain(), json!({}), &environment).await;
        refused(&errors, &["`sources.lake.s3.allow_http`"], &contract);
        let errors = check(plain(), http.clone(), &environment).await;
        refused(&errors, &["127.0.0.1", "`sources.lake.s3.endpoint`"], &contract);
        // The endpoint is the config's, and the credentials are not.
        let named = json!({ "lake": { "s3": { "allow_http": true, "endpoint": theirs } } });
        let errors = check(s3("s3://lake/x.csv", None), named, &keys).await;
        refused(&errors, &["the credentials of the environment", "`sources.lake.s3.endpoint`"], &contract);
        assert_eq!(own.requests(), [] as [&str; 0]);

        check(s3("s3://lake/x.csv", Some(&mine)), json!({}), &environment).await;
        check(s3("s3://lake/x.csv", None), json!({}), &environment).await;
        let signed = own.requests();
        assert!(signed.len() > 1 && signed.iter().all(|request| request.contains(TOKEN)), "{signed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_google_stay_away_from_the_endpoint_of_a_contract() {
    within(120, async {
        let contract = RecordingServer::start(Answer::NotFound).await;
        let bucket = || {
            let location = "gs://lake/x.csv";
            let server = json!({ "server": "lake", "type": "custom", "location": location, "format": "csv" });
            port(merged(server, &json!({ "endpointUrl": contract.url() })))
        };
        let key = json!({ "type": "service_account", "private_key": SECRET }).to_string();
        let own = json!({ "service_account_key": key, "allow_http": true, "buckets": ["lake"] });
        let errors = check(bucket(), json!({ "lake": { "gcs": own } }), &[]).await;
        refused(&errors, &["`sources.lake.gcs.endpoint`"], &contract);
        let environment = [("GOOGLE_SERVICE_ACCOUNT_KEY", key.as_str())];
        let errors = check(bucket(), json!({ "lake": { "gcs": { "allow_http": true } } }), &environment).await;
        refused(&errors, &["127.0.0.1", "`sources.lake.gcs.endpoint`"], &contract);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_goes_only_to_the_hosts_in_its_config() {
    within(120, async {
        let server = RecordingServer::start(Answer::File("id\n1\n")).await;
        let port = || web(&format!("{}/x.csv", server.url()));
        let options = |hosts: &[&str]| json!({ "web": { "http": { "bearer_token": SECRET, "allow_http": true, "hosts": hosts } } });
        let errors = check(port(), options(&["example.org", "127.0.0.1:1"]), &[]).await;
        refused(&errors, &["127.0.0.1", "`sources.web.http.hosts`"], &server);
        assert_eq!(check(port(), options(&[&server.host()]), &[]).await, "");
        let sent = server.requests();
        assert!(sent.iter().all(|request| request.contains(&format!("authorization: Bearer {SECRET}"))), "{sent:?}");

        // A redirect does not lead further than the contract does.
        let other = RecordingServer::start(Answer::File("id\n1\n")).await;
        server.answer(Answer::Redirect(format!("{}/x.csv", other.url())));
        let errors = check(port(), options(&[&server.host()]), &[]).await;
        refused(&errors, &["x.csv"], &other);
        // Both are named, and the token goes to the first alone.
        assert_eq!(check(port(), options(&[&server.host(), &other.host()]), &[]).await, "");
        let redirected = other.requests();
        assert!(redirected.len() > 1 && redirected.iter().all(|request| !request.contains(SECRET)), "{redirected:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_reaches_neither_this_machine_nor_a_server_without_tls() {
    within(120, async {
        let server = RecordingServer::start(Answer::File("id\n1\n")).await;
        let url = format!("{}/x.csv", server.url());
        let by_name = url.replace("127.0.0.1", "localhost");
        for url in [&url, &by_name] {
            let errors = check(web(url), json!({}), &[]).await;
            refused(&errors, &["`sources.web.http.allow_http`"], &server);
            let errors = check(web(url), json!({ "web": { "http": { "allow_http": true } } }), &[]).await;
            refused(&errors, &["`sources.web.http.hosts`"], &server);
        }
        for address in ["169.254.169.254", "[fe80::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"] {
            let errors = check(web(&format!("https://{address}/latest/meta-data.csv")), json!({}), &[]).await;
            refused(&errors, &["`sources.web.http.hosts`"], &server);
        }
        let hosts = [server.host(), server.host().replace("127.0.0.1", "localhost")];
        let named = json!({ "web": { "http": { "allow_http": true, "hosts": hosts } } });
        assert_eq!(check(web(&url), named, &[]).await, "");
        assert!(server.requests().iter().all(|request| !request.contains("authorization")), "{:?}", server.requests());
    })
    .await;
}

/// A folder with a node's home, and a secret beside it.
fn home() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("home");
    for path in ["home/data", "outside"] {
        fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    fs::write(home.join("data/events.csv"), "id\n1\n").unwrap();
    fs::write(folder.path().join("outside/secret.csv"), format!("id\n{SECRET}\n")).unwrap();
    (folder, home)
}

fn local(path: &str) -> PortFile {
    port(json!({ "server": "docs", "type": "local", "path": path, "format": "csv" }))
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_stays_in_the_root_of_its_source() {
    within(120, async {
        let (folder, home) = home();
        std::os::unix::fs::symlink(folder.path().join("outside/secret.csv"), home.join("data/link.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("outside"), home.join("data/folder")).unwrap();
        let absolute = folder.path().join("outside/secret.csv").display().to_string();
        let url = format!("file://{absolute}");
        for path in [
            "../../../../../../../../../../etc/passwd",
            "../../outside/secret.csv",
            "../../outside/nothing.csv",
            "../../out*/*.csv",
            "../data/link.csv",
            "../data/folder/",
            "../data/",
            &absolute,
        ] {
            products::write(&home, &[local(path)]);
            let errors = check_in(&home, json!({}), &[]).await;
            assert!(errors.contains("`sources.docs.root`"), "{path}: {errors}");
        }
        products::write(
            &home,
            &[port(json!({ "server": "docs", "type": "custom", "location": url, "format": "csv" }))],
        );
        assert_ne!(check_in(&home, json!({}), &[]).await, "");

        // The name of the schema object becomes part of the path.
        let contract = products::write(&home, &[local("../data/{model}.csv")]).remove(0);
        let mut document: Value = serde_json::from_str(&fs::read_to_string(&contract).unwrap()).unwrap();
        document["schema"][0]["name"] = "../../outside/secret".into();
        fs::write(&contract, document.to_string()).unwrap();
        let errors = check_in(&home, json!({}), &[]).await;
        assert!(errors.contains("`sources.docs.root`"), "{errors}");

        products::write(&home, &[local("../data/events.csv")]);
        assert_eq!(check_in(&home, json!({}), &[]).await, "");
        // The config can allow more, and less.
        let (outside, data) = (folder.path().join("outside"), home.join("products"));
        let errors = check_in(&home, json!({ "docs": { "root": data } }), &[]).await;
        assert!(errors.contains("`sources.docs.root`"), "{errors}");
        fs::write(outside.join("public.csv"), "id\n1\n").unwrap();
        products::write(&home, &[local("../../outside/public.csv")]);
        assert_eq!(check_in(&home, json!({ "docs": { "root": outside } }), &[]).await, "");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_cannot_read_the_files_of_the_node() {
    within(120, async {
        let (_folder, home) = home();
        let key = home.join("key.pem");
        fs::write(&key, format!("id\n{SECRET}\n")).unwrap();
        // The state folder is beside the config.
        fs::create_dir(home.join("node.state")).unwrap();
        fs::write(home.join("node.state/copy.csv"), format!("id\n{SECRET}\n")).unwrap();
        let sources = json!({ "lake": { "s3": {
            "access_key_id": "me", "secret_access_key": { "file": key }, "buckets": ["lake"],
        } } });
        for path in ["../node.yaml", "../key.pem", "../*.pem", "../node.state/copy.csv", "../*.state/*.csv"] {
            products::write(&home, &[local(path)]);
            let errors = check_in(&home, sources.clone(), &[]).await;
            assert!(errors.contains("a file of the node itself"), "{path}: {errors}");
        }
    })
    .await;
}
