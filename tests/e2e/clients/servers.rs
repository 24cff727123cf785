//! The servers for the clients: nodes that accept callers in every way.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use parquet::arrow::ArrowWriter;
use portolan_flight_server::hash_password;
use portolan_tests::mesh::Mesh;
use portolan_tests::node::Node;
use portolan_tests::products::{self, DOMAIN, PortFile};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authentication::certificates::{authority, signed, tls, write};
use crate::authentication::provider::{Key, Provider};

pub const USER: &str = "ann";
pub const PASSWORD: &str = "se:cret";
const OAUTH_CLIENT: &str = "tool";
const OAUTH_SECRET: &str = "tools-own-secret";
/// A port with write access for each client that appends rows.
const PORTS: [&str; 3] = ["people_a", "people_b", "people_c"];

pub struct Servers {
    /// A node that accepts passwords and tokens, and owns ports with write access.
    gateway: Node,
    /// The same without ports of its own: only the demo's domains.
    plain: Node,
    /// The same with TLS, which also accepts client certificates.
    tls: Node,
    anonymous: String,
    token: String,
    fetched: String,
    tokens: Provider,
    _keys: Provider,
    folder: TempDir,
}

impl Servers {
    pub async fn start() -> Self {
        let mesh = Mesh::shared().await;
        let domains = ["sales", "supply", "geo"].iter();
        let peers: Vec<_> = domains.map(|domain| json!({ "url": mesh.node(domain).url() })).collect();
        let user = json!({ "name": USER, "password_hash": hash_password(PASSWORD).unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let ours = authority();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, ours.pem()).unwrap();
        let own = write(folder.path(), "node", &signed(&ours, "node"));
        write(folder.path(), "client", &signed(&ours, "carl"));

        let key = Key::new("one");
        let (keys, tokens) = (Provider::start(&[&key]).await, Provider::start(&[]).await);
        let (fetched, token) = (key.token(OAUTH_CLIENT, json!({})), key.token(USER, json!({})));
        let answer = json!({ "access_token": fetched, "token_type": "Bearer", "expires_in": 600 });
        tokens.answer("200 OK", "content-type: application/json\r\n", &answer.to_string());
        let in_header = BASE64_STANDARD.encode(format!("{OAUTH_CLIENT}:{OAUTH_SECRET}"));
        tokens.demand(&[format!("client_secret={OAUTH_SECRET}"), in_header]);

        let config = |more: Value| {
            let mut config = json!({ "users": [user], "tokens": [keys.config()], "peers": peers });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            config
        };
        let home = folder.path().join("gateway");
        write_ports(&home);
        let owner = json!({ "domain": DOMAIN, "sources": { "files": { "writers": [USER] } } });
        let gateway = Node::start(&home, config(owner));
        let plain = Node::start(&folder.path().join("plain"), config(json!({})));
        let tls = json!({ "tls": tls(&own, &ca, "optional") });
        let tls = Node::start(&folder.path().join("tls"), config(tls));
        let anonymous = mesh.gateway().url().to_owned();
        Self { gateway, plain, tls, anonymous, token, fetched, tokens, _keys: keys, folder }
    }

    /// Returns the value of a flag for these servers. `nth` is the number of the program.
    pub fn flag(&self, name: &str, nth: usize) -> String {
        let uri = |url: &str| url.replace("grpc://", "grpc+tcp://");
        match name {
            "url" => uri(self.gateway.url()),
            "plain" => uri(self.plain.url()),
            "user" => USER.to_owned(),
            "password" => PASSWORD.to_owned(),
            "anonymous" => uri(&self.anonymous),
            "token" => self.token.clone(),
            "token-user" => USER.to_owned(),
            "tls" | "mtls" | "oauth" => {
                self.tls.url().replace("grpcs://", "grpc+tls://").replace("grpc://", "grpc+tls://")
            }
            "ca" => self.file("ca.pem"),
            "cert" => self.file("client.pem"),
            "key" => self.file("client.key"),
            "token-uri" => self.tokens.url(),
            "client-id" => OAUTH_CLIENT.to_owned(),
            "client-secret" => OAUTH_SECRET.to_owned(),
            "writable" => format!("{DOMAIN}.samples.{}", PORTS[nth % PORTS.len()]),
            _ => panic!("there is no flag `{name}`"),
        }
    }

    pub fn log(&self) -> String {
        self.gateway.log() + &self.plain.log() + &self.tls.log()
    }

    #[track_caller]
    pub fn assert_no_secret(&self, said: &str) {
        let parts = [&self.token, &self.fetched].into_iter().flat_map(|token| token.split('.').skip(1));
        for secret in parts.chain([PASSWORD, OAUTH_SECRET, "PRIVATE KEY", "$argon2"]) {
            assert!(!said.contains(secret), "`{secret}` shows in\n{said}");
        }
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}

fn write_ports(home: &std::path::Path) {
    let ports: Vec<_> = PORTS
        .iter()
        .map(|name| {
            let data = home.join(name);
            fs::create_dir_all(&data).unwrap();
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("id", Arc::new(Int64Array::from_iter_values([0]))),
                ("name", Arc::new(StringArray::from_iter_values(["nobody"]))),
            ];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let file = fs::File::create(data.join("first.parquet")).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            PortFile::local(name, &data, "parquet", &[("id", "integer"), ("name", "string")])
        })
        .collect();
    products::write(home, &ports);
}
