"""ADBC's driver for Flight SQL, through its DBAPI."""

import sys
import time

import adbc_driver_flightsql.dbapi as dbapi
import adbc_driver_manager

url, user, password = sys.argv[1:]


def connect(password):
    return dbapi.connect(url, db_kwargs={"username": user, "password": password}, autocommit=True)


try:
    with connect("wrong") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    raise AssertionError("a wrong password was taken")
except adbc_driver_manager.Error as error:
    assert "wrong" in str(error), error

with connect(password) as connection:
    with connection.cursor() as cursor:
        for _ in range(200):
            cursor.execute("SELECT count(*) AS n FROM mesh.ports")
            if cursor.fetchone() == (5,):
                break
            time.sleep(0.1)
        else:
            raise AssertionError("the gateway does not know its peers")

        cursor.execute(
            "SELECT n_name, sum(c_acctbal) AS balance FROM sales.customers.customer "
            "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name"
        )
        table = cursor.fetch_arrow_table()
        assert table.num_rows == 25 and table["n_name"][0].as_py() == "ALGERIA", table
        assert cursor.description[1][0] == "balance", cursor.description

        cursor.execute("SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? OR n_name = ?", (3, "CHINA"))
        assert sorted(cursor.fetchall()) == [("CANADA",), ("CHINA",)]

        cursor.execute("SELECT * FROM sales.orders.lineitem")
        assert cursor.fetch_arrow_table().num_rows == 60175

        try:
            cursor.execute("SELECT n_nam FROM geo.places.nation")
            cursor.fetchall()
            raise AssertionError("there is no such column")
        except adbc_driver_manager.Error as error:
            assert "n_name" in str(error), error

    objects = connection.adbc_get_objects(catalog_filter="geo").read_all().to_pylist()
    assert [catalog["catalog_name"] for catalog in objects] == ["geo"], objects
    schemas = {schema["db_schema_name"]: schema for schema in objects[0]["catalog_db_schemas"]}
    tables = {table["table_name"]: table for table in schemas["places"]["db_schema_tables"]}
    assert set(tables) == {"nation", "region"}, tables
    columns = [column["column_name"] for column in tables["nation"]["table_columns"]]
    assert columns == ["n_nationkey", "n_name", "n_regionkey", "n_comment"], columns
    assert "TABLE" in connection.adbc_get_table_types()
    schema = connection.adbc_get_table_schema("nation", catalog_filter="geo", db_schema_filter="places")
    assert schema.names == columns, schema

print("fine")
