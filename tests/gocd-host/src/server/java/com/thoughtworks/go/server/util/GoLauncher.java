package com.thoughtworks.go.server.util;

import gocdhost.Server;

/** What Boot runs; the class at whose loading an agent can hold the server. */
public final class GoLauncher {
    private GoLauncher() {
    }

    public static void main(String[] arguments) {
        System.setProperty("gocd.host.launched", "true");
        Thread.interrupted();
        System.out.println("gocd-host: launcher runs");
        try {
            new Server().go();
        } catch (Throwable failed) {
            System.err.println("ERROR: Failed to start GoCD server. Please check the logs.");
            failed.printStackTrace();
            System.exit(1);
        }
    }
}
