//! Queries that filter a dimension and join it with a large table of another domain.

/// A query with a filtered dimension.
#[derive(Clone, Copy)]
pub struct Filtered {
    /// The filter, in words.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

/// The queries. Distinct counts keep the rows of the large table in the join: without them, an owner groups its rows first.
pub const FILTERED: [Filtered; 13] = [
    Filtered {
        name: "orders of a year",
        sql: "SELECT d_month, count(DISTINCT o_custkey) AS customers FROM sales.orders.orders \
              JOIN calendar.periods.days ON o_orderdate = d_day WHERE d_year = 1995 GROUP BY d_month",
    },
    Filtered {
        name: "lines of a month",
        sql: "SELECT d_day, count(DISTINCT l_partkey) AS parts FROM sales.orders.lineitem \
              JOIN calendar.periods.days ON l_shipdate = d_day WHERE d_year = 1994 AND d_month = 3 GROUP BY d_day",
    },
    Filtered {
        name: "orders of a year's weekends, grouped at their owner",
        sql: "SELECT d_month, count(*) AS orders, sum(o_totalprice) AS price FROM sales.orders.orders \
              JOIN calendar.periods.days ON o_orderdate = d_day \
              WHERE d_year = 1996 AND d_weekday IN (0, 6) GROUP BY d_month",
    },
    Filtered {
        name: "orders of all Mondays",
        sql: "SELECT d_year, count(DISTINCT o_custkey) AS customers FROM sales.orders.orders \
              JOIN calendar.periods.days ON o_orderdate = d_day WHERE d_weekday = 1 GROUP BY d_year",
    },
    Filtered {
        name: "orders of the last year, which ends in August",
        sql: "SELECT d_month, count(DISTINCT o_custkey) AS customers FROM sales.orders.orders \
              JOIN calendar.periods.days ON o_orderdate = d_day WHERE d_year = 1998 GROUP BY d_month",
    },
    Filtered {
        name: "orders of a year without orders",
        sql: "SELECT d_month, count(DISTINCT o_custkey) AS customers FROM sales.orders.orders \
              JOIN calendar.periods.days ON o_orderdate = d_day WHERE d_year = 2010 GROUP BY d_month",
    },
    Filtered {
        name: "orders of a nation's customers",
        sql: "SELECT o_orderpriority, count(*) AS orders FROM sales.orders.orders \
              JOIN sales.customers.customer ON o_custkey = c_custkey \
              JOIN geo.places.nation ON c_nationkey = n_nationkey WHERE n_name = 'PERU' GROUP BY o_orderpriority",
    },
    Filtered {
        name: "lines of a nation's suppliers",
        sql: "SELECT s_name, count(DISTINCT l_partkey) AS parts FROM sales.orders.lineitem \
              JOIN supply.suppliers.supplier ON l_suppkey = s_suppkey \
              JOIN geo.places.nation ON s_nationkey = n_nationkey WHERE n_name = 'PERU' GROUP BY s_name",
    },
    Filtered {
        name: "lines of a brand's parts",
        sql: "SELECT p_type, count(DISTINCT l_orderkey) AS orders FROM sales.orders.lineitem \
              JOIN supply.parts.part ON l_partkey = p_partkey WHERE p_brand = 'Brand#23' GROUP BY p_type",
    },
    Filtered {
        name: "lines of a brand's parts in one container",
        sql: "SELECT p_type, count(DISTINCT l_orderkey) AS orders FROM sales.orders.lineitem \
              JOIN supply.parts.part ON l_partkey = p_partkey \
              WHERE p_brand = 'Brand#23' AND p_container = 'MED BOX' GROUP BY p_type",
    },
    Filtered {
        name: "lines of a brand's parts in a year",
        sql: "SELECT d_month, count(DISTINCT l_orderkey) AS orders FROM sales.orders.lineitem \
              JOIN supply.parts.part ON l_partkey = p_partkey JOIN calendar.periods.days ON l_shipdate = d_day \
              WHERE p_brand = 'Brand#23' AND d_year = 1995 GROUP BY d_month",
    },
    Filtered {
        name: "lines of a nation's suppliers in a quarter",
        sql: "SELECT s_name, count(DISTINCT l_partkey) AS parts FROM sales.orders.lineitem \
              JOIN supply.suppliers.supplier ON l_suppkey = s_suppkey \
              JOIN geo.places.nation ON s_nationkey = n_nationkey JOIN calendar.periods.days ON l_shipdate = d_day \
              WHERE n_name = 'PERU' AND d_year = 1996 AND d_quarter = 2 GROUP BY s_name",
    },
    Filtered {
        name: "orders of a nation's customers in a year",
        sql: "SELECT d_month, count(DISTINCT o_custkey) AS customers FROM sales.orders.orders \
              JOIN sales.customers.customer ON o_custkey = c_custkey \
              JOIN geo.places.nation ON c_nationkey = n_nationkey JOIN calendar.periods.days ON o_orderdate = d_day \
              WHERE n_name = 'PERU' AND d_year = 1995 GROUP BY d_month",
    },
];
