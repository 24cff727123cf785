//! A node as its operators see it: requests to its admin listener, and the metrics in the responses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests a path of the admin listener at `url`, and returns the code and the body of the response.
pub async fn get(url: &str, path: &str) -> (u16, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {response}"));
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

/// The metrics of a node at one moment.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// Requests the metrics of the admin listener at `url`.
    pub async fn of(url: &str) -> Self {
        let (code, text) = get(url, "/metrics").await;
        assert_eq!(code, 200, "{text}");
        Self(text)
    }

    /// Returns the value of a series, such as `name{label="value"}`, and 0 if there is none.
    pub fn value(&self, series: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Returns the sum of the values of all series of a metric.
    pub fn sum(&self, name: &str) -> f64 {
        let series = self.0.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}
