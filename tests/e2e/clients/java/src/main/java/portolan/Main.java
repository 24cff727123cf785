package portolan;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;

/**
 * Checks the features of the Flight SQL JDBC driver on the class path with a server. Standard output has one line for
 * each feature: {@code ok ID}, or {@code no ID: REASON} if this version of the driver does not support the feature with
 * any server. {@code fine} is the last line. Failures are on standard error, and the exit code is then 1.
 */
public final class Main {
    private static final Map<String, Feature> FEATURES = new LinkedHashMap<>();
    private static final Map<String, List<String>> GROUPS = new LinkedHashMap<>();

    static {
        // In other zones, the driver shifts dates and times: see `other-time-zones`. This comes before any class
        // computes a date.
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        group("connecting", Connecting.features());
        group("browsing", Browsing.features());
        group("types", Types.features());
        group("zones", Zones.features());
        group("reading", Reading.features());
        group("parameters", Parameters.features());
        group("stopping", Stopping.features());
        group("writing", Writing.features());
        group("sessions", Sessions.features());
    }

    private Main() {}

    /** A feature that a driver should support. */
    interface Feature {
        void check(Target target) throws Exception;
    }

    public static void main(String[] arguments) {
        if (arguments.length == 0) {
            System.err.println("Main FEATURE|GROUP[,…] [KEY=VALUE …]; groups: " + GROUPS);
            System.exit(2);
        }
        Target target = new Target(Arrays.copyOfRange(arguments, 1, arguments.length));
        boolean fine = true;
        for (String id : wanted(arguments[0])) {
            fine &= run(id, target);
        }
        if (fine) {
            System.out.println("fine");
        }
        // Threads of a cancelled driver may still run.
        System.exit(fine ? 0 : 1);
    }

    private static boolean run(String id, Target target) {
        try {
            FEATURES.get(id).check(target);
            System.out.println("ok " + id);
            return true;
        } catch (Limit limit) {
            System.out.println("no " + id + ": " + limit.getMessage());
            return true;
        } catch (Throwable failure) {
            System.err.println("failed " + id + ": " + Check.chain(failure));
            StackTraceElement[] places = failure.getStackTrace();
            Arrays.stream(places)
                    .filter(place -> place.getClassName().startsWith("portolan.") && !place.getClassName().endsWith("Check"))
                    .limit(1)
                    .forEach(place -> System.err.println("  at " + place));
            return false;
        }
    }

    private static void group(String name, Map<String, Feature> features) {
        FEATURES.putAll(features);
        GROUPS.put(name, new ArrayList<>(features.keySet()));
    }

    private static List<String> wanted(String names) {
        List<String> ids = new ArrayList<>();
        for (String name : names.split(",")) {
            if (GROUPS.containsKey(name)) {
                ids.addAll(GROUPS.get(name));
            } else if (FEATURES.containsKey(name)) {
                ids.add(name);
            } else {
                System.err.println("there is no feature or group `" + name + "`; groups: " + GROUPS);
                System.exit(2);
            }
        }
        return ids;
    }
}
