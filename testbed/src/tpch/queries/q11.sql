-- The specification divides the fraction 0.0001 by the scale factor; it is left as it is at scale 1, so that the text
-- of the query is one for every scale.
SELECT ps_partkey, sum(ps_supplycost * ps_availqty) AS value
FROM supply.parts.partsupp, supply.suppliers.supplier, geo.places.nation
WHERE ps_suppkey = s_suppkey
    AND s_nationkey = n_nationkey
    AND n_name = 'GERMANY'
GROUP BY ps_partkey
HAVING sum(ps_supplycost * ps_availqty) > (
    SELECT sum(ps_supplycost * ps_availqty) * 0.0001
    FROM supply.parts.partsupp, supply.suppliers.supplier, geo.places.nation
    WHERE ps_suppkey = s_suppkey
        AND s_nationkey = n_nationkey
        AND n_name = 'GERMANY'
)
ORDER BY value DESC
