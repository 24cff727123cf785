//! Derived ports that everybody may read, whose queries read a port of which the principal sees a part.

use super::*;

const POLICIES: &str = r#"
permit(principal in Group::"analysts", action == Action::"read", resource is sales::p::people)
when { resource has dept && resource.dept == "a" };

permit(principal in Group::"owners", action, resource);

permit(principal, action == Action::"read", resource is sales::p::parts);
"#;

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
