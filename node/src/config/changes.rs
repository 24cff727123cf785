//! Changes of a config while its node runs. A node applies some keys at once, and reads the others only at its start.

use std::fmt::Debug;
use std::path::Path;

use portolan_catalog::yaml::{self, Document};
use portolan_catalog::{Diagnostic, Diagnostics};

use super::{LimitsConfig, NodeConfig};
use crate::digest::file_digest;

/// A key that a node reads only at its start, and its value.
type FixedKey = (&'static str, fn(&NodeConfig) -> String);

/// The keys that a node reads only at its start. The book lists the others.
const FIXED_KEYS: [FixedKey; 26] = [
    ("domain", |config| shown(&config.domain)),
    ("listen", |config| shown(&config.listen)),
    ("products", |config| shown(&config.products)),
    ("policies", |config| shown(&config.policies)),
    ("policy_strict", |config| shown(&config.policy_strict)),
    ("mask_key", |config| shown(&config.mask_key)),
    ("node", |config| shown(&config.node)),
    ("tls", |config| shown(&config.tls)),
    ("allow_plaintext", |config| shown(&config.allow_plaintext)),
    ("limits.query_memory", |config| shown(&config.limits.query_memory)),
    ("limits.memory", |config| shown(&config.limits.memory)),
    ("limits.host_memory", |config| shown(&config.limits.host_memory)),
    ("limits.spill", |config| shown(&config.limits.spill)),
    ("limits.connections", |config| shown(&config.limits.connections)),
    ("limits.connections_per_address", |config| shown(&config.limits.connections_per_address)),
    ("limits.login_timeout", |config| shown(&config.limits.login_timeout)),
    ("refresh_interval", |config| shown(&config.refresh_interval)),
    ("log", |config| shown(&config.log)),
    ("log_format", |config| shown(&config.log_format)),
    ("admin", |config| shown(&config.admin)),
    ("telemetry", |config| shown(&config.telemetry)),
    ("audit", |config| shown(&config.audit)),
    ("spill_folder", |config| shown(&config.spill_folder)),
    ("state_folder", |config| shown(&config.state_folder)),
    ("cpu_threads", |config| shown(&config.cpu_threads)),
    ("local_files", |config| shown(&config.local_files)),
];

/// Returns a text that is equal for equal values. None of these values is a secret.
fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// True if a fault is one of a key that a node reads only at its start.
fn is_of_fixed_key(fault: &Diagnostic) -> bool {
    FIXED_KEYS.iter().any(|(key, _)| {
        fault.place.field.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

impl NodeConfig {
    /// Reads and checks the config in `file` for a running node. Returns the config, and the faults of keys that the node
    /// reads only at its start: they keep no other key from being applied.
    ///
    /// # Errors
    /// Every fault of the config, if one is that of another key, or one of the parser.
    pub(crate) fn load_again(file: &Path) -> Result<(Self, Vec<Diagnostic>), Diagnostics> {
        let digest = file_digest(file);
        let document = Document::parse(&yaml::read(file)?, file)?;
        let (config, mut faults) = Self::parse_unchecked(&document);
        let Some(config) = config else { return Err(Diagnostics(faults)) };
        let is_partial = !faults.is_empty();
        faults.extend(config.check(&document, is_partial));
        match !is_partial && faults.iter().all(is_of_fixed_key) {
            true => Ok((Self { digest: Some(digest), ..config }, faults)),
            false => Err(Diagnostics(faults)),
        }
    }

    /// Returns the keys that differ from those of the running node, and that the node reads only at its start.
    pub(crate) fn changed_fixed_keys(&self, running: &Self) -> Vec<&'static str> {
        let is_changed = |(_, value): &&FixedKey| value(self) != value(running);
        FIXED_KEYS.iter().filter(is_changed).map(|(key, _)| *key).collect()
    }

    /// Returns the config with the values of the running node for the keys that it reads only at its start.
    pub(crate) fn with_fixed_keys_of(self, running: &Self) -> Self {
        let limits = LimitsConfig {
            query_timeout: self.limits.query_timeout,
            concurrent_queries: self.limits.concurrent_queries,
            queued_queries: self.limits.queued_queries,
            max_hops: self.limits.max_hops,
            keys: self.limits.keys,
            session_tables: self.limits.session_tables,
            ..running.limits.clone()
        };
        // Anonymous callers at another address are no anonymous callers at this one, which the whole network may reach.
        let anonymous = match self.listen == running.listen {
            true => self.anonymous,
            false => Some(self.allows_anonymous() && running.allows_anonymous()),
        };
        Self {
            peers: self.peers,
            domains: self.domains,
            sources: self.sources,
            users: self.users,
            tokens: self.tokens,
            trusted_nodes: self.trusted_nodes,
            anonymous,
            limits,
            shares: self.shares,
            statistics_interval: self.statistics_interval,
            open_timeout: self.open_timeout,
            ..running.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> NodeConfig {
        let folder = tempfile::tempdir().unwrap();
        for name in ["products", "other"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("mask.key"), "").unwrap();
        let mut config = NodeConfig::parse(text, &folder.path().join("node.yaml")).unwrap();
        // The paths of two configs in different folders differ.
        config.state_folder = config.state_folder.map(|_| Path::new("node.state").to_path_buf());
        config.products = config.products.and_then(|path| Some(Path::new(path.file_name()?).to_path_buf()));
        config
    }

    #[test]
    fn the_keys_that_need_a_restart_are_named() {
        let running = parse("domain: sales\n");
        assert_eq!(parse("domain: sales\n").changed_fixed_keys(&running), [""; 0]);
        let reloaded = "domain: sales\npeers: [{url: 'grpc://a:1'}]\nsources: {lake: {max_files: 3}}\n\
                        limits: {query_timeout: 3s, max_hops: 2}\nshares: {default: {weight: 2}}\nopen_timeout: 1s\n\
                        statistics_interval: 1s\nanonymous: true\n";
        assert_eq!(parse(reloaded).changed_fixed_keys(&running), [""; 0]);
        let others = "domain: geo\nproducts: other\npolicies: other\npolicy_strict: true\nmask_key: mask.key\nlisten: 127.0.0.1:1\n\
                      log: debug\nlog_format: json\n\
                      limits: {memory: 1GiB, query_memory: 1GiB, host_memory: 0, spill: 1GiB, connections: 1, \
                      connections_per_address: 1, login_timeout: 1s}\ncpu_threads: 1\nrefresh_interval: 1s\n\
                      admin: {listen: '127.0.0.1:0'}\nallow_plaintext: true\naudit: {max_age: 1d}\nspill_folder: .\n\
                      local_files: true\n";
        let changed = parse(others).changed_fixed_keys(&running);
        let unchanged = ["node", "tls", "telemetry", "state_folder"];
        let expected: Vec<_> = FIXED_KEYS.iter().map(|(key, _)| *key).filter(|key| !unchanged.contains(key)).collect();
        assert_eq!(changed, expected);
    }

    /// Returns the keys that are valid in the section `section`, or at the top.
    fn known_keys(section: &str) -> Vec<String> {
        let text = if section.is_empty() { "qqq: 1\n".to_owned() } else { format!("{section}: {{qqq: 1}}\n") };
        let error = NodeConfig::parse(&text, Path::new("node.yaml")).unwrap_err().to_string();
        let (_, keys) = error.split_once("one of ").unwrap();
        keys.split('`').skip(1).step_by(2).map(|key| format!("{section}{key}")).collect()
    }

    #[test]
    fn each_key_is_applied_or_needs_a_restart() {
        let applied = [
            "peers",
            "domains",
            "sources",
            "users",
            "tokens",
            "trusted_nodes",
            "anonymous",
            "limits",
            "shares",
            "statistics_interval",
            "open_timeout",
            "limits.query_timeout",
            "limits.concurrent_queries",
            "limits.queued_queries",
            "limits.max_hops",
            "limits.keys",
            "limits.session_tables",
        ];
        let limits = known_keys("limits").into_iter().map(|key| key.replacen("limits", "limits.", 1));
        let keys: Vec<String> = known_keys("").into_iter().chain(limits).collect();
        assert!(keys.len() > 30, "{keys:?}");
        for key in keys {
            let is_fixed = FIXED_KEYS.iter().any(|(fixed, _)| *fixed == key);
            assert!(is_fixed != applied.contains(&key.as_str()), "{key} is in one of the two lists");
        }
    }

    #[test]
    fn the_book_lists_the_keys_that_need_a_restart() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/node.md");
        let page = std::fs::read_to_string(page).unwrap();
        let row = page.lines().find(|line| line.ends_with("| after a restart |")).unwrap();
        let keys: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert_eq!(keys, FIXED_KEYS.map(|(key, _)| key));
    }

    #[test]
    fn a_running_node_keeps_the_keys_of_its_start() {
        let running = parse("domain: sales\nlisten: 127.0.0.1:1\nlimits: {memory: 1GiB, max_hops: 1}\nlog: debug\n");
        let new = parse("domain: geo\nlimits: {memory: 2GiB, max_hops: 2, query_timeout: 9s}\nanonymous: true\n");
        let merged = new.with_fixed_keys_of(&running);
        assert_eq!(merged.changed_fixed_keys(&running), [""; 0]);
        assert_eq!((merged.limits.max_hops, merged.anonymous), (Some(2), Some(true)));
        assert_eq!(merged.limits.query_timeout.unwrap().0, Duration::from_secs(9));
        assert_eq!(merged.limits.memory.unwrap().0, 1 << 30);
    }

    #[test]
    fn faults_of_keys_that_need_a_restart_keep_no_other_key_from_being_applied() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yaml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let shown =
                |faults: &[Diagnostic]| faults.iter().map(|fault| fault.place.field.clone()).collect::<Vec<_>>();
            match NodeConfig::load_again(&file) {
                Ok((config, faults)) => {
                    assert!(config.digest.is_some() && config.file.is_some());
                    Ok((config.limits.max_hops, shown(&faults)))
                }
                Err(Diagnostics(faults)) => Err(shown(&faults)),
            }
        };
        let hops = "limits: {max_hops: 3, connections: 0}\n";
        let fixed = format!("{hops}tls: {{cert: a.pem, key: b.pem}}\nlisten: nowhere\n");
        let fields = ["listen", "tls.cert", "tls.key", "limits.connections"].map(str::to_owned).to_vec();
        assert_eq!(load(&fixed), Ok((Some(3), fields.clone())));
        assert_eq!(load("limits: {max_hops: 3}\n"), Ok((Some(3), vec![])));
        // All faults are reported together.
        let peer = ["peers[0].url".to_owned()];
        let all = [&fields[..1], &peer[..], &fields[1..]].concat();
        assert_eq!(load(&format!("{fixed}peers: [{{url: 'x:1'}}]\n")), Err(all));
        // `domains` is not `domain`.
        let field = load("domains: {geo: {key: nowhere.pem}}\n").unwrap_err();
        assert!(field.iter().all(|field| field.starts_with("domains.")), "{field:?}");
        // The parser leaves out what it does not read, so that other faults may stay unknown.
        assert_eq!(load("cpu_threads: many\n"), Err(vec!["cpu_threads".to_owned()]));
    }

    #[test]
    fn a_config_for_another_address_lets_nobody_in_without_a_login() {
        let user = "users:\n- name: ann\n  password_hash: '$argon2id$v=19$m=19456,t=2,p=1$yHSfRKMNs2YnM4LtlL27tQ$\
                    u+S5mbkxoc/j1OOfRndXVcIbLO+fwBBIeaHVMnQ1E30'\n";
        let public = parse(&format!("listen: 0.0.0.0:1\nallow_plaintext: true\n{user}"));
        for local in ["listen: 127.0.0.1:1\nanonymous: true\n", "listen: 127.0.0.1:1\n"] {
            let local = parse(local);
            assert!(local.allows_anonymous());
            let merged = local.with_fixed_keys_of(&public);
            assert_eq!((merged.listen.as_str(), merged.allows_anonymous()), ("0.0.0.0:1", false));
        }
        let merged = parse("listen: 0.0.0.0:1\nallow_plaintext: true\nanonymous: true\n").with_fixed_keys_of(&public);
        assert!(merged.allows_anonymous(), "the config says so for this address");
        // A node on loopback goes on as its config says for both addresses.
        let local = parse("listen: 127.0.0.1:1\n");
        assert!(!public.with_fixed_keys_of(&local).allows_anonymous());
        assert!(parse("listen: 127.0.0.1:2\n").with_fixed_keys_of(&local).allows_anonymous());
    }
}
