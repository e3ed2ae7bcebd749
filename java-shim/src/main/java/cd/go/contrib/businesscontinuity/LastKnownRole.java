package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;

/**
 * Whether this node must stay held when the library cannot be asked.
 *
 * <p>The library keeps a file {@code role} in the state folder: the role, and the flag under which it was decided.
 * The record counts only while the flag is still that one, since a flag that appeared or went is an order to be
 * something else; then the flag alone decides. A fenced node stays held under any flag: another node has taken over.
 */
final class LastKnownRole {
    private final boolean holds;
    private final boolean askedByProperty;
    private final String description;

    private LastKnownRole(boolean holds, boolean askedByProperty, String description) {
        this.holds = holds;
        this.askedByProperty = askedByProperty;
        this.description = description;
    }

    /** Reads flag and record. A record that is missing or cannot be understood leaves the decision to the flag. */
    static LastKnownRole read() {
        String flag = presentFlag();
        boolean byProperty = "property".equals(flag);
        File file = new File(Layout.stateFolder(), "role");
        Properties record = new Properties();
        try (InputStream in = new FileInputStream(file)) {
            record.load(in);
        } catch (IOException | IllegalArgumentException unreadable) {
            record.clear();
        }
        String role = record.getProperty("role", "");
        if ("fenced".equals(role)) {
            return new LastKnownRole(true, byProperty, "fenced, since another node has taken over (" + file + ")");
        }
        if (flag.equals(record.getProperty("flag"))) {
            if ("primary".equals(role)) {
                return new LastKnownRole(false, byProperty, "the primary (" + file + ")");
            }
            if ("standby".equals(role)) {
                return new LastKnownRole(true, byProperty, "a standby (" + file + ")");
            }
        }
        if (byProperty) {
            return new LastKnownRole(true, true, "a standby (-Dgo.server.mode=standby)");
        }
        if ("file".equals(flag)) {
            return new LastKnownRole(true, false, "a standby (" + standbyFile() + ")");
        }
        return new LastKnownRole(false, false, "not asked to be a standby");
    }

    /** Whether GoCD must not start. */
    boolean holds() {
        return holds;
    }

    /**
     * The system properties, as text, without which a released GoCD would not be active: up to 22.3 it starts passive
     * under {@code go.server.mode=standby} (AddOnConfiguration).
     */
    String propertiesForRelease() {
        return askedByProperty
                ? "go.server.mode=production\ngo.server.state=active\nbc.flag.overridden=property\n" : "";
    }

    /** Completes the sentence "this node is". */
    @Override
    public String toString() {
        return description;
    }

    private static String presentFlag() {
        String mode = System.getProperty("go.server.mode");
        if (mode != null && "standby".equalsIgnoreCase(withoutStrayQuotes(mode))) {
            return "property";
        }
        return standbyFile().isFile() ? "file" : "none";
    }

    private static File standbyFile() {
        return new File(Layout.configFolder(), "start.in.standby");
    }

    /** Wrappers before Tanuki 3.6 hand the quotes of a property through on UNIX. */
    private static String withoutStrayQuotes(String value) {
        int start = 0;
        int end = value.length();
        while (start < end && isStray(value.charAt(start))) {
            start++;
        }
        while (end > start && isStray(value.charAt(end - 1))) {
            end--;
        }
        return value.substring(start, end);
    }

    private static boolean isStray(char c) {
        return c == '"' || c == '\'' || Character.isWhitespace(c);
    }
}
