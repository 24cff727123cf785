-- Each nation's revenue of a year, beside that of the year before.
WITH yearly AS (
    SELECT
        n_name AS nation,
        EXTRACT(YEAR FROM o_orderdate) AS order_year,
        sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    JOIN sales.customers.customer ON c_custkey = o_custkey
    JOIN geo.places.nation ON n_nationkey = c_nationkey
    GROUP BY n_name, EXTRACT(YEAR FROM o_orderdate)
)
SELECT
    later.nation,
    later.order_year,
    later.revenue,
    earlier.revenue AS revenue_before,
    later.revenue - earlier.revenue AS growth
FROM yearly AS later
JOIN yearly AS earlier ON earlier.nation = later.nation AND earlier.order_year = later.order_year - 1
ORDER BY later.nation, later.order_year
