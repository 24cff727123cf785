//! Client certificates as identities, and the node's own certificate, which changes while the node runs.

use std::fs;
use std::path::Path;

use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, until, within};
use portolan_tests::node::Node;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{Caller, Files, PASSWORD, SOON, assert_no_secret, node, user};

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns a certificate with this common name, signed by `authority`.
pub fn signed(authority: &Authority, name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

pub fn write(folder: &Path, name: &str, (cert, key): &(String, String)) -> Files {
    let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&files.0, cert).unwrap();
    fs::write(&files.1, key).unwrap();
    files
}

fn trusting(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem())).domain_name("127.0.0.1")
}

fn showing(authority: &Authority, (cert, key): &(String, String)) -> ClientTlsConfig {
    trusting(authority).identity(Identity::from_pem(cert, key))
}

pub fn tls((cert, key): &Files, ca: &Path, client_certificate: &str) -> Value {
    json!({ "cert": cert, "key": key, "client_ca": ca, "client_certificate": client_certificate })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_identifies_a_principal() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (authority(), authority());
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, ours.pem()).unwrap();
        let own = write(folder.path(), "node", &signed(&ours, "node"));
        let optional = node(
            &folder.path().join("optional"),
            json!({ "tls": tls(&own, &ca, "optional"), "users": [user("ann"), { "name": "bob", "admin": true }] }),
        );
        let connect = async |tls| Caller::connect(optional.url(), Some(tls)).await;
        let (ann, bob, eve) = (signed(&ours, "ann"), signed(&ours, "bob"), signed(&theirs, "ann"));
        let ann = connect(showing(&ours, &ann)).await.unwrap();
        let bob = connect(showing(&ours, &bob)).await.unwrap();
        let nobody = connect(trusting(&ours)).await.unwrap();

        // The principal is the same as with a password, and a login takes precedence over a certificate.
        let password = nobody.basic("ann", PASSWORD);
        assert!(ann.is_same(&password).await && ann.log_in().await.unwrap().is_same(&ann).await);
        assert!(!bob.is_same(&ann).await && bob.basic("ann", PASSWORD).is_same(&ann).await);
        let refused = nobody.refusal().await;
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains("client certificate"), "{refused:?}");
        // A user without a password cannot log in with an empty one.
        assert_eq!(nobody.basic("bob", "").refusal().await.code(), Code::Unauthenticated);

        // The node refuses a certificate of another authority, and one with the name of the anonymous principal.
        let stranger = connect(showing(&ours, &eve)).await;
        assert!(stranger.is_err() || !stranger.unwrap().is_let_in().await);
        let unnamed = connect(showing(&ours, &signed(&ours, "anonymous"))).await.unwrap();
        assert!(unnamed.refusal().await.message().contains("anonymous"));

        let required = node(&folder.path().join("required"), json!({ "tls": tls(&own, &ca, "required") }));
        let without = Caller::connect(required.url(), Some(trusting(&ours))).await;
        assert!(without.is_err() || !without.unwrap().is_let_in().await);
        let with = Caller::connect(required.url(), Some(showing(&ours, &signed(&ours, "carl")))).await.unwrap();
        assert!(with.is_let_in().await);
        assert_no_secret(&(optional.log() + &required.log()), &[]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_identifies_a_node() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let ours = authority();
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, ours.pem()).unwrap();
        let home = folder.path().join("geo");
        descriptors::write("geo", &data(), &home).unwrap();
        let own = write(folder.path(), "owner", &signed(&ours, "owner"));
        let users = json!([{ "name": "gateway", "node": true }]);
        let owner = Node::start(&home, json!({ "domain": "geo", "tls": tls(&own, &ca, "required"), "users": users }));
        let gateway = |name: &str| {
            let (cert, key) = write(folder.path(), name, &signed(&ours, name));
            let peer = json!({ "url": owner.url(), "ca": ca, "cert": cert, "key": key });
            node(&folder.path().join(name), json!({ "peers": [peer], "refresh_interval": "500ms" }))
        };
        let sql = "SELECT count(*) FROM geo.places.nation WHERE n_name <> 'x'";
        let (known, stranger) = (gateway("gateway"), gateway("stranger"));
        let asking = Caller::connect(known.url(), None).await.unwrap();
        until("the gateway is authorized", SOON, async || asking.ask(sql).await.is_ok_and(|rows| rows.contains("25")))
            .await;
        // Like any client with a certificate of this authority, it may read the catalog, but it may not send fragments.
        let asking = Caller::connect(stranger.url(), None).await.unwrap();
        let denied = async || asking.ask(sql).await.is_err_and(|e| e.code() == Code::PermissionDenied);
        until("the stranger is refused", SOON, denied).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_rotate_while_the_node_runs() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (authority(), authority());
        let (cert, key) = write(folder.path(), "node", &signed(&old, "node"));
        let node = node(folder.path(), json!({ "tls": { "cert": cert, "key": key } }));
        let trusts = async |authority: &Authority| Caller::connect(node.url(), Some(trusting(authority))).await.is_ok();
        let before = Caller::connect(node.url(), Some(trusting(&old))).await.unwrap();
        assert!(before.is_let_in().await && !trusts(&new).await);

        // An invalid file is not used.
        fs::write(&cert, "no certificate").unwrap();
        until("the bad file is seen", SOON, async || node.log().contains("keeping the last valid ones")).await;
        assert!(trusts(&old).await);
        write(folder.path(), "node", &signed(&new, "node"));
        until("the new certificate is shown", SOON, async || trusts(&new).await).await;
        assert!(!trusts(&old).await && before.is_let_in().await);
        assert_no_secret(&node.log(), &[]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handshake_blocks_no_other_connection() {
    within(180, async {
        let folder = tempfile::tempdir().unwrap();
        let ours = authority();
        let (cert, key) = write(folder.path(), "node", &signed(&ours, "node"));
        let node = node(folder.path(), json!({ "tls": { "cert": cert, "key": key } }));
        let address = node.url().rsplit_once('/').unwrap().1;
        // These are more handshakes than may run at once, and none of them sends a byte.
        let mut silent = vec![];
        for _ in 0..300 {
            silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        let caller = Caller::connect(node.url(), Some(trusting(&ours))).await.unwrap();
        assert!(caller.is_let_in().await);
        assert_eq!(silent.len(), 300);
    })
    .await;
}
