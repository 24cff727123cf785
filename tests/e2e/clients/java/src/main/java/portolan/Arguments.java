package portolan;

import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.Types;
import java.util.ArrayList;
import java.util.List;

/** Useful arguments for each method of {@link DatabaseMetaData}. */
final class Arguments {
    private static final int[] RESULT_SETS = {
        ResultSet.TYPE_FORWARD_ONLY, ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.TYPE_SCROLL_SENSITIVE
    };
    private static final int[] ISOLATIONS = {
        Connection.TRANSACTION_NONE, Connection.TRANSACTION_READ_UNCOMMITTED, Connection.TRANSACTION_READ_COMMITTED,
        Connection.TRANSACTION_REPEATABLE_READ, Connection.TRANSACTION_SERIALIZABLE
    };

    private Arguments() {}

    /** Returns lists of arguments for calls of a method. */
    static List<Object[]> of(Method method) {
        return switch (method.getName()) {
            case "supportsConvert" -> method.getParameterCount() == 0
                    ? List.<Object[]>of(new Object[0])
                    : List.<Object[]>of(
                            new Object[] {Types.INTEGER, Types.VARCHAR}, new Object[] {Types.DATE, Types.TIMESTAMP});
            case "supportsResultSetConcurrency" -> List.<Object[]>of(
                    new Object[] {ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY},
                    new Object[] {ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE});
            case "supportsTransactionIsolationLevel" -> each(ISOLATIONS);
            case "supportsResultSetHoldability" -> each(
                    new int[] {ResultSet.HOLD_CURSORS_OVER_COMMIT, ResultSet.CLOSE_CURSORS_AT_COMMIT});
            case "getTables" -> List.<Object[]>of(
                    new Object[] {null, null, "%", null}, new Object[] {"geo", "places", "nation", new String[] {"TABLE"}});
            case "getBestRowIdentifier" -> List.<Object[]>of(
                    new Object[] {"geo", "places", "nation", DatabaseMetaData.bestRowSession, true});
            case "getIndexInfo" -> List.<Object[]>of(new Object[] {"geo", "places", "nation", false, true});
            case "getCrossReference" -> List.<Object[]>of(
                    new Object[] {"geo", "places", "region", "geo", "places", "nation"});
            case "getUDTs" -> List.<Object[]>of(new Object[] {null, null, "%", new int[] {Types.STRUCT}});
            // The methods that every object has.
            case "unwrap", "isWrapperFor" -> List.<Object[]>of(new Object[] {DatabaseMetaData.class});
            default -> named(method);
        };
    }

    private static List<Object[]> named(Method method) {
        Class<?>[] types = method.getParameterTypes();
        if (types.length == 1 && types[0] == int.class) {
            return each(RESULT_SETS);
        }
        String[] names = {"geo", "places", "nation", "n_nationkey"};
        Object[] arguments = new Object[types.length];
        System.arraycopy(names, 0, arguments, 0, types.length);
        return List.<Object[]>of(arguments);
    }

    private static List<Object[]> each(int[] values) {
        List<Object[]> all = new ArrayList<>();
        for (int value : values) {
            all.add(new Object[] {value});
        }
        return all;
    }
}
