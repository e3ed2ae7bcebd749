package gocdhost.server;

import gocdhost.GocdVersion;

/**
 * Active or passive. Before 23.1 a server with {@code go.server.mode=standby} turned passive, late in its start; from
 * 23.1 on the property means nothing and every server is active.
 */
public final class ServerMode {
    private static final String STATE = "go.server.state";
    private static final String FIRST_WITHOUT_STANDBY = "23.1.0";

    private ServerMode() {
    }

    /** Decides, at the place in the start where GoCD does. */
    static void settle(GocdVersion version) {
        boolean standby = "standby".equalsIgnoreCase(System.getProperty("go.server.mode"));
        if (standby && !version.isAtLeast(FIRST_WITHOUT_STANDBY)) {
            System.setProperty(STATE, "passive");
        }
    }

    /** Whether it changes nothing and looks at no file. */
    public static boolean isPassive(GocdVersion version) {
        return !version.isAtLeast(FIRST_WITHOUT_STANDBY) && "passive".equalsIgnoreCase(System.getProperty(STATE));
    }
}
