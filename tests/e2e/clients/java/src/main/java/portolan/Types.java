package portolan;

import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.Date;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Duration;
import java.time.Period;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Values of every type that the server returns, and NULLs of each, read with every useful getter. */
final class Types {
    private static final List<Case> CASES = List.of(
            new Case("Boolean", "true", java.sql.Types.BOOLEAN, true, "true"),
            new Case("Int8", "-7", java.sql.Types.TINYINT, (byte) -7, "-7"),
            new Case("Int16", "-300", java.sql.Types.SMALLINT, (short) -300, "-300"),
            new Case("Int32", "-70000", java.sql.Types.INTEGER, -70000, "-70000"),
            new Case("Int64", "-5000000000", java.sql.Types.BIGINT, -5000000000L, "-5000000000"),
            new Case("UInt8", "7", java.sql.Types.TINYINT, (byte) 7, "7"),
            new Case("UInt16", "300", java.sql.Types.SMALLINT, (short) 300, "300"),
            new Case("UInt32", "70000", java.sql.Types.INTEGER, 70000, "70000"),
            new Case("UInt64", "5000000000", java.sql.Types.BIGINT, 5000000000L, "5000000000"),
            new Case("Float16", "1.5", java.sql.Types.FLOAT, 1.5, "1.5"),
            new Case("Float32", "-0.25", java.sql.Types.FLOAT, -0.25, "-0.25"),
            new Case("Float64", "1e300", java.sql.Types.DOUBLE, 1e300, "1.0E300"),
            new Case("Decimal32(7, 2)", "'12345.67'", java.sql.Types.DECIMAL, new BigDecimal("12345.67"), "12345.67"),
            new Case("Decimal64(15, 3)", "'-123456789.012'", java.sql.Types.DECIMAL, new BigDecimal("-123456789.012"), "-123456789.012"),
            new Case("Decimal128(38, 10)", "'1234567890123456789.0123456789'", java.sql.Types.DECIMAL,
                    new BigDecimal("1234567890123456789.0123456789"), "1234567890123456789.0123456789"),
            new Case("Decimal256(50, 2)", "'1.50'", java.sql.Types.DECIMAL, new BigDecimal("1.50"), "1.50"),
            new Case("Utf8", "'naïve ☕'", java.sql.Types.VARCHAR, "naïve ☕", "naïve ☕"),
            new Case("Utf8", "''", java.sql.Types.VARCHAR, "", ""),
            new Case("LargeUtf8", "'large'", java.sql.Types.LONGVARCHAR, "large", "large"),
            new Case("Utf8View", "'a view that is longer than it is wide'", java.sql.Types.VARCHAR,
                    "a view that is longer than it is wide", "a view that is longer than it is wide"),
            new Case("Dictionary(Int32, Utf8)", "'word'", java.sql.Types.VARCHAR, "word", "word"),
            new Case("Binary", "X'00FF10'", java.sql.Types.VARBINARY, new byte[] {0, -1, 16}, null),
            new Case("LargeBinary", "X'00FF10'", java.sql.Types.LONGVARBINARY, new byte[] {0, -1, 16}, null),
            new Case("BinaryView", "X'00FF10'", java.sql.Types.VARBINARY, new byte[] {0, -1, 16}, null),
            new Case("FixedSizeBinary(3)", "X'00FF10'", java.sql.Types.BINARY, new byte[] {0, -1, 16}, null),
            new Case("Date32", "DATE '2024-02-29'", java.sql.Types.DATE, Date.valueOf("2024-02-29"), "2024-02-29"),
            new Case("Date64", "DATE '1969-12-31'", java.sql.Types.DATE, Date.valueOf("1969-12-31"), "1969-12-31"),
            new Case("Time32(Second)", "TIME '12:34:56'", java.sql.Types.TIME, null, "12:34:56"),
            new Case("Time32(Millisecond)", "TIME '12:34:56.789'", java.sql.Types.TIME, null, "12:34:56.789"),
            new Case("Time64(Microsecond)", "TIME '12:34:56.789'", java.sql.Types.TIME, null, "12:34:56.789"),
            new Case("Time64(Nanosecond)", "TIME '12:34:56.789'", java.sql.Types.TIME, null, "12:34:56.789"),
            new Case("Timestamp(Second, None)", "TIMESTAMP '2024-02-29 12:34:56'", java.sql.Types.TIMESTAMP,
                    Timestamp.valueOf("2024-02-29 12:34:56"), null),
            new Case("Timestamp(Millisecond, None)", "TIMESTAMP '2024-02-29 12:34:56.789'", java.sql.Types.TIMESTAMP,
                    Timestamp.valueOf("2024-02-29 12:34:56.789"), null),
            new Case("Timestamp(Microsecond, None)", "TIMESTAMP '2024-02-29 12:34:56.789012'", java.sql.Types.TIMESTAMP,
                    Timestamp.valueOf("2024-02-29 12:34:56.789012"), null),
            new Case("Timestamp(Nanosecond, None)", "TIMESTAMP '1960-01-01 00:00:00.123456789'", java.sql.Types.TIMESTAMP,
                    Timestamp.valueOf("1960-01-01 00:00:00.123456789"), null),
            new Case("Interval(YearMonth)", "arrow_cast(14, 'Int32')", java.sql.Types.JAVA_OBJECT, Period.ofMonths(14), null),
            new Case("Duration(Second)", "90", java.sql.Types.JAVA_OBJECT, Duration.ofSeconds(90), null),
            new Case("Duration(Microsecond)", "90", java.sql.Types.JAVA_OBJECT, Duration.ofNanos(90_000), null));

