//! Derived ports that everybody may read, whose queries read a port of which the principal sees a part.

use super::*;
use crate::Limits;

const POLICIES: &str = r#"
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has dept && resource.dept == "a" };

permit(principal in Group::"owners", action, resource);

permit(principal, action == Action::"read", resource is sales::p::parts);
"#;

const POLICY: &str = r#"permit(principal in Group::"owners", action, resource is sales::p::people);"#;

/// Returns the people, and a port whose query fails for the hidden row with a value of this row.
fn domain_with_parts() -> LocalDomain {
    let rows = people(false);
    let people = Port::new(name("people")).with_columns(columns(&rows[0].schema()));
    let part = format!("CAST(CASE WHEN id = {HIDDEN} THEN ssn || 'x' ELSE '1' END AS BIGINT) AS part");
    let parts = derived("parts", &["id", "part"], &format!("SELECT id, {part} FROM p.people"));
    let local = local_domain(catalog("sales", [people, parts]), |_| rows.clone());
    local.with_policies(PolicyFiles::of_product("p", POLICIES))
}

#[tokio::test]
async fn a_port_that_is_derived_from_a_governed_one_has_no_statistics() {
    let ungoverned = || {
        let rows = people(false);
        let mut people = Port::new(name("people")).with_columns(columns(&rows[0].schema()));
        people.statistics = Arc::new(PortStatistics { rows: Some(2000), ..PortStatistics::default() });
        // The policies of `p` are not about the ports of `q`.
        let derived = |port: &str, query: &str| {
            let mut derived = derived(port, &["id"], query);
            derived.name = PortRef::new("sales", "q", port);
            derived
        };
        let (first, second) =
            (derived("first", "SELECT id FROM p.people"), derived("second", "SELECT id FROM q.first"));
        local_domain(catalog("sales", [people, first, second]), move |_| rows.clone())
    };
    let governed = ungoverned().with_policies(PolicyFiles::of_product("p", POLICY));
    let sql = "SELECT coalesce(CAST(rows AS VARCHAR), 'unknown') FROM mesh.ports ORDER BY port";
    for (domain, expected) in [(ungoverned(), "2000"), (governed, "unknown")] {
        let owner = OwnerPeer::of(domain);
        let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
        gateway.refresh().await;
        for engine in [&owner.engine, &gateway] {
            assert_eq!(lines(engine, boss(), sql).await, [expected; 3]);
        }
    }
}

#[tokio::test]
async fn a_derived_port_shows_nothing_else_of_rows_that_the_principal_may_not_read() {
    let owner = OwnerPeer::of(domain_with_parts());
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let sum = "SELECT sum(part) FROM sales.p.parts";
    for engine in [&owner.engine, &gateway] {
        assert_eq!(lines(engine, analyst(), "SELECT count(*) FROM sales.p.parts").await, ["1000"]);
        // A condition does not keep the query from the row, and so does not find it.
        for sql in [sum.to_owned(), format!("{sum} WHERE id <> {HIDDEN}"), format!("EXPLAIN ANALYZE {sum}")] {
            let error = failed(engine, analyst(), &sql).await;
            assert!(!error.chain().contains("000000003"), "{sql}: {}", error.chain());
        }
        let text = lines(engine, analyst(), "EXPLAIN ANALYZE SELECT count(*) FROM sales.p.parts").await.join("\n");
        assert!(!text.contains("people") && !text.contains("DataSourceExec"), "{text}");
    }
    let error = failed(&owner.engine, analyst(), sum).await;
    assert!(error.chain().contains("the governed port sales.p.parts cannot be read"), "{}", error.chain());
    // Whoever may read all people may see the value.
    let error = failed(&owner.engine, boss(), sum).await;
    assert!(error.chain().contains("000000003x"), "{}", error.chain());
}

#[tokio::test]
async fn a_lack_of_memory_shows_no_operator_of_a_derived_port() {
    let limits = Limits { query_memory: 4 << 20, ..Limits::default() };
    let engine = Engine::builder().cpu_threads(1).limits(limits).local_domain(domain_with_parts()).build().unwrap();
    let large = "SELECT array_agg(repeat('x', 20000) || CAST(id AS VARCHAR)) FROM";
    let error = failed(&engine, analyst(), &format!("{large} sales.p.parts")).await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{}", error.chain());
    assert!(error.chain().contains("no operator and no amount is shown"), "{}", error.chain());
    assert!(!error.chain().contains("consumed") && !error.chain().contains("bytes"), "{}", error.chain());
    // Other queries show what helps to find the cause.
    let error =
        failed(&engine, analyst(), &format!("{large} (SELECT value AS id FROM generate_series(1, 1000))")).await;
    assert!(
        error.chain().contains("limits.query_memory") && !error.chain().contains("no operator"),
        "{}",
        error.chain()
    );
}
