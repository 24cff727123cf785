-- Orders and revenue by region, nation and market segment, with the totals of each level.
WITH sold AS (
    SELECT
        r_name AS region,
        n_name AS nation,
        c_mktsegment AS segment,
        count(*) AS items,
        sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    JOIN sales.customers.customer ON c_custkey = o_custkey
    JOIN geo.places.nation ON n_nationkey = c_nationkey
    JOIN geo.places.region ON r_regionkey = n_regionkey
    WHERE o_orderdate >= DATE '1994-01-01' AND o_orderdate < DATE '1996-01-01'
    GROUP BY r_name, n_name, c_mktsegment
)
SELECT 1 AS level, region, nation, segment, items, revenue
FROM sold
UNION ALL
SELECT 2 AS level, region, nation, 'all' AS segment, sum(items) AS items, sum(revenue) AS revenue
FROM sold
GROUP BY region, nation
UNION ALL
SELECT 3 AS level, region, 'all' AS nation, 'all' AS segment, sum(items) AS items, sum(revenue) AS revenue
FROM sold
GROUP BY region
UNION ALL
SELECT 4 AS level, 'all' AS region, 'all' AS nation, 'all' AS segment, sum(items) AS items, sum(revenue) AS revenue
FROM sold
ORDER BY level, region, nation, segment
