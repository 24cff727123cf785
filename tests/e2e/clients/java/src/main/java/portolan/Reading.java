package portolan;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Queries and their results: large, empty and invalid ones. */
final class Reading {
    /** The number of connections that are open at once. */
    private static final int CONNECTIONS = 32;

    private Reading() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("query", Reading::query);
        features.put("prepared-reuse", Reading::reuse);
        features.put("large-results", Reading::large);
        features.put("empty-results", Reading::empty);
        features.put("empty-results-metadata", Reading::emptyMetadata);
        features.put("duplicate-names", Reading::duplicates);
        features.put("duplicate-aliases", Reading::duplicateAliases);
        features.put("errors", Reading::errors);
        features.put("max-rows", Reading::maxRows);
        features.put("connections", Reading::connections);
        features.put("close", Reading::close);
        return features;
    }

    private static void query(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            List<List<String>> rows = Check.rows(
                    connection,
                    "SELECT n_name, count(*) AS customers FROM sales.customers.customer "
                            + "JOIN geo.places.nation ON c_nationkey = n_nationkey GROUP BY n_name ORDER BY n_name");
            Check.equal("nations", 25, rows.size());
            Check.equal("the first", "ALGERIA", rows.get(0).get(0));
            try (Statement statement = connection.createStatement()) {
                Check.that("a query gives rows", statement.execute("SELECT 1 AS a"));
                try (ResultSet result = statement.getResultSet()) {
                    Check.that("a row", result.next());
                    Check.equal("its value", 1, result.getInt("a"));
                }
                Check.equal("no update", -1, statement.getUpdateCount());
            }
            Check.that("EXPLAIN gives rows", !Check.rows(connection, "EXPLAIN SELECT * FROM geo.places.nation").isEmpty());
            Check.that("SHOW gives rows", !Check.rows(connection, "SHOW portolan.all").isEmpty());
        }
    }

    private static void reuse(Target target) throws Exception {
        String sql = "SELECT n_name FROM geo.places.nation WHERE n_nationkey = ?";
        try (Connection connection = target.connect(); PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 3; round++) {
                for (String[] nation : new String[][] {{"3", "CANADA"}, {"18", "CHINA"}, {"3", "CANADA"}}) {
                    statement.setLong(1, Long.parseLong(nation[0]));
                    try (ResultSet rows = statement.executeQuery()) {
                        Check.equal("the nation", List.of(List.of(nation[1])), Check.rows(rows));
                    }
                }
            }
            // Other statements in between do not disturb the result.
            Check.equal("another", "25", Check.value(connection, "SELECT count(*) FROM geo.places.nation"));
            try (ResultSet rows = statement.executeQuery()) {
                Check.equal("as bound before", List.of(List.of("CANADA")), Check.rows(rows));
            }
        }
    }

    private static void large(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            long rows = Long.parseLong(Check.value(connection, "SELECT count(*) FROM sales.orders.lineitem"));
            long sum = Long.parseLong(Check.value(connection, "SELECT sum(l_orderkey) FROM sales.orders.lineitem"));
            long read = 0;
            long added = 0;
            try (ResultSet result = statement.executeQuery("SELECT * FROM sales.orders.lineitem")) {
                while (result.next()) {
                    read++;
                    added += result.getLong("l_orderkey");
                    Check.that("a comment", result.getString("l_comment") != null);
                }
            }
            Check.equal("rows", rows, read);
            Check.equal("sum", sum, added);
            // Long strings make batches of more than gRPC's 4 MiB.
            String wide = "SELECT repeat(l_comment, 200) AS c FROM sales.orders.lineitem LIMIT 5000";
            try (ResultSet result = statement.executeQuery(wide)) {
                int wideRows = 0;
                while (result.next()) {
                    Check.that("a long text", result.getString(1).length() >= 200);
                    wideRows++;
                }
                Check.equal("wide rows", 5000, wideRows);
            }
        }
    }

    private static void empty(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            for (String sql : List.of("SELECT * FROM geo.places.nation WHERE 1 = 0", "SELECT n_name FROM geo.places.nation LIMIT 0",
                    "SELECT n_name FROM geo.places.nation WHERE n_name = 'NOWHERE'")) {
                try (ResultSet rows = statement.executeQuery(sql)) {
                    Check.that("no rows of `" + sql + "`", !rows.next());
                }
            }
            // Spark and other tools read columns in this way.
            String sql = "SELECT * FROM geo.places.nation WHERE 1 = 0";
            try (PreparedStatement prepared = connection.prepareStatement(sql)) {
                Check.equal("columns before it runs", 4, prepared.getMetaData().getColumnCount());
                try (ResultSet rows = prepared.executeQuery()) {
                    Check.equal("columns", 4, rows.getMetaData().getColumnCount());
                    Check.equal("the last column", "n_comment", rows.getMetaData().getColumnLabel(4));
                    Check.that("no rows", !rows.next());
                }
            }
        }
    }

    private static void emptyMetadata(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT * FROM geo.places.nation WHERE 1 = 0")) {
            int columns = rows.getMetaData().getColumnCount();
            if (columns == 8) {
                throw new Limit("a Statement's result without rows shows each column twice; a PreparedStatement's does not");
            }
            Check.equal("columns", 4, columns);
        }
    }

    private static void duplicates(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            String join = "SELECT a.n_name, b.n_name FROM geo.places.nation a JOIN geo.places.nation b "
                    + "ON a.n_regionkey = b.n_regionkey AND a.n_nationkey = 2 AND b.n_nationkey = 3";
            try (ResultSet rows = statement.executeQuery(join)) {
                Check.that("a row", rows.next());
                Check.equal("columns", 2, rows.getMetaData().getColumnCount());
                for (int i = 1; i <= 2; i++) {
                    Check.equal("a name", "n_name", rows.getMetaData().getColumnLabel(i));
                }
                Check.equal("values", "BRAZIL CANADA", rows.getString(1) + " " + rows.getString(2));
                Check.equal("the first by name", "BRAZIL", rows.getString("n_name"));
            }
        }
    }

    private static void duplicateAliases(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            try (ResultSet rows = statement.executeQuery("SELECT 1 AS a, 2 AS a")) {
                Check.that("a row", rows.next());
                Check.equal("values", 12, rows.getInt(1) * 10 + rows.getInt(2));
            }
        }
    }

    private static void errors(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            String[][] wrong = {
                {"SELECT n_nam FROM geo.places.nation", "did you mean `n_name`"},
                {"SELECT 1 FROM geo.places.natoin", "did you mean `geo.places.nation`"},
                {"SELECT 1 FROM ge.places.nation", "geo"},
                {"SELEC 1", "SELEC"},
                {"SELECT 1 +", ""},
                {"SET portolan.placment = 'off'", "did you mean `portolan.placement`"},
                {"SELECT coun(*) FROM geo.places.nation", "count"},
            };
            for (String[] statementAndWord : wrong) {
                Check.refused(statementAndWord[0], statementAndWord[1], () -> statement.execute(statementAndWord[0]));
                // A setting is checked when it is set.
                if (!statementAndWord[0].startsWith("SET")) {
                    Check.refused(statementAndWord[0], statementAndWord[1], () -> connection.prepareStatement(statementAndWord[0]));
                }
            }
            // Errors after the first rows were computed.
            Check.refused("a division by zero", "ivision by zero",
                    () -> Check.rows(connection, "SELECT 1 / (n_nationkey - n_nationkey) FROM geo.places.nation"));
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        }
    }

    private static void maxRows(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.setMaxRows(10);
            statement.setFetchSize(1000);
            try (ResultSet rows = statement.executeQuery("SELECT * FROM sales.orders.lineitem")) {
                Check.equal("rows", 10, Check.rows(rows).size());
            }
            Check.equal("the next statement", "25", Check.value(connection, "SELECT count(*) FROM geo.places.nation"));
        }
    }

    private static void connections(Target target) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(CONNECTIONS);
        try {
            List<Future<String>> answers = new ArrayList<>();
            for (int i = 0; i < CONNECTIONS; i++) {
                answers.add(threads.submit(() -> {
                    try (Connection connection = target.connect()) {
                        String last = null;
                        for (int round = 0; round < 3; round++) {
                            last = Check.value(connection, "SELECT count(*) FROM geo.places.nation WHERE n_regionkey = 1");
                        }
                        return last;
                    }
                }));
            }
            for (Future<String> answer : answers) {
                Check.equal("an answer", "5", answer.get(120, TimeUnit.SECONDS));
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static void close(Target target) throws Exception {
        Connection connection = target.connect();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery("SELECT * FROM sales.orders.lineitem");
        Check.that("a row", rows.next());
        // Rows that are not read to their end.
        rows.close();
        Check.that("closed rows", rows.isClosed());
        Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        statement.close();
        Check.that("a closed statement", statement.isClosed());
        Check.refused("a closed statement", "", () -> statement.executeQuery("SELECT 1"));
        connection.close();
        Check.that("a closed connection", connection.isClosed());
        Check.refused("a closed connection", "", connection::createStatement);
        try {
            connection.close();
        } catch (SQLException | RuntimeException e) {
            throw new AssertionError("closing twice must do nothing", e);
        }
    }
}
