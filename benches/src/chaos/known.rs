//! Queries with known answers: those of TPC-H, and others with random constants. One process computes the answers before
//! anything fails.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use portolan_engine::Engine;
use portolan_node::Result;
use portolan_testbed::compare::{Difference, Order, compare};
use portolan_testbed::tpch::QUERIES;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The number of times that each query gets random constants.
const VARIANTS: usize = 4;
/// Small queries, one for each domain, whose answers no node knows without reading rows.
const PROBES: [&str; 2] = [
    "SELECT count(*) AS customers, max(c_name) AS last FROM sales.customers.customer WHERE c_custkey > 7",
    "SELECT count(*) AS suppliers, max(s_name) AS last FROM supply.suppliers.supplier WHERE s_suppkey > 7",
];

/// The columns and rows of a result.
pub type Rows = (SchemaRef, Vec<RecordBatch>);

/// A query with its answer.
pub struct Known {
    /// The text.
    pub sql: String,
    order: Order,
    answer: Rows,
}

/// The queries of a run.
pub struct Questions {
    /// The queries that clients send.
    pub all: Vec<Known>,
    /// A small query for each domain.
    pub probes: Vec<Known>,
}

impl Questions {
    /// Computes the answers, or returns the error of a query. `seed` decides the constants in the queries.
    pub async fn of(engine: &Engine, seed: u64) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let of_tpch = QUERIES.iter().filter(|query| !query.sql.contains("geo."));
        let mut queries: Vec<_> = of_tpch.map(|query| (query.sql.to_owned(), query.order())).collect();
        for _ in 0..VARIANTS {
            queries.extend(variants(&mut random));
        }
        let mut questions = Self { all: vec![], probes: vec![] };
        for (sql, order) in queries {
            questions.all.push(Known::of(engine, sql, order).await?);
        }
        for sql in PROBES {
            questions.probes.push(Known::of(engine, sql.to_owned(), Order::Any).await?);
        }
        Ok(questions)
    }
}

impl Known {
    async fn of(engine: &Engine, sql: String, order: Order) -> Result<Self> {
        let rows = engine.sql(&sql).await?;
        let schema = rows.schema();
        let batches = rows.try_collect().await?;
        Ok(Self { sql, order, answer: (schema, batches) })
    }

    /// Returns the difference between a result and the answer as an error.
    pub fn check(&self, (schema, batches): &Rows) -> std::result::Result<(), Difference> {
        compare((&self.answer.0, &self.answer.1), (schema, batches), &self.order)
    }
}

/// Returns queries with random constants: of one domain and of both, with few rows and with many.
fn variants(random: &mut StdRng) -> Vec<(String, Order)> {
    let mut n = |most: u32| random.random_range(1..=most);
    let any = [
        format!("SELECT * FROM sales.orders.lineitem WHERE l_linenumber <= {}", n(4)),
        format!(
            "SELECT o_orderpriority, count(*) AS orders, sum(o_totalprice) AS total FROM sales.orders.orders \
             WHERE o_custkey > {} GROUP BY o_orderpriority",
            n(1400)
        ),
        format!(
            "SELECT o_orderkey, CAST(rank() OVER (PARTITION BY o_custkey ORDER BY o_totalprice, o_orderkey) AS BIGINT) \
             AS place FROM sales.orders.orders WHERE o_custkey < {}",
            n(1400)
        ),
        format!(
            "SELECT p_partkey, p_name, count(l_orderkey) AS lines FROM supply.parts.part \
             LEFT JOIN sales.orders.lineitem ON p_partkey = l_partkey AND l_quantity > {} WHERE p_size < {} \
             GROUP BY p_partkey, p_name",
            n(40),
            n(20)
        ),
        format!(
            "SELECT p_partkey FROM supply.parts.part WHERE NOT EXISTS \
             (SELECT 1 FROM sales.orders.lineitem WHERE l_partkey = p_partkey AND l_quantity > {})",
            n(45)
        ),
        format!(
            "SELECT s_suppkey, s_name FROM supply.suppliers.supplier WHERE s_suppkey IN \
             (SELECT l_suppkey FROM sales.orders.lineitem WHERE l_quantity > 45 AND l_orderkey % {} = 0)",
            n(2000)
        ),
        format!(
            "SELECT p_brand AS name, count(*) AS items FROM supply.parts.part WHERE p_size > {} GROUP BY p_brand \
             UNION ALL SELECT o_orderpriority, count(*) FROM sales.orders.orders GROUP BY o_orderpriority",
            n(40)
        ),
    ];
    let ordered = format!(
        "SELECT s_name, sum(l_extendedprice * (1 - l_discount)) AS revenue FROM sales.orders.lineitem \
         JOIN supply.suppliers.supplier ON l_suppkey = s_suppkey WHERE l_shipdate < DATE '199{}-06-01' \
         GROUP BY s_name ORDER BY revenue DESC, s_name LIMIT {}",
        2 + n(5),
        n(20)
    );
    any.into_iter().map(|sql| (sql, Order::Any)).chain([(ordered, Order::Exact)]).collect()
}
