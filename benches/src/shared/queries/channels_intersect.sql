-- By nation and month of 1996: the customers who received items by air, by rail and by truck in that month.
WITH received AS (
    SELECT o_custkey AS customer, EXTRACT(MONTH FROM l_receiptdate) AS receipt_month, l_shipmode AS mode
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    WHERE l_receiptdate >= DATE '1996-01-01' AND l_receiptdate < DATE '1997-01-01'
),
in_all AS (
    SELECT customer, receipt_month FROM received WHERE mode = 'AIR'
    INTERSECT
    SELECT customer, receipt_month FROM received WHERE mode = 'RAIL'
    INTERSECT
    SELECT customer, receipt_month FROM received WHERE mode = 'TRUCK'
)
SELECT n_name, receipt_month, count(*) AS customers
FROM in_all
JOIN sales.customers.customer ON c_custkey = customer
JOIN geo.places.nation ON n_nationkey = c_nationkey
GROUP BY n_name, receipt_month
ORDER BY n_name, receipt_month
