//! Configs with node keys, in files and inline.

#![allow(clippy::unwrap_used)]

use portolan_catalog::DomainName;
use portolan_connectors::OwnerKey;
use portolan_connectors::node::NodeKey;

use super::*;

/// A folder with a key (`key.pem`) and its public half (`public.pem`).
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pem = NodeKey::generate().unwrap();
    let public = NodeKey::from_pem(pem.as_bytes()).unwrap().public().to_pem();
    std::fs::write(folder.path().join("key.pem"), pem).unwrap();
    std::fs::write(folder.path().join("public.pem"), public).unwrap();
    folder
}

fn check(folder: &Path, text: &str) -> Result<NodeConfig, String> {
    let parsed = NodeConfig::parse(text, &folder.join("node.yaml"));
    parsed.map_err(|e| e.to_string().replace(&format!("{}/", folder.display()), ""))
}

#[test]
fn who_a_node_is_and_whom_it_believes_is_read() {
    let folder = folder();
    let public = std::fs::read_to_string(folder.path().join("public.pem")).unwrap().replace('\n', "\n    ");
    let config = check(
        folder.path(),
        &format!(
            "node: {{name: owner, key: key.pem, audiences: ['grpc://owner:1']}}\npeers:\n\
             - {{url: 'grpc://127.0.0.1:1', audience: 'grpc://third:1'}}\ntrusted_nodes:\n\
             - {{name: gateway, key: public.pem}}\n- name: other\n  may_act_for: [ann]\n  key: |\n    {public}\n"
        ),
    )
    .unwrap();
    assert_eq!(config.identity().unwrap().unwrap().name(), "owner");
    assert!(!config.allows_anonymous(), "who may come is named");
    assert_eq!(config.peers[0].audience.as_deref(), Some("grpc://third:1"));
    let DelegationOptions { trusted, audiences } = config.delegation().unwrap();
    assert_eq!(audiences, ["grpc://owner:1"]);
    assert_eq!(trusted[0].key, trusted[1].key);
    assert_eq!((&trusted[0].may_act_for, &trusted[0].groups), (&Allowed::All, &Allowed::All));
    let ann = Allowed::Only(["ann".to_owned()].into());
    assert_eq!((&trusted[1].may_act_for, &trusted[1].groups), (&ann, &Allowed::Only(BTreeSet::new())));
}

#[test]
fn the_keys_of_domains_are_read() {
    let folder = folder();
    let public = PublicKey::from_pem(&std::fs::read(folder.path().join("public.pem")).unwrap()).unwrap();
    let text = format!(
        "domains:\n  people: {{key: public.pem}}\n  geo: {{key: ['{public}', public.pem]}}\npeers:\n\
         - {{url: 'grpc://a:1', domains: [people, geo]}}\n- {{url: 'grpc://b:1', domains: []}}\n- url: grpc://c:1\n"
    );
    let config = check(folder.path(), &text).unwrap();
    let keys = config.domain_keys().unwrap();
    let key = OwnerKey::new(public.to_string());
    assert_eq!(keys[&DomainName::new("people")], std::slice::from_ref(&key));
    assert_eq!(keys[&DomainName::new("geo")], [key.clone(), key]);
    let domains: Vec<_> = config.peers.iter().map(|peer| peer.options().domains.map(|domains| domains.len())).collect();
    assert_eq!(domains, [Some(2), Some(0), None]);
}

#[test]
fn an_owner_that_cannot_be_is_said_where_it_stands() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("products")).unwrap();
    for (text, expected) in [
        ("domains: {people: {}}\n", "node.yaml:1: domains.people: the key `key` is missing"),
        ("domains: {people: {key: 1}}\n", "node.yaml:1: domains.people.key: expected a public key or a list"),
        ("domains: {people: {key: []}}\n", "node.yaml:1: domains.people.key: expected at least one key"),
        ("domains: {people: {key: none.pem}}\n", "node.yaml:1: domains.people.key: cannot read none.pem"),
        ("domains: {people: {key: key.pem}}\n", "node.yaml:1: domains.people.key: is a private key"),
        ("domains: {portolan: {key: public.pem}}\n", "node.yaml:1: domains.portolan: the domain cannot be called"),
        ("domain: a\ndomains: {a: {key: public.pem}}\n", "node.yaml:2: domains.a: the node itself owns this domain"),
        ("peers:\n- {url: 'grpc://a:1', domains: [a.b]}\n", "node.yaml:2: peers[0].domains: the domain's name"),
        (
            "domain: a\npeers:\n- {url: 'grpc://a:1', domains: [a]}\n",
            "node.yaml:3: peers[0].domains: the node itself owns `a`",
        ),
    ] {
        let error = check(folder.path(), text).unwrap_err();
        assert!(error.starts_with(expected), "{text}\n{error}");
    }
}

#[test]
fn what_cannot_be_is_said_where_it_stands() {
    let folder = folder();
    let secret = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
    let inline = secret.replace('\n', "\n    ");
    for (text, expected) in [
        ("node: {name: a}\n", "node.yaml:1: node: a node that signs needs a `name` and a `key`"),
        ("node: {name: a, key: none.pem}\n", "node.yaml:1: node.key: cannot read none.pem"),
        ("node: {name: a, key: public.pem}\n", "node.yaml:1: node.key: public.pem is not a node's private key"),
        ("node: {name: 'a b', key: key.pem}\n", "node.yaml:1: node.key: `a b` is not a valid node name"),
        ("trusted_nodes:\n- {name: a, key: key.pem}\n", "node.yaml:2: trusted_nodes[0].key: is a private key"),
        (
            &format!("trusted_nodes:\n- name: a\n  key: |\n    {inline}\n"),
            "node.yaml:3: trusted_nodes[0].key: is a private",
        ),
        ("trusted_nodes:\n- {name: '', key: public.pem}\n", "node.yaml:2: trusted_nodes[0].name: expected at most 128"),
        (
            "trusted_nodes:\n- {name: a, key: public.pem, may_act_for: ann}\n",
            "node.yaml:2: trusted_nodes[0].may_act_for: `ann` is neither `all` nor a list of names",
        ),
        (
            "trusted_nodes:\n- {name: a, key: public.pem, may_act_for: [ann, 'node:a', 'node:b']}\n",
            "node.yaml:2: trusted_nodes[0].may_act_for: `node:b` is another node",
        ),
        (
            "node: {name: a, key: key.pem}\npeers:\n- {url: 'grpc://b:1'}\n",
            "node.yaml:3: peers[0].url: the node would send tokens signed with `node.key` to grpc://b:1 without TLS",
        ),
        (
            "listen: 0.0.0.0:1\nanonymous: true\nallow_plaintext: true\ntrusted_nodes:\n- {name: a, key: public.pem}\n",
            "node.yaml:4: trusted_nodes: `listen` does not show how other nodes reach this node",
        ),
    ] {
        let error = check(folder.path(), text).unwrap_err();
        assert!(error.starts_with(expected), "{text}\n{error}");
        assert!(!error.contains(secret.lines().nth(1).unwrap()), "{error}");
    }
}
