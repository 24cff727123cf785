-- The parts of each brand that were shipped by air in June 1995, but neither by ship nor by mail.
SELECT p_brand, count(*) AS parts
FROM (
    SELECT p_brand, l_partkey
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1995-06-01' AND l_shipdate < DATE '1995-07-01' AND l_shipmode = 'AIR'
    EXCEPT
    SELECT p_brand, l_partkey
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1995-06-01' AND l_shipdate < DATE '1995-07-01' AND l_shipmode = 'SHIP'
    EXCEPT
    SELECT p_brand, l_partkey
    FROM sales.orders.lineitem
    JOIN supply.parts.part ON p_partkey = l_partkey
    WHERE l_shipdate >= DATE '1995-06-01' AND l_shipdate < DATE '1995-07-01' AND l_shipmode = 'MAIL'
) AS only_by_air
GROUP BY p_brand
ORDER BY p_brand
