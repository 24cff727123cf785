-- The suppliers who most often were the only late ones in an order of several suppliers.
WITH order_suppliers AS (
    SELECT
        l_orderkey AS order_key,
        l_suppkey AS supplier,
        max(CASE WHEN l_receiptdate > l_commitdate THEN 1 ELSE 0 END) AS late
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    WHERE o_orderstatus = 'F'
    GROUP BY l_orderkey, l_suppkey
)
SELECT s_name, n_name, count(*) AS orders
FROM order_suppliers AS a
JOIN supply.suppliers.supplier ON s_suppkey = a.supplier
JOIN geo.places.nation ON n_nationkey = s_nationkey
WHERE a.late = 1
    AND EXISTS (
        SELECT 1 FROM order_suppliers AS b WHERE b.order_key = a.order_key AND b.supplier <> a.supplier
    )
    AND NOT EXISTS (
        SELECT 1
        FROM order_suppliers AS c
        WHERE c.order_key = a.order_key AND c.supplier <> a.supplier AND c.late = 1
    )
GROUP BY s_name, n_name
ORDER BY orders DESC, s_name
LIMIT 100
