package portolan;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Long queries that are stopped early. */
final class Stopping {
    /** A query that returns rows at once, and does not end. */
    private static final String ENDLESS =
            "SELECT a.l_orderkey, b.l_comment FROM sales.orders.lineitem a CROSS JOIN sales.orders.lineitem b";
    /** A query that returns its only row after a very long time, and checks its candidates in batches. */
    private static final String SLOW =
            "SELECT sum(length(a.l_comment || b.l_comment)) FROM sales.orders.lineitem a "
                    + "JOIN sales.orders.lineitem b ON a.l_linestatus = b.l_linestatus";
    /** The number of seconds within which queries must stop. */
    private static final int SOON = 30;

    private Stopping() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("cancel", Stopping::cancel);
        features.put("cancel-before-rows", Stopping::cancelBeforeRows);
        features.put("timeouts", Stopping::timeout);
        features.put("timeout-setting", Stopping::setting);
        return features;
    }

    private static void cancel(Target target) throws Exception {
        // The driver may report its own memory leak if rows were on their way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            ResultSet rows = statement.executeQuery(ENDLESS);
            Check.that("a row", rows.next());
            CompletableFuture<Void> cancelled = CompletableFuture.runAsync(
                    () -> {
                        try {
                            statement.cancel();
                        } catch (SQLException e) {
                            throw new IllegalStateException(e);
                        }
                    },
                    CompletableFuture.delayedExecutor(500, TimeUnit.MILLISECONDS));
            long end = System.nanoTime() + SOON * 1_000_000_000L;
            Exception ended = null;
            try {
                while (rows.next()) {
                    Check.that("rows end soon after a cancel", System.nanoTime() < end);
                }
            } catch (SQLException | RuntimeException e) {
                ended = e;
            }
            try {
                cancelled.get(SOON, TimeUnit.SECONDS);
            } catch (ExecutionException complaint) {
                // `cancel` closes streams that the other thread reads from, and may report an error if both happen at
                // once.
                System.err.println("cancel: " + Check.chain(complaint));
            }
            Check.that("reading fails once it is cancelled", ended != null);
            closed(rows);
            closed(statement);
            gone(connection);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        }
    }

    private static void cancelBeforeRows(Target target) throws Exception {
        // The driver may report its own memory leak if rows were on their way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            CompletableFuture<Exception> ended = CompletableFuture.supplyAsync(() -> {
                try (ResultSet rows = statement.executeQuery(SLOW)) {
                    rows.next();
                    return null;
                } catch (Exception e) {
                    return e;
                }
            });
            Thread.sleep(1500);
            Check.that("the query runs", !ended.isDone());
            statement.cancel();
            try {
                Check.that("it fails once it is cancelled", ended.get(10, TimeUnit.SECONDS) != null);
            } catch (java.util.concurrent.TimeoutException e) {
                // Another connection stops the query, so that it does not run until its timeout.
                throw new Limit("cancel() does nothing before the first rows are there: the driver has no result set to cancel yet");
            } finally {
                closed(statement);
            }
            gone(connection);
        }
    }

    private static void timeout(Target target) throws Exception {
        // The driver may report its own memory leak if rows were on their way.
        try (Connection connection = Target.forgiving(target.connect())) {
            Statement statement = connection.createStatement();
            statement.setQueryTimeout(2);
            long start = System.nanoTime();
            SQLException late = Check.refused("a query that takes too long", "", () -> statement.executeQuery(SLOW).close());
            long seconds = (System.nanoTime() - start) / 1_000_000_000L;
            Check.that("it ends after 2 s and not after " + seconds, seconds >= 1 && seconds < SOON);
            Check.contains("the error", "timed out", Check.chain(late));
            closed(statement);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
            gone(connection);
            try (Statement quick = connection.createStatement()) {
                quick.setQueryTimeout(60);
                try (ResultSet rows = quick.executeQuery("SELECT count(*) FROM geo.places.nation")) {
                    Check.equal("a quick one", 1, Check.rows(rows).size());
                }
            }
        }
    }

    private static void setting(Target target) throws Exception {
        try (Connection connection = target.connect(); Statement statement = connection.createStatement()) {
            statement.execute("SET portolan.query_timeout = 2");
            long start = System.nanoTime();
            Check.refused("a query that takes too long", "2", () -> Check.rows(connection, SLOW));
            Check.that("it ends soon", System.nanoTime() - start < SOON * 1_000_000_000L);
            Check.equal("the connection lives on", "1", Check.value(connection, "SELECT 1"));
        }
    }

    /** Waits until the server runs none of the long queries, if it reports its queries. */
    private static void gone(Connection connection) throws Exception {
        String shown = Check.value(
                connection,
                "SELECT count(*) FROM portolan.information_schema.tables WHERE table_schema = 'mesh' AND table_name = 'queries'");
        if (shown.equals("1")) {
            String running = "SELECT count(*) FROM mesh.queries WHERE statement LIKE '%lineitem ' || 'b%' AND state = 'running'";
            Check.until("the server has stopped it", SOON, () -> Check.value(connection, running).equals("0"));
        }
        // The stopped queries do not block others.
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(SOON);
            try (ResultSet rows = statement.executeQuery("SELECT max(l_orderkey) FROM sales.orders.lineitem WHERE l_quantity > 1")) {
                Check.equal("the owner answers others", 1, Check.rows(rows).size());
            }
        }
    }

    /** Closes a cancelled object, which may report an error. */
    private static void closed(AutoCloseable cancelled) {
        try {
            cancelled.close();
        } catch (Exception expected) {
            // The query has ended, in one way or another.
        }
    }
}
