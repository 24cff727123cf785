//! Configs as text: what is read, and what is rejected, with the place in the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portolan_connectors::{DatabaseOptions, TlsMode};
use portolan_engine::{Limits, LinkOverride, Share};

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
    // The folder is beside the file, and a config that is no file has none.
    assert!(config.state_folder.take().unwrap().ends_with("node.state"));
    assert_eq!(config.listen, "127.0.0.1:50051");
    assert!(config.allows_anonymous());
    assert_eq!(config.limits(None), Limits::default());
    config.file = None;
    assert_eq!(format!("{config:?}"), format!("{:?}", NodeConfig::default()));
}

#[test]
fn everything_is_read() {
    let config = check(
        "domain: sales\nlisten: 127.0.0.1:0\npeers:\n- {url: 'grpc://127.0.0.1:1', user: me, password: secret}\n\
         limits: {query_memory: 1GiB, query_timeout: 2m, concurrent_queries: 3, queued_queries: 0, spill: 5GB, keys: 1MiB,\n\
         \x20 session_tables: 1GiB, connections: 9, connections_per_address: 8, login_timeout: 7s}\n\
         refresh_interval: 500ms\nlog: debug\nanonymous: true\n",
    )
    .unwrap();
    assert_eq!(config.domain.as_ref().unwrap().as_str(), "sales");
    assert!(config.products_folder().unwrap().ends_with("products"));
    let limits = config.limits(Some(1 << 40));
    assert_eq!((limits.query_memory, limits.query_timeout), (1 << 30, Duration::from_secs(120)));
    assert_eq!((limits.key_bytes, limits.session_tables), (1 << 20, 1 << 30));
    assert_eq!((limits.concurrent_queries, limits.queued_queries, limits.spill_bytes), (3, 0, 5_000_000_000));
    let (connections, per_address) = (config.limits.connections, config.limits.connections_per_address);
    assert_eq!((connections, per_address), (Some(9), Some(8)));
    assert_eq!(config.limits.login_timeout, Some(Length(Duration::from_secs(7))));
    assert_eq!(config.refresh_interval(), Some(Duration::from_millis(500)));
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn memory_is_a_share_of_the_host_unless_it_is_given() {
    let memory = |text: &str, host| {
        let limits = check(text).unwrap().limits(host);
        (limits.memory >> 20, limits.query_memory >> 20)
    };
    assert_eq!(memory("{}", None), (8192, 2048));
    assert_eq!(memory("{}", Some(1 << 30)), (512, 128));
    assert_eq!(memory("limits: {memory: 4GiB}", Some(1 << 30)), (4096, 1024));
    assert_eq!(memory("limits: {query_memory: 300MiB}", Some(1 << 30)), (512, 300));
    assert_eq!(memory("limits: {memory: 4GiB, query_memory: 4GiB}", None), (4096, 4096));
    assert_eq!(memory("limits: {host_memory: 2GiB}", Some(1 << 30)), (1024, 256));
    assert_eq!(memory("limits: {host_memory: 0}", Some(1 << 30)), (512, 128));
    let host = |text: &str, found| check(text).unwrap().limits(found).host_memory;
    assert_eq!((host("{}", None), host("{}", Some(7))), (None, Some(7)));
    assert_eq!(host("limits: {host_memory: 1KiB}", Some(7)), Some(1024));
    assert_eq!(host("limits: {host_memory: 0}", Some(7)), None);
    assert!(check("limits: {host_memory: much}").unwrap_err().contains("or 0"));
}

#[test]
fn the_admin_listener_stays_on_loopback_unless_allowed() {
    let config = check("admin: {listen: 127.0.0.1:0}\nlog_format: json\n").unwrap();
    assert_eq!((config.admin.unwrap().listen.as_str(), config.log_format), ("127.0.0.1:0", LogFormat::Json));
    let error = check("admin:\n  listen: 0.0.0.0:9090\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: admin.listen: ") && error.contains("admin.allow_remote"), "{error}");
    check("admin: {listen: 0.0.0.0:9090, allow_remote: true}\n").unwrap();
    let error = check("admin: {listen: nowhere}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:1: admin.listen: expected an address and a port"), "{error}");
    let error = check("log_format: xml\n").unwrap_err();
    assert!(error.starts_with("node.yaml:1: log_format: "), "{error}");
}

