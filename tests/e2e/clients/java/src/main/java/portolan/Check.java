package portolan;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/** Comparisons of expected and actual values. */
final class Check {
    private Check() {}

    /** An action that may fail. */
    interface Action {
        void run() throws Exception;
    }

    /** A source of a value. */
    interface Source<T> {
        T get() throws Exception;
    }

    static void equal(String what, Object expected, Object got) {
        boolean same = expected instanceof byte[] bytes && got instanceof byte[] others
                ? Arrays.equals(bytes, others)
                : Objects.equals(expected, got);
        if (!same) {
            throw new AssertionError(what + ": expected " + shown(expected) + ", got " + shown(got));
        }
    }

    static void that(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError("expected: " + what);
        }
    }

    static void contains(String what, String expected, String got) {
        if (got == null || !got.contains(expected)) {
            throw new AssertionError(what + ": expected a text with `" + expected + "`, got " + shown(got));
        }
    }

    /** Runs an action that must fail with an SQLException whose text (causes included) contains `expected`. */
    static SQLException refused(String what, String expected, Action action) throws Exception {
        try {
            action.run();
        } catch (SQLException e) {
            contains(what, expected, chain(e));
            return e;
        }
        throw new AssertionError(what + ": expected an SQLException, and it went through");
    }

    /** Returns the rows of a query, each value as a string. */
    static List<List<String>> rows(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            return rows(rows);
        }
    }

    /**
     * Returns all rows, each value as a string. The columns are counted in the first row, so without rows there are
     * none.
     */
    static List<List<String>> rows(ResultSet rows) throws SQLException {
        List<List<String>> all = new ArrayList<>();
        while (rows.next()) {
            List<String> row = new ArrayList<>();
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                row.add(rows.getString(i));
            }
            all.add(row);
        }
        return all;
    }

    /** Returns the rows of a catalog table, with some of its columns. */
    static List<List<String>> columns(Source<ResultSet> source, String... names) throws Exception {
        List<List<String>> all = new ArrayList<>();
        try (ResultSet rows = source.get()) {
            while (rows.next()) {
                List<String> row = new ArrayList<>();
                for (String name : names) {
                    row.add(rows.getString(name));
                }
                all.add(row);
            }
        }
        return all;
    }

    /** Returns the only value of a query. */
    static String value(Connection connection, String sql) throws SQLException {
        List<List<String>> rows = rows(connection, sql);
        equal("rows and columns of `" + sql + "`", List.of(1, 1), List.of(rows.size(), rows.get(0).size()));
        return rows.get(0).get(0);
    }

    /** Waits until the condition holds. */
    static void until(String what, int seconds, Source<Boolean> holds) throws Exception {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (!holds.get()) {
            that("within " + seconds + " s: " + what, System.nanoTime() < end);
            Thread.sleep(100);
        }
    }

    /** Returns an exception's texts, from the outermost to the innermost. */
    static String chain(Throwable failure) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            text.append(text.length() == 0 ? "" : "; ").append(cause);
        }
        return text.toString();
    }

    private static String shown(Object value) {
        if (value instanceof byte[] bytes) {
            return Arrays.toString(bytes);
        }
        return value + (value == null ? "" : " (" + value.getClass().getSimpleName() + ")");
    }
}
