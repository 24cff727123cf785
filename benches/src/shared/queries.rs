//! Twenty queries as reports have them: each reads a part of itself several times. They run unchanged in DuckDB. To compare
//! rows exactly, each has a total order, quotients are of floating-point numbers, and nothing else is.

/// A query of a report.
#[derive(Clone, Copy)]
pub struct Report {
    /// The name, which is also the name of the file.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

macro_rules! report {
    ($name:literal) => {
        Report { name: $name, sql: include_str!(concat!("queries/", $name, ".sql")) }
    };
}

/// The queries, in the order in which they run.
pub const REPORTS: [Report; 20] = [
    report!("year_over_year"),
    report!("growing_channels"),
    report!("same_months_of_two_years"),
    report!("neighbouring_months"),
    report!("uneven_months"),
    report!("top_customers_twice"),
    report!("best_of_two_channels"),
    report!("first_and_last_order"),
    report!("ranks_joined"),
    report!("two_cheapest_offers"),
    report!("channels_intersect"),
    report!("channels_except"),
    report!("rollup"),
    report!("rollup_of_channels"),
    report!("chain_of_ctes"),
    report!("total_and_shares"),
    report!("market_shares"),
    report!("above_average_returns"),
    report!("only_late_supplier"),
    report!("bands_of_quantity"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicBool;

    use portolan_testbed::single::single_process;
    use portolan_testbed::tpch::cache::ensure;

    use super::*;
    use crate::measure::in_one_process;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_query_returns_rows_in_a_total_order() {
        let folder = tempfile::tempdir().unwrap();
        let data = ensure(folder.path(), 0.01, &|_, _| {}, &AtomicBool::new(false)).unwrap();
        let engine = single_process(&data).await.unwrap();
        for Report { name, sql } in REPORTS {
            let (_, batches, _) = in_one_process(engine.sql(sql)).await.unwrap();
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            assert!((1..=1000).contains(&rows), "{name}: {rows} rows");
            assert!(rows == 1 || sql.contains("\nORDER BY "), "{name} has no order");
        }
    }
}
