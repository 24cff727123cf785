//! Configs as text: what is read, and what is rejected, with the place in the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn check(text: &str) -> Result<NodeConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("products")).unwrap();
    let parsed = NodeConfig::parse(text, &folder.path().join("node.yaml"));
    parsed.map_err(|e| e.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn an_empty_object_is_a_gateway_on_loopback() {
    let mut config = check("{}").unwrap();
    assert_eq!(config.domain, None);
    assert_eq!(config.listen, "127.0.0.1:50051");
    assert!(config.allows_anonymous());
    assert_eq!(config.limits(), Limits::default());
    config.origin = ConfigOrigin::default();
    assert_eq!(format!("{config:?}"), format!("{:?}", NodeConfig::default()));
}

#[test]
fn everything_is_read() {
    let config = check(
        "domain: sales\nlisten: 127.0.0.1:0\npeers:\n- {url: 'grpc://127.0.0.1:1', user: me, password: secret}\n\
         limits: {query_memory: 1GiB, query_timeout: 2m, concurrent_queries: 3, queued_queries: 0, spill: 5GB, keys: 1MiB,\n\
         \x20 session_tables: 1GiB}\n\
         refresh_interval: 500ms\nlog: debug\nanonymous: true\n",
    )
    .unwrap();
    assert_eq!(config.domain.as_ref().unwrap().as_str(), "sales");
    assert!(config.products_folder().unwrap().ends_with("products"));
    let limits = config.limits();
    assert_eq!((limits.query_memory, limits.query_timeout), (1 << 30, Duration::from_secs(120)));
    assert_eq!((limits.key_bytes, limits.session_tables), (1 << 20, 1 << 30));
    assert_eq!((limits.concurrent_queries, limits.queued_queries, limits.spill_bytes), (3, 0, 5_000_000_000));
    assert_eq!(config.refresh_interval(), Some(Duration::from_millis(500)));
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn a_link_is_read_as_given() {
    let config = check("peers:\n- {url: 'grpc://a:1', latency: 50ms, bandwidth: 12.5MB}\n- url: grpc://b:1\n").unwrap();
    let given = LinkOverride { latency: Some(Duration::from_millis(50)), bandwidth: Some(12.5e6) };
    assert_eq!(config.peers[0].link(), given);
    assert_eq!(config.peers[1].link(), LinkOverride::default());
    let error = check("peers:\n- url: grpc://a:1\n  latency: 50\n").unwrap_err();
    assert!(error.starts_with("node.yaml:3: peers[0].latency: 50 is not a length of time"), "{error}");
    let error = check("peers:\n- url: grpc://a:1\n  bandwidth: 0\n").unwrap_err();
    assert!(error.starts_with("node.yaml:3: peers[0].bandwidth: 0 is not a size above 0"), "{error}");
}

#[test]
fn credentials_need_a_place_to_go_to_and_a_root_must_be_there() {
    let error = check(
        "sources:\n  lake:\n    root: nowhere\n    s3: {access_key_id: hunter2, secret_access_key: hunter2}\n  web/2:\n    \
         http: {bearer_token: hunter2}\n  open:\n    s3: {endpoint: 'https://a.example', anonymous: true}\n",
    )
    .unwrap_err();
    let starts = [
        "node.yaml:3: sources.lake.root: cannot read the folder nowhere",
        "node.yaml:4: sources.lake.s3: `buckets` is missing",
        "node.yaml:6: sources.web/2.http: `hosts` is missing",
    ];
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start) && !line.contains("hunter2"), "{line}");
    }
    check("sources: {lake: {root: products, s3: {session_token: x, buckets: [lake]}}}\nopen_timeout: 5s\n").unwrap();
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let error = check("domain: sales\nlistn: 127.0.0.1:0\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: listn: unknown key"), "{error}");
    assert!(error.ends_with("did you mean `listen`?"), "{error}");
}

#[test]
fn a_wrong_type_is_refused_at_its_line() {
    let error = check("limits:\n  query_timeout: soon\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: limits.query_timeout: `soon` is not a length of time"), "{error}");
    let error = check("limits:\n  query_timeout: 10\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: limits.query_timeout: 10 is not a length of time"), "{error}");
    let error = check("peers: no\n").unwrap_err();
    assert!(error.starts_with("node.yaml:1: peers:"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let error = check(
        "domain: sales\nlisten: nowhere\nproducts: missing\npeers:\n- url: carrier-pigeon://x\n- url: grpc://a:1\n  \
         ca: ca.pem\ntls:\n  cert: c.pem\n  key: k.pem\nusers:\n- {name: a, password_hash: plain}\n",
    )
    .unwrap_err();
    let starts = [
        "node.yaml:3: products: cannot read the folder missing",
        "node.yaml:2: listen: `nowhere` is no address",
        "node.yaml:12: users[0].password_hash: is no password hash",
        "node.yaml:5: peers[0].url: ",
        "node.yaml:7: peers[1].ca: cannot read ca.pem",
        "node.yaml:9: tls.cert: cannot read c.pem",
        "node.yaml:10: tls.key: cannot read k.pem",
    ];
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(!error.contains("plain"), "{error}");
}

#[test]
fn beyond_loopback_somebody_must_be_able_to_log_in() {
    let error = check("listen: 0.0.0.0:0\n").unwrap_err();
    assert!(error.contains("nobody could log in"), "{error}");
    let error = check("listen: 0.0.0.0:0\nanonymous: true\n").unwrap_err();
    assert!(error.contains("needs `tls`"), "{error}");
    check("listen: 0.0.0.0:0\nanonymous: true\nallow_plaintext: true\n").unwrap();
}

#[test]
fn products_need_a_domain() {
    assert!(check("products: products\n").unwrap_err().contains("products belong to a domain"));
}
