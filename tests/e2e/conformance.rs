//! The conformance suite: every source and every site returns the same rows of the same tables, its capabilities are
//! honest, and its faults are errors that name it. The expected values are written by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portolan_engine::ErrorKind;
use portolan_tests::conformance::cases::{self, Case};
use portolan_tests::conformance::faulty_site::{DISK_IS_FULL, Fault};
use portolan_tests::conformance::placement::PlacedOperator;
use portolan_tests::conformance::probes::{PROBES, Probe, ProbePlans};
use portolan_tests::conformance::tables::{self, NAMES, NOTHING};
use portolan_tests::conformance::types::{IDS, TypedColumn, typed_columns};
use portolan_tests::conformance::{SiteUnderTest, Subject, fixtures};
use portolan_tests::mesh::within;
use portolan_tests::rows::assert_says;
use portolan_tests::ways::assert_lines;

/// The faults of a site, each with a part of the error.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::Refusal, DISK_IS_FULL),
    (Fault::BrokenStream, DISK_IS_FULL),
    (Fault::NoEnd, "without an end"),
    (Fault::FewerRows, "5 rows were sent and 0 arrived"),
    (Fault::OneMoreColumn, "expected 2 columns, got 3"),
    (Fault::OtherTypes, "column `id`"),
];

async fn all_give(subject: &Subject, cases: &[Case]) {
    for (sql, expected) in cases {
        subject.gives(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_with_their_extremes() {
    within(120, async {
        for fixture in fixtures().await {
            let subject = fixture.start(vec![tables::types()]).await;
            for column in typed_columns().iter().filter(|column| fixture.holds(column.name)) {
                check_column(&subject, column).await;
            }
        }
    })
    .await;
}

async fn check_column(subject: &Subject, column: &TypedColumn) {
    let name = column.name;
    let sql = format!("SELECT id, {name} FROM @types");
    let printed: Vec<String> = IDS.iter().zip(column.printed).map(|(id, value)| format!("{id}|{value}")).collect();
    for (way, (schema, batches)) in subject.rows(&sql).await {
        let (came, held) = (schema.field(1).data_type(), column.values.data_type());
        assert!(came == held || came.is_string() && held.is_string(), "{way}: {name} is {came}");
        assert_lines(&way, &sql, &batches, &printed);
    }
    for (condition, ids) in column.conditions {
        subject.gives(&format!("SELECT id FROM @types WHERE {condition}"), ids).await;
    }
    subject.gives(&format!("SELECT id FROM @types WHERE {name} IS NULL"), &["5"]).await;
    let extremes = format!("SELECT min({name}), max({name}), count({name}) FROM @types");
    subject.gives(&extremes, &[column.extremes]).await;
    subject.gives(&format!("SELECT count(*) FROM (SELECT DISTINCT {name} FROM @types) AS t"), &[column.distinct]).await;
    subject.gives(&format!("SELECT id FROM @types ORDER BY {name} NULLS FIRST, id"), &column.order).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_need_quotes() {
    within(120, async {
        for fixture in fixtures().await {
            let subject = fixture.start(vec![tables::names()]).await;
            let sql = "SELECT * FROM @names";
            for (way, (schema, batches)) in subject.rows(sql).await {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                assert_eq!(names, NAMES, "{way}");
                assert_lines(&way, sql, &batches, &["1|2|3|4|5|6|7", "11|12|13|14|15|16|17"]);
            }
            all_give(&subject, cases::NAMES).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_one_port() {
    within(120, async {
        for fixture in fixtures().await {
            let subject = fixture.start(vec![tables::items()]).await;
            all_give(&subject, cases::SCANS).await;
            for (condition, ids) in cases::CONDITIONS {
                subject.gives(&format!("SELECT id FROM @items WHERE {condition}"), ids).await;
            }
            all_give(&subject, cases::AGGREGATES).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_two_ports() {
    within(120, async {
        for fixture in fixtures().await {
            let subject = fixture.start(vec![tables::items(), tables::kinds()]).await;
            all_give(&subject, cases::JOINS).await;
            all_give(&subject, cases::ORDERS).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_rows() {
    within(120, async {
        for fixture in fixtures().await.into_iter().filter(|fixture| fixture.holds(NOTHING)) {
            let subject = fixture.start(vec![tables::items(), tables::nothing()]).await;
            all_give(&subject, cases::EMPTY).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_runs_what_its_capabilities_admit() {
    within(120, async {
        let tables = vec![tables::readings(), tables::kinds()];
        let plans = ProbePlans::new(&tables);
        for fixture in fixtures().await {
            let subject = fixture.start(tables.clone()).await;
            let Some(site) = subject.site() else { continue };
            for probe in PROBES {
                check_probe(&subject, site, probe, &plans).await;
            }
        }
    })
    .await;
}

async fn check_probe(subject: &Subject, site: &SiteUnderTest, probe: &Probe, plans: &ProbePlans) {
    let what = format!("{}, {}\n{}", subject.name(), probe.operator, probe.sql);
    subject.gives(probe.sql, probe.rows).await;
    let before = site.fault.queries().len();
    let (_, batches) = subject.run_placed(probe.sql).await;
    assert_lines(&what, probe.sql, &batches, probe.rows);
    let sent: Option<Vec<String>> = site.takes_sql.then(|| site.fault.queries().split_off(before));
    let was_written = sent.iter().flatten().any(|sql| probe.written.split('|').any(|text| sql.contains(text)));
    let plan = subject.placement(probe.sql).await;
    let of_kind: Vec<&PlacedOperator> = plan.iter().filter(|operator| operator.is(probe.operator)).collect();
    let there = of_kind.iter().filter(|operator| operator.site.as_deref() == Some(site.id.as_str())).count();
    let here = of_kind.iter().filter(|operator| operator.is_here()).count();
    match plans.refusal(probe, &site.capabilities).await {
        None => {
            assert!(there > 0, "the site admits the operator, and does not run it: {plan:#?}\n{what}");
            // The local node sorts the rows of a site again, because their order must reach the result.
            let is_there_alone = here == 0 || probe.operator == "Sort";
            assert!(is_there_alone, "the site admits the operator, and the local node runs it: {plan:#?}\n{what}");
            assert!(sent.is_none() || was_written, "`{}` was not sent: {sent:#?}\n{what}", probe.written);
        }
        Some(refusal) => {
            assert!(here > 0 && there == 0, "the site refuses the operator, and runs it: {plan:#?}\n{what}");
            // The two plans write the names of columns differently.
            let refusal = refusal.to_string();
            let cause = refusal.split('`').next().unwrap_or_default();
            let has_reason =
                plan.iter().filter_map(|operator| operator.reason.as_deref()).any(|r| r.starts_with(cause));
            assert!(has_reason, "expected the reason `{refusal}`, got {plan:#?}\n{what}");
            assert!(!was_written, "`{}` was sent: {sent:#?}\n{what}", probe.written);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_about_missing_data_names_the_port() {
    within(60, async {
        for fixture in fixtures().await {
            let diagnostics = fixture.start_without_data(vec![tables::items(), tables::kinds()]).await;
            let text = diagnostics.to_string();
            assert_eq!(diagnostics.0.len(), 2, "{}: {text}", fixture.name);
            for contract in ["items.odcs.yaml", "kinds.odcs.yaml"] {
                assert!(text.contains(contract), "{}: {text}", fixture.name);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_the_site_that_failed() {
    within(120, async {
        for fixture in fixtures().await {
            let subject = fixture.start(vec![tables::items()]).await;
            let Some(site) = subject.site() else { continue };
            let (sql, rows) = ("SELECT id, qty FROM @items", &["1|10", "2|NULL", "3|5", "4|5", "5|-1"]);
            for (fault, said) in FAULTS {
                site.fault.set(*fault);
                for (way, outcome) in subject.outcomes(sql).await {
                    match outcome {
                        Ok((_, batches)) => panic!("{way}, {fault:?}: expected an error, got {batches:?}"),
                        Err(error) => {
                            // A database knows no domains: the error names the port.
                            let owner = if site.takes_sql { "port lab.samples.items" } else { "domain lab" };
                            assert_says(&error, ErrorKind::SiteUnavailable, &[owner, site.id.as_str(), *said]);
                        }
                    }
                }
                site.fault.set(Fault::None);
                subject.gives(sql, rows).await;
            }
        }
    })
    .await;
}
