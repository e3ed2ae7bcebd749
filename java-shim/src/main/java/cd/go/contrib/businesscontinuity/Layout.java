package cd.go.contrib.businesscontinuity;

import java.io.File;

/**
 * The two folders that Java must find without the library. They are worked out exactly as the library does it
 * ({@code Layout} in bc-core): everything relative is relative to the JVM's working directory.
 */
final class Layout {
    private Layout() {
    }

    /** What a node knows about itself: {@code db/business-continuity}, or what {@code bc.state.dir} names. */
    static File stateFolder() {
        return named("bc.state.dir", "db/business-continuity");
    }

    /** The folder of cruise-config.xml, which GoCD calls {@code configDir()} (SystemEnvironment). */
    static File configFolder() {
        File folder = named("cruise.config.file", "config/cruise-config.xml").getParentFile();
        return folder == null ? workingFolder() : folder;
    }

    private static File named(String property, String otherwise) {
        String given = Given.property(property);
        File named = new File(given == null ? otherwise : given);
        // On Windows a name may begin at the root of the present drive.
        boolean isRooted = named.isAbsolute() || named.getPath().startsWith(File.separator);
        return isRooted ? named.getAbsoluteFile() : new File(workingFolder(), named.getPath());
    }

    private static File workingFolder() {
        String folder = System.getProperty("user.dir", "");
        return new File(folder.isEmpty() ? "." : folder);
    }
}
