//! The action `describe`: a port that a principal may not describe does not exist for the principal, at the owner and
//! through other nodes. A port without a rule about describing is shown to everybody.

use portolan_connectors::node::{NodeCredentials, NodeOptions, NodeSite};
use portolan_connectors::{CatalogAnswer, Peer};
use portolan_engine::ErrorKind;
use portolan_tests::governance::meshes::{
    ADMIN, ANALYST, GovernedMesh, OWNER, PASSWORD, SOON, STRANGER, login, policies,
};
use portolan_tests::governance::outcomes::{FlightSession, Outcome, observed};
use portolan_tests::governance::people::{HiddenRows, PORTS};
use portolan_tests::mesh::{until, within};
use portolan_tests::rows::{assert_says, count, failure};

/// Owners see `rare`, and analysts too, because they may read it. The stranger may not know of `most`, and nobody may
/// know of `expired`, for as long as a date is in the future.
const DESCRIBE: &str = r#"
@id("listed")
permit(principal in Group::"owners", action == Action::"describe", resource is hr::samples::rare);
@id("unlisted")
forbid(principal == User::"eve", action, resource is hr::samples::most);
@id("nobody")
forbid(principal, action == Action::"describe", resource is hr::samples::expired)
when { context.now < datetime("2999-01-01") } unless { principal in Group::"owners" };
"#;

/// The ports that a principal does not see.
const HIDDEN: &[(&str, &[&str])] =
    &[(OWNER, &[]), (ANALYST, &["expired"]), (STRANGER, &["expired", "most", "rare"]), (ADMIN, &["expired", "rare"])];

