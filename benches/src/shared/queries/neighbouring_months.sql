-- Each brand's sales by month of 1996, beside the month before, the month after and the whole year.
WITH monthly AS (
    SELECT
        p_brand AS brand,
        EXTRACT(YEAR FROM l_shipdate) AS ship_year,
        EXTRACT(MONTH FROM l_shipdate) AS ship_month,
        sum(l_quantity) AS quantity
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1995-12-01' AND l_shipdate < DATE '1997-02-01'
    GROUP BY p_brand, EXTRACT(YEAR FROM l_shipdate), EXTRACT(MONTH FROM l_shipdate)
),
numbered AS (
    SELECT
        brand,
        ship_year,
        ship_month,
        quantity,
        sum(quantity) OVER (PARTITION BY brand, ship_year) AS quantity_of_year,
        row_number() OVER (PARTITION BY brand ORDER BY ship_year, ship_month) AS position
    FROM monthly
)
SELECT
    now.brand,
    now.ship_month,
    earlier.quantity AS quantity_before,
    now.quantity AS quantity,
    later.quantity AS quantity_after,
    now.quantity_of_year
FROM numbered AS now
JOIN numbered AS earlier ON earlier.brand = now.brand AND earlier.position = now.position - 1
JOIN numbered AS later ON later.brand = now.brand AND later.position = now.position + 1
WHERE now.ship_year = 1996
ORDER BY now.brand, now.ship_month