#[test]
#[cfg(feature = "telemetry")]
fn a_collector_has_a_url_and_authorities_for_tls() {
    let config = check("telemetry: {endpoint: 'http://127.0.0.1:4317', interval: 1s}\n").unwrap();
    assert_eq!(config.telemetry.unwrap().interval.unwrap().0, Duration::from_secs(1));
    check("telemetry: {endpoint: 'http://a:4317', allow_plaintext: true}\n").unwrap();
    let wrong = [
        ("endpoint: '127.0.0.1:4317'", "telemetry.endpoint: expected `http://host:port`"),
        ("endpoint: 'http://a:4317'", "telemetry.endpoint: the node would send spans and metrics to another machine"),
        ("endpoint: 'https://a:4317'", "telemetry.endpoint: an `https://` URL needs `ca`"),
        ("endpoint: 'http://a:4317', ca: node.yaml", "telemetry.ca: expected an `https://` URL"),
        ("endpoint: 'https://a:4317', ca: ca.pem", "telemetry.ca: cannot read ca.pem"),
    ];
    for (text, said) in wrong {
        let error = check(&format!("telemetry: {{{text}}}\n")).unwrap_err();
        assert!(error.starts_with(&format!("node.yaml:1: {said}")), "{error}");
    }
}

#[test]
fn shares_are_read_for_principals_and_groups() {
    let config = check(
        "shares:\n  default: {concurrent_queries: 2, memory: 1GiB}\n  groups:\n    analysts: {weight: 3, spill: 1GB}\n  \
         principals:\n    ann: {queued_queries: 0, session_tables: 1KiB, kept_results: 2KiB}\n",
    )
    .unwrap();
    let shares = config.limits(None).shares;
    let mut share = Share::default();
    (share.concurrent_queries, share.memory) = (Some(2), Some(1 << 30));
    assert_eq!(shares.default, share);
    let mut share = Share::default();
    (share.weight, share.spill) = (Some(3), Some(1_000_000_000));
    assert_eq!(shares.groups["analysts"], share);
    let mut share = Share::default();
    (share.queued_queries, share.session_tables, share.kept_results) = (Some(0), Some(1 << 10), Some(2 << 10));
    assert_eq!(shares.principals["ann"], share);
    let error = check("shares:\n  groups:\n    a/b: {weight: 0}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:3: shares.groups.a/b.weight: must be at least 1"), "{error}");
    let error = check("shares:\n  principals:\n    ann: {memry: 1GiB}\n").unwrap_err();
    assert!(error.contains("did you mean `memory`?"), "{error}");
    assert!(check("limits: {connections: 0}\n").unwrap_err().contains("must be at least 1"));
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
fn peers_are_learned_from_a_peer_if_its_entry_permits_it() {
    let text = "peers:\n- {url: 'grpc://a:1', learn_peers: true, domains: [geo]}\n- url: grpc://b:1\n";
    let config = check(text).unwrap();
    let options: Vec<_> = config.peers.iter().map(PeerConfig::options).collect();
    assert!(options[0].learn_peers && options[0].domains.as_ref().is_some_and(|domains| domains.len() == 1));
    assert!(!options[1].learn_peers && !PeerConfig::new("grpc://b:1").learn_peers);
    let error = check("peers:\n- url: grpc://a:1\n  learn_peers: often\n").unwrap_err();
    assert!(error.starts_with("node.yaml:3: peers[0].learn_peers: "), "{error}");
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
fn the_access_to_a_database_is_checked() {
    let error = check(
        "sources:\n  a:\n    database: {user: me, password: hunter2}\n  b:\n    database:\n      \
         host: me:hunter2@db\n      password: {env: PW}\n      connections: 0\n      tls: disable\n      ca: nowhere.pem\n",
    )
    .unwrap_err();
    let starts = [
        "node.yaml:3: sources.a.database: `host` is missing: the host that these credentials may go to",
        "node.yaml:6: sources.b.database.host: expected `host` or `host:port`, such as `db.example.org:5432`",
        "node.yaml:7: sources.b.database.password: `user` is missing: the account of this password",
        "node.yaml:10: sources.b.database.ca: connections have no TLS: remove `ca`, or `tls: disable`",
        "node.yaml:8: sources.b.database.connections: expected a number from 1 to 1000, got 0",
        "node.yaml:10: sources.b.database.ca: cannot read nowhere.pem",
    ];
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start) && !line.contains("hunter2"), "{line}");
    }
    let error = check("sources: {a: {database: {hots: db}}}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:1: sources.a.database.hots: unknown key `hots`"), "{error}");
    let error = check("sources: {a: {database: {tls: verfy}}}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:1: sources.a.database.tls: "), "{error}");
    let config = check(
        "sources:\n  warehouse:\n    database: {host: 'db.example.org:5432', user: portolan, password: {env: PW}, \
         tls: verify, connections: 9, scan_connections: 3, connection_wait: 1, connect_timeout: 2}\n    writers: [ann]\n",
    )
    .unwrap();
    let source = &config.sources["warehouse"];
    let DatabaseOptions { host, user, password, tls, ca, .. } = &source.database;
    assert_eq!((host.as_deref(), user.as_deref()), (Some("db.example.org:5432"), Some("portolan")));
    assert!(password.is_some() && *tls == Some(TlsMode::Verify) && ca.is_none() && !source.has_inline_secrets());
    let DatabaseOptions { connections, scan_connections, connection_wait, connect_timeout, .. } = source.database;
    assert_eq!((connections, scan_connections, connection_wait, connect_timeout), (9, 3, 1, 2));
    let DatabaseOptions { connections, scan_connections, connection_wait, connect_timeout, .. } = Default::default();
    assert_eq!((connections, scan_connections, connection_wait, connect_timeout), (8, 2, 10, 10));
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
        "node.yaml:2: listen: expected an address and a port to listen on, got `nowhere`",
        "node.yaml:12: users[0].password_hash: is not a password hash",
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
fn errors_of_values_and_of_the_whole_config_are_said_at_once() {
    let error = check(
        "listen: 0.0.0.0:0\nlimits:\n  query_memory: 4 gigs\n  query_timeout: 5\npeers:\n- url: carrier-pigeon://x\n\
         refresh_interval: soon\nusers:\n- {name: a, pasword_hash: x}\nshares: {default: {weight: 0}}\n",
    )
    .unwrap_err();
    let starts = [
        "node.yaml:3: limits.query_memory: `4 gigs` is not a size",
        "node.yaml:4: limits.query_timeout: 5 is not a length of time",
        "node.yaml:7: refresh_interval: `soon` is not a length of time",
        "node.yaml:9: users[0].pasword_hash: unknown key `pasword_hash`; did you mean `password_hash`?",
        "node.yaml:6: peers[0].url: ",
        "node.yaml:10: shares.default.weight: must be at least 1",
    ];
    // Nothing is reported as missing: it may be an entry with an error.
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
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
fn beyond_loopback_a_password_needs_tls_or_permission() {
    let peer =
        |url: &str, more: &str| check(&format!("peers:\n- {{url: '{url}', user: me, password: secret{more}}}\n"));
    let error = peer("grpc://a:1", "").unwrap_err();
    let expected =
        "node.yaml:2: peers[0].url: the node would send a password to grpc://a:1 without TLS; use a `grpc+tls://`";
    assert!(error.starts_with(expected) && error.contains("`allow_plaintext: true`"), "{error}");
    assert!(peer("grpc://a:1", ", allow_plaintext: true").unwrap().peers[0].allow_plaintext);
    let error = peer("grpc+tls://a:1", "").unwrap_err();
    assert!(error.starts_with("node.yaml:2: peers[0].ca: a `grpc+tls://` URL needs `ca`: a PEM file"), "{error}");
    assert!(!error.contains("without TLS"), "{error}");
    check("peers:\n- url: grpc://a:1\n").unwrap();
}

#[test]
fn a_domain_needs_urls_that_its_peers_can_check() {
    let open = "domain: sales\nlisten: 0.0.0.0:1\nanonymous: true\nallow_plaintext: true\n";
    let error = check(open).unwrap_err();
    assert!(error.starts_with("node.yaml:2: listen: ") && error.contains("`node.audiences`"), "{error}");
    check(&format!("{open}node: {{audiences: ['grpc://sales:1']}}\n")).unwrap();
}

#[test]
fn the_state_folder_is_as_given() {
    let config = check("state_folder: kept\n").unwrap();
    assert!(config.state_folder.unwrap().ends_with("kept"));
}

#[test]
fn products_need_a_domain() {
    assert!(check("products: products\n").unwrap_err().contains("products belong to a domain"));
}

#[test]
fn names_of_users_can_be_seen() {
    let error = check("users:\n- {name: \"a\\u202eb\", password_hash: plain}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: users[0]: has control characters"), "{error}");
    let error = check("users:\n- {name: a, password_hash: plain, groups: [\"x\\ny\"]}\n").unwrap_err();
    assert!(error.starts_with("node.yaml:2: users[0]: has control characters"), "{error}");
}

#[test]
fn the_authorities_of_all_peers_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.pem"), "no certificate").unwrap();
    let text = "peers:\n- {url: 'grpc+tls://a:1', ca: a.pem}\n- {url: 'grpc+tls://b:1', ca: a.pem}\n";
    let error = NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap_err().to_string();
    for place in ["node.yaml:2: peers[0].ca: ", "node.yaml:3: peers[1].ca: "] {
        assert!(error.contains(place) && error.contains("a.pem has no certificate"), "{error}");
    }
}
