-- March 1996 by way of transport, counting only frequent parts that one of the best customers bought.
WITH frequent_parts AS (
    SELECT l_partkey AS part
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE p_mfgr IN ('Manufacturer#1', 'Manufacturer#2')
    GROUP BY l_partkey
    HAVING count(*) > 30
),
customer_totals AS (
    SELECT o_custkey AS customer, sum(l_extendedprice * (1 - l_discount)) AS spent
    FROM sales.orders.orders
    JOIN sales.orders.lineitem ON l_orderkey = o_orderkey
    GROUP BY o_custkey
),
best_customers AS (
    SELECT customer
    FROM customer_totals
    WHERE spent * 2 > (SELECT max(spent) FROM customer_totals)
),
sold AS (
    SELECT 'air' AS channel, l_shipmode AS mode, l_extendedprice * (1 - l_discount) AS value
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    WHERE l_shipmode IN ('AIR', 'REG AIR')
        AND o_orderdate >= DATE '1996-03-01' AND o_orderdate < DATE '1996-04-01'
        AND l_partkey IN (SELECT part FROM frequent_parts)
        AND o_custkey IN (SELECT customer FROM best_customers)
    UNION ALL
    SELECT 'land' AS channel, l_shipmode AS mode, l_extendedprice * (1 - l_discount) AS value
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    WHERE l_shipmode IN ('RAIL', 'TRUCK')
        AND o_orderdate >= DATE '1996-03-01' AND o_orderdate < DATE '1996-04-01'
        AND l_partkey IN (SELECT part FROM frequent_parts)
        AND o_custkey IN (SELECT customer FROM best_customers)
)
SELECT channel, mode, count(*) AS items, sum(value) AS value
FROM sold
GROUP BY channel, mode
ORDER BY channel, mode
