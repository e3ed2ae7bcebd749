package com.thoughtworks.go.server.util;

import gocdhost.boot.LauncherInterrupts;
import gocdhost.log.ServerLog;
import gocdhost.server.GocdServer;
import gocdhost.server.Launch;

/**
 * The class that Boot runs. Its name is the one that agents wait for; it only starts the server.
 * Exit code 1 when the server cannot start; none, and a plain return, when a check before the start fails.
 */
public final class GoLauncher {
    private static final ServerLog LOG = new ServerLog(GoLauncher.class);

    private GoLauncher() {
    }

    public static void main(String[] arguments) {
        LauncherInterrupts.end();
        System.out.println("gocd-host: launcher runs");
        Launch launch = Launch.now();
        LOG.info("the launcher runs");
        try {
            new GocdServer(launch).go();
        } catch (Exception failed) {
            System.err.println("ERROR: Failed to start GoCD server. Please check the logs.");
            failed.printStackTrace();
            LOG.error("cannot start", failed);
            System.exit(1);
        }
    }
}
