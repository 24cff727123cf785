-- The customers above three times the average of their nation, in the nations above the average of all nations.
WITH order_values AS (
    SELECT o_custkey AS customer, o_orderkey AS order_key, sum(l_extendedprice * (1 - l_discount)) AS value
    FROM sales.orders.orders
    JOIN sales.orders.lineitem ON l_orderkey = o_orderkey
    WHERE o_orderdate >= DATE '1995-01-01' AND o_orderdate < DATE '1997-01-01'
    GROUP BY o_custkey, o_orderkey
),
customer_values AS (
    SELECT c_nationkey AS nation_key, c_name AS name, count(*) AS orders, sum(value) AS value
    FROM order_values
    JOIN sales.customers.customer ON c_custkey = customer
    GROUP BY c_nationkey, c_name
),
nation_values AS (
    SELECT nation_key, count(*) AS customers, sum(value) AS value
    FROM customer_values
    GROUP BY nation_key
),
world AS (
    SELECT count(*) AS nations, sum(value) AS value
    FROM nation_values
),
large_nations AS (
    SELECT nation_key, customers, nation_values.value
    FROM nation_values
    CROSS JOIN world
    WHERE nation_values.value * world.nations > world.value
)
SELECT n_name, c.name, c.orders, c.value
FROM customer_values AS c
JOIN large_nations AS l ON l.nation_key = c.nation_key
JOIN geo.places.nation ON n_nationkey = c.nation_key
WHERE c.value * l.customers > l.value * 3
ORDER BY n_name, c.value DESC, c.name
LIMIT 500
