-- The ten best suppliers of each nation, each beside the supplier one rank above.
WITH supplied AS (
    SELECT s_nationkey AS nation_key, s_name AS supplier, sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM sales.orders.lineitem
    JOIN supply.suppliers.supplier ON s_suppkey = l_suppkey
    WHERE l_shipdate >= DATE '1995-01-01' AND l_shipdate < DATE '1997-01-01'
    GROUP BY s_nationkey, s_name
),
ranked AS (
    SELECT
        n_name AS nation,
        supplier,
        revenue,
        row_number() OVER (PARTITION BY nation_key ORDER BY revenue DESC, supplier) AS place
    FROM supplied
    JOIN geo.places.nation ON n_nationkey = nation_key
)
SELECT
    lower.nation,
    lower.place,
    lower.supplier,
    upper.supplier AS supplier_above,
    upper.revenue - lower.revenue AS missing
FROM ranked AS lower
JOIN ranked AS upper ON upper.nation = lower.nation AND upper.place = lower.place - 1
WHERE lower.place <= 10
ORDER BY lower.nation, lower.place
