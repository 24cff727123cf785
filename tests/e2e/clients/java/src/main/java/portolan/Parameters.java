package portolan;

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Time;
import java.sql.Timestamp;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Parameters of prepared statements: every useful setter, at the usual places in queries. */
final class Parameters {
    private Parameters() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("parameters", Parameters::setters);
        features.put("null-parameters", Parameters::nulls);
        features.put("many-parameters", Parameters::many);
        features.put("timestamp-parameters", Parameters::timestamps);
        features.put("time-parameters", Parameters::times);
        features.put("limit-parameter", Parameters::limit);
        features.put("untyped-parameters", Parameters::untyped);
        features.put("parameter-metadata", Parameters::metadata);
        features.put("close-after-parameters", Parameters::close);
        features.put("parameter-errors", Parameters::errors);
        return features;
    }

    /** Sets a parameter. */
    private interface Setter {
        void set(PreparedStatement statement) throws SQLException;
    }

    /** Returns the first column of the first row as a string. */
    private static String asked(Connection connection, String sql, Setter setter) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            setter.set(statement);
            try (ResultSet rows = statement.executeQuery()) {
                List<List<String>> all = Check.rows(rows);
                Check.equal("rows of `" + sql + "`", 1, all.size());
                return all.get(0).get(0);
            }
        } catch (SQLException | RuntimeException e) {
            throw new AssertionError("`" + sql + "`: " + Check.chain(e), e);
        }
    }

    private static void setters(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            columns(connection);
            same(connection, "TINYINT", "-7", s -> s.setByte(1, (byte) -7));
            same(connection, "SMALLINT", "-300", s -> s.setShort(1, (short) -300));
            same(connection, "INT", "-70000", s -> s.setInt(1, -70000));
            same(connection, "INT", "5", s -> s.setObject(1, 5));
            same(connection, "BIGINT", "5000000000", s -> s.setLong(1, 5000000000L));
            same(connection, "BIGINT", "7", s -> s.setInt(1, 7));
            same(connection, "REAL", "1.5", s -> s.setFloat(1, 1.5f));
            same(connection, "DOUBLE", "0.1", s -> s.setDouble(1, 0.1));
            same(connection, "DOUBLE", "0.25", s -> s.setObject(1, 0.25));
            same(connection, "BOOLEAN", "true", s -> s.setBoolean(1, true));
            same(connection, "BOOLEAN", "false", s -> s.setObject(1, false));
            same(connection, "VARCHAR", "naïve ☕ 'quoted' ?", s -> s.setString(1, "naïve ☕ 'quoted' ?"));
            same(connection, "VARCHAR", "", s -> s.setString(1, ""));
            same(connection, "VARCHAR", "object", s -> s.setObject(1, "object"));
            same(connection, "VARCHAR", "typed", s -> s.setObject(1, "typed", java.sql.Types.VARCHAR));
            same(connection, "DECIMAL(10, 2)", "12.34", s -> s.setBigDecimal(1, new BigDecimal("12.34")));
            same(connection, "DATE", "2024-02-29", s -> s.setDate(1, Date.valueOf("2024-02-29")));
            same(connection, "DATE", "1969-12-31", s -> s.setObject(1, Date.valueOf("1969-12-31")));
            Check.equal("setBytes", "00ff10", asked(connection, "SELECT encode(CAST(? AS BYTEA), 'hex')", s -> s.setBytes(1, new byte[] {0, -1, 16})));
        }
    }

    private static void same(Connection connection, String type, String expected, Setter setter) throws SQLException {
        Check.equal("CAST(? AS " + type + ")", expected, asked(connection, "SELECT CAST(? AS " + type + ") AS v", setter));
    }

    /** Parameters whose types come from the columns that they are compared with. */
    private static void columns(Connection connection) throws SQLException {
        String lineitem = "SELECT count(*) > 0 FROM sales.orders.lineitem WHERE ";
        Check.equal("a long", "true", asked(connection, lineitem + "l_orderkey = ?", s -> s.setLong(1, 1)));
        Check.equal("an int", "true", asked(connection, lineitem + "l_linenumber = ?", s -> s.setInt(1, 1)));
        Check.equal("a decimal", "true", asked(connection, lineitem + "l_quantity = ?", s -> s.setBigDecimal(1, new BigDecimal("17.00"))));
        Check.equal("a date", "true", asked(connection, lineitem + "l_shipdate < ?", s -> s.setDate(1, Date.valueOf("1998-01-01"))));
        Check.equal("a text", "true", asked(connection, lineitem + "l_shipmode = ?", s -> s.setString(1, "AIR")));
        Check.equal("LIKE", "true", asked(connection, lineitem + "l_comment LIKE ?", s -> s.setString(1, "%the%")));
        Check.equal("BETWEEN", "true", asked(connection, lineitem + "l_shipdate BETWEEN ? AND ?", s -> {
            s.setDate(1, Date.valueOf("1995-01-01"));
            s.setDate(2, Date.valueOf("1995-12-31"));
        }));
        Check.equal("IN", "2", asked(connection, "SELECT count(*) FROM geo.places.nation WHERE n_name IN (?, ?, ?)", s -> {
            s.setString(1, "CHINA");
            s.setString(2, "PERU");
            s.setString(3, "nowhere");
        }));
        Check.equal("HAVING", "5", asked(connection, "SELECT count(*) FROM (SELECT n_regionkey FROM geo.places.nation "
                + "GROUP BY n_regionkey HAVING count(*) >= ?) t", s -> s.setLong(1, 5)));
        Check.equal("marks in texts, names and comments are no parameters", "1",
                asked(connection, "SELECT count(*) AS \"n?\" FROM geo.places.nation WHERE n_name <> '?' /* ? */ AND n_name = ? -- ?",
                        s -> s.setString(1, "PERU")));
    }

    private static void nulls(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            for (String type : List.of("BIGINT", "INT", "DOUBLE", "BOOLEAN", "VARCHAR", "DECIMAL(10, 2)", "DATE", "TIMESTAMP", "BYTEA")) {
                same(connection, type, null, s -> s.setNull(1, java.sql.Types.NULL));
                same(connection, type, null, s -> s.setObject(1, null));
            }
            Check.equal("nothing equals NULL", "0", asked(connection, "SELECT count(*) FROM geo.places.nation WHERE n_name = ?",
                    s -> s.setNull(1, java.sql.Types.VARCHAR)));
            same(connection, "VARCHAR", null, s -> s.setString(1, null));
            same(connection, "DECIMAL(10, 2)", null, s -> s.setBigDecimal(1, null));
            same(connection, "DATE", null, s -> s.setDate(1, null));
        }
    }

    private static void many(Target target) throws Exception {
        int count = 40;
        StringBuilder sql = new StringBuilder("SELECT ");
        for (int i = 1; i <= count; i++) {
            sql.append(i == 1 ? "" : ", ").append("CAST(? AS INT) AS c").append(i);
        }
        try (Connection connection = target.connect(); PreparedStatement statement = connection.prepareStatement(sql.toString())) {
            for (int i = 1; i <= count; i++) {
                statement.setInt(i, 100 + i);
            }
            try (ResultSet rows = statement.executeQuery()) {
                Check.that("a row", rows.next());
                for (int i = 1; i <= count; i++) {
                    Check.equal("parameter " + i, 100 + i, rows.getInt("c" + i));
                }
            }
        }
    }

    private static void timestamps(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            Timestamp moment = Timestamp.valueOf("2024-02-29 12:34:56.789");
            for (String unit : List.of("Second", "Millisecond", "Microsecond", "Nanosecond")) {
                String type = "arrow_cast(TIMESTAMP '2024-02-29 12:34:56.789', 'Timestamp(" + unit + ", None)')";
                // A value that a column of seconds cannot hold is refused, like other values that would change.
                Timestamp held = unit.equals("Second") ? Timestamp.valueOf("2024-02-29 12:34:56") : moment;
                Check.equal("compared with a timestamp in units of a " + unit, "true",
                        asked(connection, "SELECT " + type + " = ?", s -> s.setTimestamp(1, held)));
            }
            Check.equal("CAST", "2024-02-29T12:34:56.789",
                    asked(connection, "SELECT CAST(CAST(? AS TIMESTAMP) AS VARCHAR)", s -> s.setTimestamp(1, moment)));
            Check.equal("setObject", "2024-02-29T12:34:56.789",
                    asked(connection, "SELECT CAST(CAST(? AS TIMESTAMP) AS VARCHAR)", s -> s.setObject(1, moment)));
        }
    }

    private static void times(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            Time time = Time.valueOf("12:34:56");
            Check.equal("compared with a time", "true", asked(connection, "SELECT TIME '12:34:56' = ?", s -> s.setTime(1, time)));
            Check.equal("CAST", "12:34:56", asked(connection, "SELECT CAST(CAST(? AS TIME) AS VARCHAR)", s -> s.setTime(1, time)));
        }
    }

    private static void limit(Target target) throws Exception {
        try (Connection connection = target.connect();
                PreparedStatement statement =
                        connection.prepareStatement("SELECT n_name FROM geo.places.nation ORDER BY n_name LIMIT ? OFFSET ?")) {
            for (int[] page : new int[][] {{3, 0}, {5, 20}, {10, 20}, {0, 0}}) {
                statement.setInt(1, page[0]);
                statement.setLong(2, page[1]);
                try (ResultSet rows = statement.executeQuery()) {
                    List<List<String>> names = Check.rows(rows);
                    Check.equal("rows", Math.min(page[0], 25 - page[1]), names.size());
                    if (page[1] == 20) {
                        Check.equal("the first", "RUSSIA", names.get(0).get(0));
                    }
                }
            }
        }
    }

    /** Parameters whose types the statement does not determine. */
    private static void untyped(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            Check.equal("SELECT ?", "text", asked(connection, "SELECT ? AS v", s -> s.setString(1, "text")));
            Check.equal("SELECT ? with NULL", null, asked(connection, "SELECT ? AS v", s -> s.setNull(1, java.sql.Types.VARCHAR)));
            Check.equal("coalesce", "x", asked(connection, "SELECT coalesce(?, ?) AS v", s -> {
                s.setString(1, null);
                s.setString(2, "x");
            }));
        }
    }

    private static void metadata(Target target) throws Exception {
        String sql = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? AND n_name <> ?";
        try (Connection connection = target.connect(); PreparedStatement statement = connection.prepareStatement(sql)) {
            ParameterMetaData about = statement.getParameterMetaData();
            Check.equal("parameters", 2, about.getParameterCount());
            Check.equal("the first", java.sql.Types.BIGINT, about.getParameterType(1));
            Check.equal("the second", java.sql.Types.VARCHAR, about.getParameterType(2));
            Check.equal("columns before it runs", 1, statement.getMetaData().getColumnCount());
            Check.equal("a column's name", "n_name", statement.getMetaData().getColumnLabel(1));
        }
    }

    private static void close(Target target) throws Exception {
        Connection connection = DriverManager.getConnection(target.url() + "/", target.properties());
        asked(connection, "SELECT count(*) FROM geo.places.nation WHERE n_nationkey = ?", s -> s.setLong(1, 3));
        try {
            connection.close();
        } catch (SQLException e) {
            Check.contains("what closing says", Target.LEAK, Check.chain(e));
            if (Target.major() < 17) {
                throw new Limit("the driver loses the answer to parameters, and closing the connection throws `" + Target.LEAK + "`");
            }
            throw e;
        }
    }

    private static void errors(Target target) throws Exception {
        String sql = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ? OR n_name = ?";
        // Drivers leak memory if a parameter is missing.
        try (Connection connection = Target.forgiving(target.connect());
                PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setLong(1, 3);
            statement.setString(2, "PERU");
            statement.clearParameters();
            statement.setLong(1, 3);
            boolean missed = Target.major() >= 19;
            if (missed) {
                try (ResultSet rows = statement.executeQuery()) {
                    Check.equal("rows with NULL for the other", List.of(List.of("CANADA")), Check.rows(rows));
                }
            } else {
                // The driver reports this without a request to the server.
                fails("a parameter that is not set", () -> statement.executeQuery().close());
            }
            fails("a parameter that there is not", () -> statement.setLong(3, 1));
            statement.setString(2, "PERU");
            try (ResultSet rows = statement.executeQuery()) {
                Check.equal("rows once all are set", 2, Check.rows(rows).size());
            }
            if (missed) {
                throw new Limit("since 19.0 the driver sends NULL for a parameter that is not set");
            }
        }
    }

    private static void fails(String what, Check.Action action) {
        try {
            action.run();
        } catch (Exception expected) {
            return;
        }
        throw new AssertionError(what + ": expected an exception");
    }
}
