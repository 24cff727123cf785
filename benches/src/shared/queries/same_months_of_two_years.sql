-- Shipped quantities by way of transport and month, in 1995 and in 1996.
WITH monthly AS (
    SELECT
        l_shipmode AS mode,
        EXTRACT(YEAR FROM l_shipdate) AS ship_year,
        EXTRACT(MONTH FROM l_shipdate) AS ship_month,
        count(*) AS items,
        sum(l_quantity) AS quantity
    FROM sales.orders.lineitem
    JOIN sales.orders.orders ON o_orderkey = l_orderkey
    WHERE o_orderpriority IN ('1-URGENT', '2-HIGH')
    GROUP BY l_shipmode, EXTRACT(YEAR FROM l_shipdate), EXTRACT(MONTH FROM l_shipdate)
),
year_1995 AS (
    SELECT mode, ship_month, items, quantity FROM monthly WHERE ship_year = 1995
),
year_1996 AS (
    SELECT mode, ship_month, items, quantity FROM monthly WHERE ship_year = 1996
)
SELECT
    a.mode,
    a.ship_month,
    a.items AS items_1995,
    b.items AS items_1996,
    a.quantity AS quantity_1995,
    b.quantity AS quantity_1996,
    CAST(b.quantity AS DOUBLE) / CAST(a.quantity AS DOUBLE) AS ratio
FROM year_1995 AS a
JOIN year_1996 AS b ON b.mode = a.mode AND b.ship_month = a.ship_month
ORDER BY a.mode, a.ship_month
