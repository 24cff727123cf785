-- The parts of one size whose second cheapest European offer costs most above the cheapest.
WITH offers AS (
    SELECT p_partkey AS part, p_mfgr AS manufacturer, s_name AS supplier, n_name AS nation, ps_supplycost AS cost
    FROM supply.parts.part
    JOIN supply.parts.partsupp ON ps_partkey = p_partkey
    JOIN supply.suppliers.supplier ON s_suppkey = ps_suppkey
    JOIN geo.places.nation ON n_nationkey = s_nationkey
    JOIN geo.places.region ON r_regionkey = n_regionkey
    WHERE r_name = 'EUROPE' AND p_size <= 15
),
ordered AS (
    SELECT
        part,
        manufacturer,
        supplier,
        nation,
        cost,
        row_number() OVER (PARTITION BY part ORDER BY cost, supplier) AS place
    FROM offers
)
SELECT
    best.part,
    best.manufacturer,
    best.supplier,
    best.nation,
    best.cost,
    second.supplier AS second_supplier,
    second.cost - best.cost AS difference
FROM ordered AS best
JOIN ordered AS second ON second.part = best.part
WHERE best.place = 1 AND second.place = 2
ORDER BY difference DESC, best.part
LIMIT 100
