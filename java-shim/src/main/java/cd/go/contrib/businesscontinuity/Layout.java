package cd.go.contrib.businesscontinuity;

import java.io.File;

/**
 * The three folders that Java must find without the library. They are worked out as the library itself does it:
 * everything relative is relative to the JVM's working directory.
 */
final class Layout {
    private Layout() {
    }

    /** What a node knows about itself: {@code db/business-continuity}, or what {@code bc.state.dir} names. */
    static File stateFolder() {
        return folder("bc.state.dir", "db/business-continuity");
    }

    /** The folder of cruise-config.xml, which GoCD calls {@code configDir()} (SystemEnvironment). */
    static File configFolder() {
        return folder("cruise.config.file", "config/cruise-config.xml").getParentFile();
    }

    /** Where GoCD finds the jars of user plugins (SystemEnvironment: plugins.external.provided.path). */
    static File externalPlugins() {
        return folder("plugins.external.provided.path", "plugins/external");
    }

    private static File folder(String property, String otherwise) {
        String value = System.getProperty(property);
        return new File(value == null || value.trim().isEmpty() ? otherwise : value).getAbsoluteFile();
    }
}
