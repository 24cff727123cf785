-- By market segment and year of a customer's first order: the customers, and the values of their first and last orders.
WITH numbered AS (
    SELECT
        o_custkey AS customer,
        o_orderdate AS order_date,
        o_totalprice AS price,
        row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate, o_orderkey) AS from_first,
        row_number() OVER (PARTITION BY o_custkey ORDER BY o_orderdate DESC, o_orderkey DESC) AS from_last
    FROM sales.orders.orders
)
SELECT
    c_mktsegment,
    EXTRACT(YEAR FROM f.order_date) AS first_year,
    count(*) AS customers,
    sum(f.price) AS first_value,
    sum(l.price) AS last_value,
    max(l.order_date) AS last_date
FROM numbered AS f
JOIN numbered AS l ON l.customer = f.customer
JOIN sales.customers.customer ON c_custkey = f.customer
WHERE f.from_first = 1 AND l.from_last = 1
GROUP BY c_mktsegment, EXTRACT(YEAR FROM f.order_date)
ORDER BY c_mktsegment, first_year
