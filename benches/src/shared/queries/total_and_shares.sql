-- Each brand's revenue, its share of its manufacturer's, and its share of all revenue.
WITH by_brand AS (
    SELECT p_mfgr AS manufacturer, p_brand AS brand, sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1993-01-01'
    GROUP BY p_mfgr, p_brand
),
by_manufacturer AS (
    SELECT manufacturer, sum(revenue) AS revenue
    FROM by_brand
    GROUP BY manufacturer
)
SELECT
    b.manufacturer,
    b.brand,
    b.revenue,
    CAST(b.revenue AS DOUBLE) / CAST(m.revenue AS DOUBLE) AS share_of_manufacturer,
    CAST(b.revenue AS DOUBLE) / CAST((SELECT sum(revenue) FROM by_brand) AS DOUBLE) AS share_of_all
FROM by_brand AS b
JOIN by_manufacturer AS m ON m.manufacturer = b.manufacturer
ORDER BY b.revenue DESC, b.brand
