-- The share of each supplier's nation in the revenue of each customer's region, by year.
WITH traded AS (
    SELECT
        r_name AS region,
        supplied.n_name AS nation,
        EXTRACT(YEAR FROM o_orderdate) AS order_year,
        sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    JOIN sales.customers.customer ON c_custkey = o_custkey
    JOIN geo.places.nation AS bought ON bought.n_nationkey = c_nationkey
    JOIN geo.places.region ON r_regionkey = bought.n_regionkey
    JOIN supply.suppliers.supplier ON s_suppkey = l_suppkey
    JOIN geo.places.nation AS supplied ON supplied.n_nationkey = s_nationkey
    WHERE o_orderdate >= DATE '1995-01-01' AND o_orderdate < DATE '1997-01-01'
    GROUP BY r_name, supplied.n_name, EXTRACT(YEAR FROM o_orderdate)
),
totals AS (
    SELECT region, order_year, sum(revenue) AS revenue, max(revenue) AS largest
    FROM traded
    GROUP BY region, order_year
)
SELECT
    t.region,
    t.nation,
    t.order_year,
    CAST(t.revenue AS DOUBLE) / CAST(totals.revenue AS DOUBLE) AS share,
    totals.largest - t.revenue AS behind_largest
FROM traded AS t
JOIN totals ON totals.region = t.region AND totals.order_year = t.order_year
ORDER BY t.region, t.order_year, t.nation
