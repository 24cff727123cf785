-- The customers who returned more than twice the average of the customers of their nation.
WITH returned AS (
    SELECT c_custkey AS customer, c_name AS name, c_nationkey AS nation_key, sum(l_extendedprice) AS value
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    JOIN sales.customers.customer ON c_custkey = o_custkey
    WHERE l_returnflag = 'R'
    GROUP BY c_custkey, c_name, c_nationkey
)
SELECT n_name, r.name, r.value
FROM returned AS r
JOIN geo.places.nation ON n_nationkey = r.nation_key
WHERE r.value * (SELECT count(*) FROM returned AS c WHERE c.nation_key = r.nation_key)
    > 2 * (SELECT sum(s.value) FROM returned AS s WHERE s.nation_key = r.nation_key)
ORDER BY r.value DESC, r.name
LIMIT 100
