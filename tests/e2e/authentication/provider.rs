//! An identity provider that signs tokens, and publishes its keys by HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub const ISSUER: &str = "https://id.test/mesh";
pub const AUDIENCE: &str = "portolan";

/// A key with its identifier.
pub struct Key {
    pub id: &'static str,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    pub fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { id, pair, random }
    }

    /// Returns the public part of the key.
    pub fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": x, "y": y })
    }

    /// Returns a token for `name`, with these claims in place of the usual ones.
    pub fn token(&self, name: &str, changed: Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": self.id, "typ": "JWT" }), &claims(name, changed))
    }

    /// Returns a token that declares itself unsigned.
    pub fn unsigned(&self, name: &str) -> String {
        format!("{}.", message(&json!({ "alg": "none", "kid": self.id }), &claims(name, json!({}))))
    }

    /// Returns a token that is signed with the published key as a shared secret.
    pub fn confused(&self, name: &str) -> String {
        let message = message(&json!({ "alg": "HS256", "kid": self.id }), &claims(name, json!({})));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&secret, message.as_bytes())))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn claims(name: &str, changed: Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": now() + 600, "jti": unique() });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Returns the seconds since 1970.
pub fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The server of the keys.
pub struct Provider {
    address: String,
    answer: Arc<Mutex<String>>,
    demanded: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl Provider {
    /// Starts a server that publishes these keys.
    pub async fn start(keys: &[&Key]) -> Self {
        let mut provider = Self {
            address: "127.0.0.1:0".to_owned(),
            answer: Arc::default(),
            demanded: Arc::default(),
            asked: Arc::default(),
            task: None,
        };
        provider.publish(keys);
        provider.listen().await;
        provider
    }

    /// Returns the provider's entry in a node's config.
    pub fn config(&self) -> Value {
        json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks": self.url() })
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Publishes these keys instead.
    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
        self.answer("200 OK", "", &json!({ "keys": keys }).to_string());
    }

    /// Sends this response instead.
    pub fn answer(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        *self.answer.lock().unwrap() = text;
    }

    /// Answers only requests that contain one of these texts, and refuses all others.
    pub fn demand(&self, texts: &[String]) {
        *self.demanded.lock().unwrap() = texts.to_vec();
    }

    /// Returns the number of requests.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Accepts connections at the same address as before.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let (answer, demanded, asked) = (self.answer.clone(), self.demanded.clone(), self.asked.clone());
        self.task = Some(tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::Relaxed);
                let (text, demanded) = (answer.lock().unwrap().clone(), demanded.lock().unwrap().clone());
                let _ = reply(connection, &text, &demanded).await;
            }
        }));
    }

    /// Stops accepting connections.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn reply(mut connection: TcpStream, text: &str, demanded: &[String]) -> std::io::Result<()> {
    const REFUSAL: &str = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !is_whole(&request) {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let is_served = demanded.is_empty() || demanded.iter().any(|demanded| request.contains(demanded));
    connection.write_all(if is_served { text } else { REFUSAL }.as_bytes()).await?;
    connection.shutdown().await
}

/// True if the head is complete, and the body has the length in the head.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':'));
    let mut length =
        length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    body.len() >= length.next_back().map_or(0, |length| length.parse().unwrap())
}
