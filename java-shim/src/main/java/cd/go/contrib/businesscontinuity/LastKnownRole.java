package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.util.Properties;

/**
 * Whether this node must stay held when the library cannot be asked: the table is in {@link Hold}.
 *
 * <p>The library keeps a file {@code role} in the state folder: the role, and the flag under which it was decided. A
 * record that is there and is not understood holds: nobody knows what it would have said.
 */
final class LastKnownRole {
    private static final long LARGEST = 1 << 20;

    private final boolean holds;
    private final boolean askedByProperty;
    private final String description;

    private LastKnownRole(boolean holds, boolean askedByProperty, String description) {
        this.holds = holds;
        this.askedByProperty = askedByProperty;
        this.description = description;
    }

    /** Reads flag and record. */
    static LastKnownRole read() {
        String flag = StandbyFlag.present();
        File file = new File(Layout.stateFolder(), "role");
        Properties record;
        try {
            record = record(file);
        } catch (IOException | RuntimeException unreadable) {
            return new LastKnownRole(true, flag.equals("property"), "one whose record " + file + " cannot be read ("
                    + unreadable + "): restore it, or remove it, and the node takes the role that go.server.mode and "
                    + "start.in.standby ask for");
        }
        return record == null ? ofFlag(flag) : ofRecord(flag, record, file);
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

    /** What the file says; null when there is none. */
    private static Properties record(File file) throws IOException {
        // What is no file might never end, or never begin.
        if (file.exists() && !file.isFile()) {
            throw new IOException("it is no file");
        }
        if (file.length() > LARGEST) {
            throw new IOException("it is too large");
        }
        Properties record = new Properties();
        try (InputStream in = Files.newInputStream(file.toPath())) {
            record.load(in);
        } catch (NoSuchFileException none) {
            return null;
        } catch (IOException unreadable) {
            if (StandbyFlag.mayBeThere(file)) {
                throw unreadable;
            }
            return null;
        }
        String role = record.getProperty("role", "");
        String flag = record.getProperty("flag", "");
        if (!role.equals("primary") && !role.equals("standby") && !role.equals("fenced")
                || !flag.equals("none") && !flag.equals("property") && !flag.equals("file")) {
            throw new IOException("it does not hold a role and a flag");
        }
        return record;
    }

    private static LastKnownRole ofFlag(String flag) {
        switch (flag) {
            case "property":
                return new LastKnownRole(true, true, "a standby (-Dgo.server.mode=standby)");
            case "file":
                return new LastKnownRole(true, false, "a standby (" + StandbyFlag.file() + ")");
            default:
                return new LastKnownRole(false, false, "not asked to be a standby");
        }
    }

    private static LastKnownRole ofRecord(String flag, Properties record, File file) {
        boolean byProperty = flag.equals("property");
        switch (record.getProperty("role")) {
            case "fenced":
                return new LastKnownRole(true, byProperty, "fenced, since another node has taken over (" + file + ")");
            case "standby":
                return new LastKnownRole(true, byProperty, "a standby (" + file + ")"
                        + (flag.equals("none") ? " whose flag is gone" : ""));
            default:
                return flag.equals(record.getProperty("flag"))
                        ? new LastKnownRole(false, byProperty, "the primary (" + file + ")") : ofFlag(flag);
        }
    }
}
