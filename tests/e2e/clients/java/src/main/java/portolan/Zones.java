package portolan;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.Statement;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;

/** Timestamps with a zone, and timestamps while Java is in another zone. */
final class Zones {
    private static final Instant MOMENT = Instant.parse("2024-02-29T12:34:56.789Z");

    private Zones() {}

    static Map<String, Main.Feature> features() {
        Map<String, Main.Feature> features = new LinkedHashMap<>();
        features.put("zoned-timestamps", Zones::zoned);
        features.put("named-zones", Zones::namedZones);
        features.put("zoned-timestamp-objects", Zones::zonedObjects);
        features.put("other-time-zones", Zones::otherZones);
        features.put("time-zone-property", Zones::zoneProperty);
        return features;
    }

    private static String zoned(String unit, String zone) {
        return "SELECT arrow_cast(TIMESTAMP '2024-02-29 12:34:56.789', 'Timestamp(Nanosecond, Some(\"+00:00\"))')"
                + "::TIMESTAMPTZ AS t, arrow_cast(arrow_cast(1709210096789000, 'Timestamp(Microsecond, Some(\"UTC\"))'), "
                + "'Timestamp(" + unit + ", Some(\"" + zone + "\"))') AS v";
    }

    private static void zoned(Target target) throws Exception {
        for (String zone : List.of("UTC", "+00:00")) {
            Types.row(target, zoned("Millisecond", zone), row -> {
                int type = row.getMetaData().getColumnType(2);
                // 16.1 reports the type as TIMESTAMP.
                int expected = Target.major() < 17 ? java.sql.Types.TIMESTAMP : java.sql.Types.TIMESTAMP_WITH_TIMEZONE;
                Check.equal("type", expected, type);
                Check.equal("an instant in " + zone, MOMENT, row.getTimestamp("v").toInstant());
            });
        }
    }

    private static void namedZones(Target target) throws Exception {
        Types.row(target, zoned("Millisecond", "Europe/Berlin"), row -> {
            Instant got = row.getTimestamp("v").toInstant();
            if (!got.equals(MOMENT)) {
                throw new Limit("getTimestamp shifts timestamps of other zones than UTC: " + MOMENT + " becomes " + got);
            }
        });
    }

    private static void zonedObjects(Target target) throws Exception {
        Types.row(target, zoned("Millisecond", "UTC"), row -> {
            try {
                Check.that("a value", row.getObject(2) != null);
            } catch (RuntimeException e) {
                if (Target.major() < 19 && "not implemented".equals(e.getMessage())) {
                    throw new Limit("before 19.0 getObject of a timestamp with a zone throws `not implemented`; getTimestamp reads it");
                }
                throw e;
            }
        });
    }

    /** Java in a zone other than UTC. */
    private static void otherZones(Target target) throws Exception {
        String got = inNewYork(target);
        if (!got.equals("2024-02-29 12:34:56.0")) {
            throw new Limit("getTimestamp shifts timestamps where Java's default zone is not UTC: 12:34:56 becomes "
                    + got.substring(11) + " in New York; the property timeZone=UTC helps");
        }
    }

    private static void zoneProperty(Target target) throws Exception {
        Check.equal("with timeZone=UTC", "2024-02-29 12:34:56.0", inNewYork(target.with("timeZone", "UTC")));
    }

    /** Returns a timestamp without a zone, as Java shows it in New York. */
    private static String inNewYork(Target target) throws Exception {
        TimeZone before = TimeZone.getDefault();
        TimeZone.setDefault(TimeZone.getTimeZone("America/New_York"));
        try (Connection connection = target.connect();
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT TIMESTAMP '2024-02-29 12:34:56' AS v")) {
            Check.that("a row", rows.next());
            return rows.getTimestamp(1).toString();
        } finally {
            TimeZone.setDefault(before);
        }
    }
}
