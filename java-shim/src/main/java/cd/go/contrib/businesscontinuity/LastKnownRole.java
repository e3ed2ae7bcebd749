package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.util.Properties;

/**
 * Whether this node must stay held when the library cannot be asked: the rule is in {@link Hold}.
 *
 * <p>The library keeps a file {@code role} in the state folder. Of it count {@code hold}, whether this node holds
 * without the library, and {@code flag}, under which flag that was decided. A record of a version that did not write
 * {@code hold} lets a primary run, and nobody else. A record that is there and is not understood holds: nobody knows
 * what it would have said.
 */
final class LastKnownRole {
    private static final long LARGEST = 1 << 20;

    private final String flag;
    private final boolean holds;
    private final String why;

    private LastKnownRole(String flag, boolean holds, String why) {
        this.flag = flag;
        this.holds = holds;
        this.why = why;
    }

    /** Reads flag and record. */
    static LastKnownRole read() {
        String flag = StandbyFlag.present();
        File file = new File(Layout.stateFolder(), "role");
        try {
            Properties record = record(file);
            String role = record.getProperty("role", "nothing");
            if (!record.getProperty("hold", role.equals("primary") ? "no" : "yes").equals("no")) {
                return new LastKnownRole(flag, true, "the record " + file + " says: " + role);
            }
            // A flag that appeared, or is another one, is an order; one that is gone is none.
            boolean isOrder = !flag.equals("none") && !flag.equals(record.getProperty("flag"));
            return new LastKnownRole(flag, isOrder, "a standby is asked for by "
                    + (flag.equals("file") ? StandbyFlag.file() : "-Dgo.server.mode"));
        } catch (IOException | RuntimeException unreadable) {
            return new LastKnownRole(flag, true, "the record " + file + " cannot be read (" + unreadable
                    + "): restore it, or remove it, and the node takes the role that go.server.mode and"
                    + " start.in.standby ask for");
        }
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
        return flag.equals("none") ? ""
                : "go.server.mode=production\ngo.server.state=active\nbc.flag.overridden=" + flag + "\n";
    }

    /** Completes the sentence "GoCD stays held, since". */
    @Override
    public String toString() {
        return why;
    }

    /** What the file says; where there is none, what a server of which nothing is known goes by: its flag alone. */
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
        } catch (IOException unreadable) {
            if (!(unreadable instanceof NoSuchFileException) && StandbyFlag.mayBeThere(file)) {
                throw unreadable;
            }
            record.setProperty("hold", "no");
            record.setProperty("flag", "none");
        }
        if (!record.getProperty("flag", "").matches("none|property|file")) {
            throw new IOException("it does not hold a role and a flag");
        }
        return record;
    }
}
