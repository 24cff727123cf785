-- The hundred customers who spent most, by nation: their orders, and what they returned.
WITH top_customers AS (
    SELECT o_custkey AS customer, sum(o_totalprice) AS spent
    FROM sales.orders.orders
    GROUP BY o_custkey
    ORDER BY spent DESC, customer
    LIMIT 100
),
bought AS (
    SELECT c_nationkey AS nation_key, count(*) AS customers, sum(spent) AS spent
    FROM top_customers
    JOIN sales.customers.customer ON c_custkey = customer
    GROUP BY c_nationkey
),
returned AS (
    SELECT c_nationkey AS nation_key, count(*) AS items, sum(l_extendedprice * (1 - l_discount)) AS value
    FROM top_customers
    JOIN sales.customers.customer ON c_custkey = customer
    JOIN sales.orders.orders ON o_custkey = customer
    JOIN sales.orders.lineitem ON l_orderkey = o_orderkey
    WHERE l_returnflag = 'R'
    GROUP BY c_nationkey
)
SELECT n_name, bought.customers, bought.spent, returned.items, returned.value
FROM bought
JOIN returned ON returned.nation_key = bought.nation_key
JOIN geo.places.nation ON n_nationkey = bought.nation_key
ORDER BY bought.spent DESC, n_name
