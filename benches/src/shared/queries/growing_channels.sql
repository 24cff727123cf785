-- The customers whose purchases by air grew more from 1995 to 1996 than those by all other ways.
WITH yearly AS (
    SELECT
        c_custkey AS customer,
        c_name AS name,
        EXTRACT(YEAR FROM o_orderdate) AS order_year,
        CASE WHEN l_shipmode IN ('AIR', 'REG AIR') THEN 'air' ELSE 'ground' END AS channel,
        sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.customers.customer
    JOIN sales.orders.orders ON o_custkey = c_custkey
    JOIN sales.orders.lineitem ON l_orderkey = o_orderkey
    GROUP BY
        c_custkey,
        c_name,
        EXTRACT(YEAR FROM o_orderdate),
        CASE WHEN l_shipmode IN ('AIR', 'REG AIR') THEN 'air' ELSE 'ground' END
)
SELECT
    air_1996.name,
    air_1996.revenue - air_1995.revenue AS air_growth,
    ground_1996.revenue - ground_1995.revenue AS ground_growth
FROM yearly AS air_1995
JOIN yearly AS air_1996 ON air_1996.customer = air_1995.customer
JOIN yearly AS ground_1995 ON ground_1995.customer = air_1995.customer
JOIN yearly AS ground_1996 ON ground_1996.customer = air_1995.customer
WHERE air_1995.channel = 'air' AND air_1995.order_year = 1995
    AND air_1996.channel = 'air' AND air_1996.order_year = 1996
    AND ground_1995.channel = 'ground' AND ground_1995.order_year = 1995
    AND ground_1996.channel = 'ground' AND ground_1996.order_year = 1996
    AND air_1996.revenue - air_1995.revenue > ground_1996.revenue - ground_1995.revenue
ORDER BY air_growth DESC, air_1996.name
LIMIT 100
