//! ADBC's driver with tokens and a certificate, as tools use it. OAuth's client credentials need no further support
//! from a node.

use std::fs;

use portolan_tests::mesh::within;
use portolan_tests::python::{python, run_script};
use serde_json::json;

use super::certificates::{authority, signed, tls, write};
use super::{Key, Provider, assert_no_secret, node};

const SCRIPT: &str = include_str!("../clients/adbc_tokens.py");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adbc_authenticates_with_tokens_and_a_certificate() {
    within(590, async {
        let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let ours = authority();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, ours.pem()).unwrap();
        let own = write(folder.path(), "node", &signed(&ours, "node"));
        let client = write(folder.path(), "client", &signed(&ours, "carl"));

        let key = Key::new("one");
        let (keys, tokens) = (Provider::start(&[&key]).await, Provider::start(&[]).await);
        let (fetched, given) = (key.token("tool", json!({})), key.token("ann", json!({})));
        let answer = json!({ "access_token": fetched, "token_type": "Bearer", "expires_in": 600 });
        tokens.answer("200 OK", "content-type: application/json\r\n", &answer.to_string());

        let config = json!({ "tokens": [keys.config()], "tls": tls(&own, &ca, "optional") });
        let node = node(&folder.path().join("home"), config);
        let arguments = [node.url(), &tokens.url(), &given].map(str::to_owned);
        let files = [&ca, &client.0, &client.1].map(|path| path.to_str().unwrap().to_owned());
        let said = tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().chain(&files).map(String::as_str).collect();
            run_script(&python, SCRIPT, &arguments)
        });
        assert_eq!(said.await.unwrap().trim(), "fine", "{}", node.log());
        assert!(tokens.asked() > 0);
        assert_no_secret(&node.log(), &[&fetched, &given]);
    })
    .await;
}
