package portolan;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The metadata of the demo's domains in {@link DatabaseMetaData}. */
final class Browsing {
    private static final List<List<String>> PORTS = List.of(
            List.of("geo", "places", "nation"),
            List.of("geo", "places", "region"),
            List.of("sales", "customers", "customer"),
            List.of("sales", "orders", "lineitem"),
            List.of("sales", "orders", "orders"),
            List.of("supply", "parts", "part"),
            List.of("supply", "parts", "partsupp"),
            List.of("supply", "suppliers", "supplier"));
    private static final String[] TABLES = {"TABLE"};
    private static final String TODO = "todo: implement this method";

    private Browsing() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("browse", Browsing::browse);
        features.put("schema", Browsing::schema);
        features.put("keys", Browsing::keys);
        features.put("metadata-getters", Browsing::getters);
        features.put("cursor-getters", Browsing::cursorGetters);
        features.put("type-info", Browsing::typeInfo);
        return features;
    }

    private static void browse(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            DatabaseMetaData about = connection.getMetaData();
            Check.until("the domains are known", 30, () -> tables(about, null, null, null, TABLES).size() == PORTS.size());
            Check.equal(
                    "catalogs",
                    List.of(List.of("geo"), List.of("portolan"), List.of("sales"), List.of("supply")),
                    Check.columns(about::getCatalogs, "TABLE_CAT"));
            List<List<String>> schemas = Check.columns(about::getSchemas, "TABLE_CATALOG", "TABLE_SCHEM");
            for (List<String> schema : List.of(List.of("geo", "places"), List.of("sales", "orders"), List.of("portolan", "mesh"))) {
                Check.that(schema + " among " + schemas, schemas.contains(schema));
            }
            schemas = Check.columns(() -> about.getSchemas("sales", "c%"), "TABLE_CATALOG", "TABLE_SCHEM");
            Check.equal("schemas like c%", List.of(List.of("sales", "customers")), schemas);
            List<List<String>> types = Check.columns(about::getTableTypes, "TABLE_TYPE");
            Check.that("TABLE and VIEW among " + types, types.containsAll(List.of(List.of("TABLE"), List.of("VIEW"))));
            filters(about);
        }
    }

    private static void filters(DatabaseMetaData about) throws Exception {
        Check.equal("tables", PORTS, tables(about, null, null, "%", TABLES));
        Check.equal("tables of every kind", PORTS, tables(about, null, null, "%", "TABLE", "SYSTEM TABLE"));
        Check.equal("of a catalog", PORTS.subList(0, 2), tables(about, "geo", null, null, TABLES));
        Check.equal("of a schema", PORTS.subList(3, 5), tables(about, "sales", "orders", "%", TABLES));
        Check.equal("of schemas by pattern", PORTS.subList(3, 5), tables(about, null, "o_ders", "%", TABLES));
        Check.equal("by pattern", List.of(PORTS.get(0)), tables(about, "geo", "%", "na%", TABLES));
        Check.equal("by name", List.of(PORTS.get(0)), tables(about, "geo", "places", "nation", TABLES));
        Check.equal("without a catalog", List.of(), tables(about, "", null, "%", TABLES));
        Check.equal("of no catalog", List.of(), tables(about, "nowhere", null, "%", TABLES));
        Check.equal("catalogs are no patterns", List.of(), tables(about, "ge_", null, "%", TABLES));
        Check.equal("of an unknown type", List.of(), tables(about, null, null, "%", "SYNONYM"));
        String escape = about.getSearchStringEscape();
        Check.equal("any letter", List.of(PORTS.get(0)), tables(about, "geo", null, "n_tion", TABLES));
        Check.equal("an escaped _", List.of(), tables(about, "geo", null, "n" + escape + "_tion", TABLES));
        List<List<String>> views = tables(about, null, null, "%", "VIEW");
        Check.that("mesh.ports among " + views, views.contains(List.of("portolan", "mesh", "ports")));
        Check.that("no port among the views", views.stream().noneMatch(PORTS::contains));
        Check.equal("an escaped _ that is there", List.of(List.of("portolan", "information_schema", "tables")),
                tables(about, "portolan", "information" + escape + "_schema", "tables", "VIEW"));
        List<List<String>> all = tables(about, null, null, "%", (String[]) null);
        Check.that("all types hold both", all.containsAll(PORTS) && all.containsAll(views));
    }

    private static void schema(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            DatabaseMetaData about = connection.getMetaData();
            String[] names = {"COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "ORDINAL_POSITION"};
            List<List<String>> columns =
                    Check.columns(() -> about.getColumns("sales", "orders", "lineitem", "%"), names);
            Check.equal("columns of lineitem", 16, columns.size());
            Check.equal("the first", List.of("l_orderkey", "-5", "BIGINT", "19", "0", "1"), columns.get(0));
            Check.equal("an integer", List.of("l_linenumber", "4", "INTEGER", "10", "0", "4"), columns.get(3));
            Check.equal("a decimal", List.of("l_quantity", "3", "DECIMAL", "15", "2", "5"), columns.get(4));
            Check.equal("a date", List.of("l_shipdate", "91", "DATE", "10", "0", "11"), columns.get(10));
            Check.equal("a text", List.of("l_comment", "12", "VARCHAR"), columns.get(15).subList(0, 3));
            columns = Check.columns(() -> about.getColumns("geo", null, "%", "%_name"), "TABLE_NAME", "COLUMN_NAME");
            Check.equal("by pattern", List.of(List.of("nation", "n_name"), List.of("region", "r_name")), columns);
            columns = Check.columns(
                    () -> about.getColumns(null, null, "nation", "n_name"), "TABLE_CAT", "TABLE_SCHEM", "NULLABLE", "IS_NULLABLE");
            Check.equal("places", List.of(List.of("geo", "places", "1", "YES")), columns);
            columns = Check.columns(() -> about.getColumns(null, null, null, null), "TABLE_NAME", "COLUMN_NAME");
            Check.that("every column of everything", columns.size() > 61);
        }
    }

    private static void keys(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            DatabaseMetaData about = connection.getMetaData();
            String[] names = {"TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "COLUMN_NAME", "KEY_SEQ"};
            Check.equal(
                    "a primary key",
                    List.of(List.of("geo", "places", "nation", "n_nationkey", "1")),
                    Check.columns(() -> about.getPrimaryKeys("geo", "places", "nation"), names));
            Check.equal(
                    "a primary key of two columns",
                    List.of(
                            List.of("sales", "orders", "lineitem", "l_orderkey", "1"),
                            List.of("sales", "orders", "lineitem", "l_linenumber", "2")),
                    Check.columns(() -> about.getPrimaryKeys("sales", "orders", "lineitem"), names));
            Check.equal("of no table", List.of(), Check.columns(() -> about.getPrimaryKeys("geo", "places", "natio_"), names));
            // The contracts may declare no references. The call must not fail, and rows must be complete.
            String[] sides = {"PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "KEY_SEQ"};
            for (List<String> port : PORTS) {
                String[] of = port.toArray(String[]::new);
                for (List<String> key : Check.columns(() -> about.getImportedKeys(of[0], of[1], of[2]), sides)) {
                    Check.equal("who refers", of[2], key.get(2));
                }
                for (List<String> key : Check.columns(() -> about.getExportedKeys(of[0], of[1], of[2]), sides)) {
                    Check.equal("who is referred to", of[2], key.get(0));
                }
            }
            Check.columns(() -> about.getCrossReference("geo", "places", "region", "geo", "places", "nation"), sides);
        }
    }

    /** Calls every getter. None may throw an exception. */
    private static void getters(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            DatabaseMetaData about = connection.getMetaData();
            Set<String> broken = new LinkedHashSet<>();
            Map<String, Object> got = new LinkedHashMap<>();
            for (Method getter : DatabaseMetaData.class.getMethods()) {
                for (Object[] arguments : Arguments.of(getter)) {
                    try {
                        Object value = getter.invoke(about, arguments);
                        if (value instanceof ResultSet rows) {
                            value = Check.rows(rows).size();
                            rows.close();
                        }
                        got.put(getter.getName(), value);
                    } catch (InvocationTargetException e) {
                        broken.add(getter.getName() + ": " + Check.chain(e.getCause()));
                    }
                }
            }
            // Ten getters fail in the driver's own base class: see `cursor-getters`.
            broken.removeIf(failure -> failure.endsWith(TODO));
            Check.equal("getters that throw", Set.of(), broken);
            Check.that("all were called: " + got.size(), got.size() > 160);
            values(got);
        }
    }

    private static void cursorGetters(Target target) throws Exception {
        try (Connection connection = target.connect()) {
            DatabaseMetaData about = connection.getMetaData();
            try {
                Check.that("no updates are seen", !about.othersUpdatesAreVisible(ResultSet.TYPE_FORWARD_ONLY));
                Check.that("cursors are held", about.supportsResultSetHoldability(about.getResultSetHoldability()));
            } catch (RuntimeException e) {
                Check.contains("the driver", TODO, e.toString());
                throw new Limit("getters such as othersUpdatesAreVisible throw `" + TODO + "` in the driver");
            }
        }
    }

    private static void values(Map<String, Object> got) {
        Map<String, Object> expected = new LinkedHashMap<>();
        expected.put("getDatabaseProductName", "Portolan");
        expected.put("getIdentifierQuoteString", "\"");
        expected.put("getSearchStringEscape", "\\");
        expected.put("getCatalogTerm", "domain");
        expected.put("getSchemaTerm", "data product");
        expected.put("getCatalogSeparator", ".");
        expected.put("isCatalogAtStart", true);
        expected.put("supportsTransactions", false);
        expected.put("getDefaultTransactionIsolation", Connection.TRANSACTION_NONE);
        expected.put("supportsSavepoints", false);
        expected.put("supportsUnionAll", true);
        expected.put("supportsFullOuterJoins", true);
        expected.put("supportsGroupBy", true);
        expected.put("supportsCorrelatedSubqueries", true);
        expected.put("supportsSubqueriesInExists", true);
        expected.put("supportsStoredProcedures", false);
        expected.put("supportsCoreSQLGrammar", true);
        expected.put("getMaxConnections", 0);
        expected.put("getMaxStatementLength", 0);
        expected.put("getPrimaryKeys", 1);
        List<String> wrong = new ArrayList<>();
        expected.forEach((name, value) -> {
            if (!value.equals(got.get(name))) {
                wrong.add(name + ": expected " + value + ", got " + got.get(name));
            }
        });
        Check.equal("getters that say something else", List.of(), wrong);
    }

    private static void typeInfo(Target target) throws Exception {
        try (Connection connection = target.connect(); ResultSet types = connection.getMetaData().getTypeInfo()) {
            List<String> names = new ArrayList<>();
            while (types.next()) {
                names.add(types.getString("TYPE_NAME"));
            }
            if (names.isEmpty()) {
                throw new Limit("the driver answers getTypeInfo with an empty table by itself and queries no server");
            }
            Check.that("the usual types among " + names, names.containsAll(List.of("BIGINT", "VARCHAR", "DECIMAL")));
        }
    }

    private static List<List<String>> tables(DatabaseMetaData about, String catalog, String schema, String name, String... types)
            throws Exception {
        return Check.columns(
                () -> about.getTables(catalog, schema, name, types), "TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME");
    }
}
