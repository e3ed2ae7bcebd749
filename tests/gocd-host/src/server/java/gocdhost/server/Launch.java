package gocdhost.server;

import java.util.Map;
import java.util.TreeMap;

/** What the launcher saw when it began to run. */
public final class Launch {
    private static final String[] SEEN = {"go.server.mode", "go.server.state", "gocd.server.start.in.maintenance.mode"};

    private final Map<String, String> properties = new TreeMap<>();

    private Launch() {
        for (String name : SEEN) {
            properties.put(name, System.getProperty(name));
        }
    }

    public static Launch now() {
        return new Launch();
    }

    /** The values are null where a property was not set. */
    public Map<String, String> properties() {
        return properties;
    }
}
