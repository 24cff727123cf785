-- Sales and returns of 1994 by way of transport and manufacturer, with the totals of both levels.
WITH sales_of_parts AS (
    SELECT l_shipmode AS mode, p_mfgr AS manufacturer, sum(l_extendedprice * (1 - l_discount)) AS sold
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
    GROUP BY l_shipmode, p_mfgr
),
returns_of_parts AS (
    SELECT l_shipmode AS mode, p_mfgr AS manufacturer, sum(l_extendedprice * (1 - l_discount)) AS returned
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01' AND l_returnflag = 'R'
    GROUP BY l_shipmode, p_mfgr
),
together AS (
    SELECT s.mode, s.manufacturer, s.sold, r.returned
    FROM sales_of_parts AS s
    JOIN returns_of_parts AS r ON r.mode = s.mode AND r.manufacturer = s.manufacturer
),
by_mode AS (
    SELECT mode, 'all' AS manufacturer, sum(sold) AS sold, sum(returned) AS returned
    FROM together
    GROUP BY mode
)
SELECT mode, manufacturer, sold, returned FROM together
UNION ALL
SELECT mode, manufacturer, sold, returned FROM by_mode
UNION ALL
SELECT 'all' AS mode, 'all' AS manufacturer, sum(sold) AS sold, sum(returned) AS returned FROM by_mode
ORDER BY mode, manufacturer