    private Types() {}

    /** A type, a value to cast to it, and the value in Java. Null: not compared. */
    private record Case(String arrow, String sql, int type, Object object, String text) {
        String value() {
            return "arrow_cast(" + sql + ", '" + arrow + "')";
        }

        String none() {
            // Not every type can be cast from an untyped NULL.
            return "CASE WHEN random() < 2 THEN NULL ELSE " + value() + " END";
        }
    }

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("types", Types::types);
        features.put("number-getters", Types::numbers);
        features.put("nested-types", Types::nested);
        features.put("large-unsigned", Types::largeUnsigned);
        features.put("result-metadata", Types::metadata);
        return features;
    }

    /** An action on a row. */
    interface Reader {
        void read(ResultSet row) throws Exception;
    }

    static void row(Target target, String sql, Reader reader) throws Exception {
        try (Connection connection = target.connect();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            Check.that("a row", rows.next());
            reader.read(rows);
            Check.that("one row only", !rows.next());
        }
    }

    private static void types(Target target) throws Exception {
        List<String> wrong = new ArrayList<>();
        for (Case type : CASES) {
            String sql = "SELECT " + type.value() + " AS v, " + type.none() + " AS n";
            try {
                row(target, sql, row -> read(type, row));
            } catch (SQLException | RuntimeException | AssertionError e) {
                wrong.add(type.arrow + ": " + Check.chain(e));
            }
        }
        Check.equal("types that are wrong", List.of(), wrong);
        row(target, "SELECT NULL AS n", row -> {
            Check.equal("type of NULL", java.sql.Types.NULL, row.getMetaData().getColumnType(1));
            Check.equal("NULL", null, row.getObject("n"));
            Check.that("it was NULL", row.wasNull());
        });
    }

    private static void read(Case type, ResultSet row) throws SQLException {
        for (String column : List.of("v", "n")) {
            int at = row.findColumn(column);
            Check.equal("JDBC's type of " + type.arrow, type.type, row.getMetaData().getColumnType(at));
        }
        // By index, because by name the driver takes another path, without conversions to JDBC's classes.
        Object value = row.getObject(row.findColumn("v"));
        Check.that(type.arrow + " is not NULL", value != null && !row.wasNull());
        if (type.object != null) {
            Check.equal("getObject of " + type.arrow, type.object, value);
        }
        if (type.text != null) {
            Check.equal("getString of " + type.arrow, type.text, row.getString(1));
        }
        typed(type, row);
        Check.equal("NULL of " + type.arrow, null, row.getObject("n"));
        Check.that("NULL of " + type.arrow + " was NULL", row.wasNull());
        Check.equal("NULL of " + type.arrow + " as text", null, row.getString(2));
    }

    private static void typed(Case type, ResultSet row) throws SQLException {
        switch (type.type) {
            case java.sql.Types.BOOLEAN -> {
                Check.equal("getBoolean", true, row.getBoolean(1));
                Check.equal("getBoolean of NULL", false, row.getBoolean(2));
                Check.that("it was NULL", row.wasNull());
            }
            case java.sql.Types.VARBINARY, java.sql.Types.LONGVARBINARY, java.sql.Types.BINARY -> {
                Check.equal("getBytes of " + type.arrow, type.object, row.getBytes(1));
                Check.equal("getBytes of NULL", null, row.getBytes(2));
            }
            case java.sql.Types.DATE -> {
                Check.equal("getDate of " + type.arrow, type.object, row.getDate(1));
                Check.equal("getDate of NULL", null, row.getDate(2));
            }
            case java.sql.Types.TIME -> {
                Check.equal("getTime of " + type.arrow, Time.valueOf("12:34:56").toLocalTime(), row.getTime(1).toLocalTime().withNano(0));
                Check.equal("getTime of NULL", null, row.getTime(2));
            }
            case java.sql.Types.TIMESTAMP -> {
                Check.equal("getTimestamp of " + type.arrow, type.object, row.getTimestamp(1));
                Check.equal("getTimestamp of NULL", null, row.getTimestamp(2));
            }
            case java.sql.Types.DECIMAL -> {
                Check.equal("getBigDecimal of " + type.arrow, type.object, row.getBigDecimal(1));
                Check.equal("getBigDecimal of NULL", null, row.getBigDecimal(2));
                Check.equal("getDouble of " + type.arrow, ((BigDecimal) type.object).doubleValue(), row.getDouble(1));
            }
            default -> {}
        }
    }

    private static void numbers(Target target) throws Exception {
        for (String type : List.of("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64")) {
            String sql = "SELECT arrow_cast(100, '" + type + "') AS v, arrow_cast(nullif(100, 100), '" + type + "') AS n";
            row(target, sql, row -> {
                Check.equal(type + " as byte", (byte) 100, row.getByte("v"));
                Check.equal(type + " as short", (short) 100, row.getShort("v"));
                Check.equal(type + " as int", 100, row.getInt("v"));
                Check.equal(type + " as long", 100L, row.getLong("v"));
                Check.equal(type + " as float", 100f, row.getFloat("v"));
                Check.equal(type + " as double", 100d, row.getDouble("v"));
                Check.equal(type + " as decimal", 0, new BigDecimal(100).compareTo(row.getBigDecimal("v")));
                Check.equal(type + " as Boolean", true, row.getBoolean("v"));
                Check.that("it was not NULL", !row.wasNull());
                Check.equal("NULL as int", 0, row.getInt("n"));
                Check.that("it was NULL", row.wasNull());
                Check.equal("NULL as double", 0d, row.getDouble("n"));
                Check.that("it was NULL", row.wasNull());
            });
        }
    }

    private static void nested(Target target) throws Exception {
        for (String type : List.of("List(Int64)", "LargeList(Int64)", "FixedSizeList(3, Int64)")) {
            row(target, "SELECT arrow_cast([1, NULL, 3], '" + type + "') AS v", row -> {
                Check.equal(type, java.sql.Types.ARRAY, row.getMetaData().getColumnType(1));
                Array array = row.getArray("v");
                Check.equal("items of " + type, Arrays.asList(1L, null, 3L), Arrays.asList((Object[]) array.getArray()));
                Check.equal("item type of " + type, java.sql.Types.BIGINT, array.getBaseType());
            });
        }
        row(target, "SELECT ['a', NULL] AS v, [[1], [2, 3]] AS vv", row -> {
            Check.equal("texts", Arrays.asList("a", null), texts((Object[]) row.getArray("v").getArray()));
            Check.equal("lists of lists", "[[1],[2,3]]", row.getString("vv"));
        });
        row(target, "SELECT named_struct('a', 1, 'b', 'x', 'c', NULL) AS v", row -> {
            Map<?, ?> struct = (Map<?, ?>) row.getObject("v");
            Check.equal("a", 1L, struct.get("a"));
            Check.equal("b", "x", String.valueOf(struct.get("b")));
            Check.equal("c", null, struct.get("c"));
        });
        row(target, "SELECT map(['k', 'l'], [1, NULL]) AS v", row -> {
            Map<?, ?> map = (Map<?, ?>) row.getObject("v");
            Check.equal("keys", 2, map.size());
            map.forEach((key, value) -> Check.equal("value of " + key, String.valueOf(key).equals("k") ? 1L : null, value));
        });
        row(target, "SELECT INTERVAL '1 month 2 days 3 seconds' AS v", row -> {
            Check.equal("interval", java.sql.Types.JAVA_OBJECT, row.getMetaData().getColumnType(1));
            Check.equal("interval", "P1M2D PT3S", row.getObject("v").toString());
        });
    }

    private static List<String> texts(Object[] items) {
        return Arrays.stream(items).map(item -> item == null ? null : item.toString()).toList();
    }

    private static void largeUnsigned(Target target) throws Exception {
        row(target, "SELECT arrow_cast(200, 'UInt8') AS a, arrow_cast(4000000000, 'UInt32') AS b", row -> {
            if (((Number) row.getObject(1)).longValue() < 0) {
                throw new Limit("getObject takes unsigned integers for signed ones: 200 of an unsigned byte becomes -56");
            }
            Check.equal("an unsigned byte", 200L, ((Number) row.getObject(1)).longValue());
            Check.equal("an unsigned integer", 4000000000L, ((Number) row.getObject(2)).longValue());
        });
    }

    private static void metadata(Target target) throws Exception {
        String sql = "SELECT arrow_cast(1.5, 'Decimal128(10, 2)') AS \"A Label\", l_quantity, l_shipdate, count(*) AS n "
                + "FROM sales.orders.lineitem GROUP BY l_quantity, l_shipdate LIMIT 1";
        row(target, sql, row -> {
            ResultSetMetaData about = row.getMetaData();
            Check.equal("columns", 4, about.getColumnCount());
            Check.equal("label", "A Label", about.getColumnLabel(1));
            Check.equal("name", "A Label", about.getColumnName(1));
            Check.equal("type name", "DECIMAL", about.getColumnTypeName(1));
            Check.equal("class of a count", "BIGINT", about.getColumnTypeName(4));
            Check.equal("precision", 10, about.getPrecision(1));
            Check.equal("scale", 2, about.getScale(1));
            Check.equal("precision of a port's column", 15, about.getPrecision(2));
            Check.equal("scale of a port's column", 2, about.getScale(2));
            Check.equal("label of a date", "l_shipdate", about.getColumnLabel(3));
        });
    }
}
