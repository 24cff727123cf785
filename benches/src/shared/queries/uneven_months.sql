-- The months of 1995 in which the mean square of the quantities from a nation was above that of the year, and the next months.
WITH monthly AS (
    SELECT
        n_name AS nation,
        EXTRACT(MONTH FROM l_shipdate) AS ship_month,
        count(*) AS items,
        sum(l_quantity) AS quantity,
        sum(l_quantity * l_quantity) AS squares
    FROM sales.orders.lineitem
    JOIN supply.suppliers.supplier ON s_suppkey = l_suppkey
    JOIN geo.places.nation ON n_nationkey = s_nationkey
    WHERE l_shipdate >= DATE '1995-01-01' AND l_shipdate < DATE '1996-01-01'
    GROUP BY n_name, EXTRACT(MONTH FROM l_shipdate)
),
yearly AS (
    SELECT nation, sum(items) AS items, sum(squares) AS squares
    FROM monthly
    GROUP BY nation
)
SELECT a.nation, a.ship_month, a.items, b.items AS items_after, a.quantity, b.quantity AS quantity_after
FROM monthly AS a
JOIN monthly AS b ON b.nation = a.nation AND b.ship_month = a.ship_month + 1
JOIN yearly AS y ON y.nation = a.nation
WHERE a.squares * y.items > y.squares * a.items
ORDER BY a.nation, a.ship_month
