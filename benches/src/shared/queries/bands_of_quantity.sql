-- Items, prices and parts in four bands of quantity, each a query of its own.
SELECT
    a.items AS items_1,
    a.price AS price_1,
    a.parts AS parts_1,
    b.items AS items_2,
    b.price AS price_2,
    b.parts AS parts_2,
    c.items AS items_3,
    c.price AS price_3,
    c.parts AS parts_3,
    d.items AS items_4,
    d.price AS price_4,
    d.parts AS parts_4
FROM (
    SELECT count(*) AS items, sum(l_extendedprice) AS price, count(DISTINCT l_partkey) AS parts
    FROM sales.orders.lineitem
    WHERE l_shipmode = 'RAIL' AND l_quantity BETWEEN 1 AND 10
) AS a
CROSS JOIN (
    SELECT count(*) AS items, sum(l_extendedprice) AS price, count(DISTINCT l_partkey) AS parts
    FROM sales.orders.lineitem
    WHERE l_shipmode = 'RAIL' AND l_quantity BETWEEN 11 AND 20
) AS b
CROSS JOIN (
    SELECT count(*) AS items, sum(l_extendedprice) AS price, count(DISTINCT l_partkey) AS parts
    FROM sales.orders.lineitem
    WHERE l_shipmode = 'RAIL' AND l_quantity BETWEEN 21 AND 30
) AS c
CROSS JOIN (
    SELECT count(*) AS items, sum(l_extendedprice) AS price, count(DISTINCT l_partkey) AS parts
    FROM sales.orders.lineitem
    WHERE l_shipmode = 'RAIL' AND l_quantity BETWEEN 31 AND 40
) AS d