async fn start(hidden: HiddenRows) -> GovernedMesh {
    let mut policies = policies();
    policies.push(("describe.cedar".to_owned(), DESCRIBE.to_owned()));
    GovernedMesh::start_with(hidden, &policies).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ports_that_a_principal_may_not_describe_do_not_exist() {
    within(300, async {
        let mesh = start(HiddenRows::AsTheyAre).await;
        for (user, hidden) in HIDDEN {
            lists_lack_the_ports(&mesh, user, hidden).await;
            statements_do_not_find_the_ports(&mesh, user, hidden).await;
            raw_catalogs_lack_the_ports(&mesh, user, hidden).await;
        }
    })
    .await;
}

async fn lists_lack_the_ports(mesh: &GovernedMesh, user: &str, hidden: &[&str]) {
    let mut shown: Vec<&str> = PORTS.iter().map(|port| port.name).filter(|name| !hidden.contains(name)).collect();
    shown.sort_unstable();
    for node in [mesh.hr(), mesh.shop(), mesh.gateway()] {
        let client = login(node, user).await;
        for sql in [
            "SELECT port FROM mesh.ports WHERE domain = 'hr' ORDER BY port",
            "SELECT DISTINCT port FROM mesh.columns WHERE domain = 'hr' ORDER BY port",
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'hr' AND table_schema = 'samples' \
             ORDER BY table_name",
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_catalog = 'hr' AND \
             table_schema = 'samples' ORDER BY table_name",
        ] {
            let Outcome::Rows(_, rows) = observed(&client, sql).await else { panic!("{user}: {sql}") };
            assert_eq!(rows, shown, "{user}: {sql}");
        }
        let counted = count(&client, "SELECT ports FROM mesh.domains WHERE domain = 'hr'").await;
        assert_eq!(counted, Ok(shown.len() as i64), "{user}");
        let listed = FlightSession::login(node, user, &[]).await.tables("hr").await;
        assert_eq!(listed, shown, "{user}");
    }
}

async fn statements_do_not_find_the_ports(mesh: &GovernedMesh, user: &str, hidden: &[&str]) {
    for path in mesh.paths(user).await {
        for port in hidden {
            // No port has a similar name, so both errors suggest the same.
            let other = format!("{}x", &port[..port.len() - 1]);
            for sql in [
                "SELECT id FROM hr.samples.{p}",
                "SELECT count(*) FROM shop.samples.orders JOIN hr.samples.{p} ON id = person",
                "EXPLAIN SELECT id FROM hr.samples.{p}",
                "EXPLAIN (POLICY) SELECT id FROM hr.samples.{p}",
                "DESCRIBE hr.samples.{p}",
                "INSERT INTO hr.samples.{p} SELECT * FROM hr.samples.{p}",
            ] {
                let error = failure(&path.client, &sql.replace("{p}", port)).await;
                if sql.contains("SELECT") {
                    assert_says(&error, ErrorKind::NotFound, &[&format!("there is no port `hr.samples.{port}`")]);
                }
                let unknown = failure(&path.client, &sql.replace("{p}", &other)).await;
                assert_eq!(error.kind(), unknown.kind(), "{}: {user}: {sql}", path.name);
                assert_eq!(error.chain().replace(port, &other), unknown.chain(), "{}: {user}: {sql}", path.name);
            }
            let near = failure(&path.client, &format!("SELECT id FROM hr.samples.{port}_")).await;
            assert!(!near.chain().contains(&format!("{port}`")), "{}: {}", path.name, near.chain());
        }
        // The ports without such a rule are found, and refused.
        if user == STRANGER {
            let error = failure(&path.client, "SELECT id FROM hr.samples.people").await;
            assert_says(&error, ErrorKind::PermissionDenied, &[STRANGER, "hr.samples.people"]);
        }
    }
}

/// A client can request the catalog as a node does.
async fn raw_catalogs_lack_the_ports(mesh: &GovernedMesh, user: &str, hidden: &[&str]) {
    let credentials = NodeCredentials { user: user.to_owned(), password: PASSWORD.to_owned() };
    let options = NodeOptions { credentials: Some(credentials), ..NodeOptions::default() };
    let site = NodeSite::new(mesh.hr().url(), options).unwrap();
    let CatalogAnswer::Changed { domains, .. } = site.catalog(None).await.unwrap().answer else {
        panic!("a first answer has the catalogs")
    };
    let ports: Vec<_> = domains.iter().flat_map(|domain| domain.ports()).map(|port| port.name.port.as_str()).collect();
    assert_eq!(ports.len(), PORTS.len() - hidden.len(), "{user}: {ports:?}");
    assert!(hidden.iter().all(|port| !ports.contains(port)), "{user}: {ports:?}");
}

/// Hidden rows change nothing of what principals see in catalogs, and of the errors for hidden ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn catalogs_do_not_depend_on_hidden_rows() {
    within(300, async {
        let (a, b) = tokio::join!(start(HiddenRows::AsTheyAre), start(HiddenRows::Changed));
        // The owner sees the rows that change.
        for (user, _) in HIDDEN.iter().filter(|(user, _)| *user != OWNER) {
            for sql in [
                "SELECT * FROM mesh.ports WHERE domain = 'hr' ORDER BY port",
                "SELECT * FROM mesh.columns WHERE domain = 'hr' ORDER BY port, position",
                "SELECT id FROM hr.samples.rare WHERE id = 1003",
                "SELECT id FROM hr.samples.expired",
            ] {
                for at_gateway in [false, true] {
                    let mut seen = vec![];
                    for mesh in [&a, &b] {
                        let client = login(if at_gateway { mesh.gateway() } else { mesh.hr() }, user).await;
                        let outcome = observed(&client, sql).await;
                        seen.push(outcome.map_text(|text| mesh.without_addresses(text)).text());
                    }
                    assert_eq!(seen[0], seen[1], "{user}: {sql}");
                }
            }
        }
    })
    .await;
}

/// A new rule holds at the owner with the next statement, and at other nodes within seconds, also for prepared statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_rule_hides_a_port_everywhere() {
    within(300, async {
        let mesh = start(HiddenRows::AsTheyAre).await;
        let sql = "SELECT count(*) FROM hr.samples.people";
        let mut prepared = vec![];
        for node in [mesh.hr(), mesh.gateway()] {
            let mut session = FlightSession::login(node, ANALYST, &[]).await;
            let statement = session.prepare(sql).await.unwrap();
            prepared.push((session, statement));
        }
        let rule =
            "forbid(principal == User::\"ann\", action == Action::\"describe\", resource is hr::samples::people);";
        std::fs::write(mesh.policies().join("later.cedar"), rule).unwrap();
        for (session, statement) in &mut prepared {
            until("the port is hidden", SOON, async || {
                matches!(session.run(sql, statement).await, Outcome::Failed(ErrorKind::NotFound, _))
            })
            .await;
        }
        std::fs::remove_file(mesh.policies().join("later.cedar")).unwrap();
        for (session, statement) in &mut prepared {
            until("the port is shown", SOON, async || matches!(session.run(sql, statement).await, Outcome::Rows(..)))
                .await;
        }
    })
    .await;
}
