package gocdhost;

import java.io.File;

/**
 * What the server reads from system properties. Relative paths are relative to the working directory of the JVM.
 * cruise-config.xml need not be in {@link #configDir}: it has a property of its own.
 */
public final class Environment {
    private Environment() {
    }

    /** GoCD's port. */
    public static int port() {
        return Integer.getInteger("cruise.server.port", 8153);
    }

    /** Null: all addresses. */
    public static String listenHost() {
        return System.getProperty("cruise.listen.host");
    }

    public static File configDir() {
        return new File(System.getProperty("cruise.config.dir", "config"));
    }

    public static File configFile() {
        String file = System.getProperty("cruise.config.file");
        return file == null ? new File(configDir(), "cruise-config.xml") : new File(file);
    }

    /** The working copy into which GoCD checks in each configuration that it accepts. No property moves it. */
    public static File configRepository() {
        return new File("db/config.git");
    }

    public static File logDir() {
        return new File(System.getProperty("gocd.server.log.dir", "logs"));
    }

    public static boolean logsToStandardOutput() {
        return isYes("go.console.stdout");
    }

    /** Milliseconds between two looks at cruise-config.xml. */
    public static long configRefreshInterval() {
        return Long.getLong("cruise.config.refresh.interval", 5000);
    }

    public static File bundledPlugins() {
        return new File(System.getProperty("plugins.go.provided.path", "plugins/bundled"));
    }

    public static File externalPlugins() {
        return new File(System.getProperty("plugins.external.provided.path", "plugins/external"));
    }

    public static File pluginWork() {
        return new File(System.getProperty("plugins.work.path", "plugins_work"));
    }

    /** The class path resource that is copied into each plugin. */
    public static String pluginActivator() {
        return System.getProperty("plugins.activator.jar.path", "lib/go-plugin-activator.jar");
    }

    /** Milliseconds between two looks at the plugin folders; zero or less: one look only. */
    public static long pluginMonitorInterval() {
        return Integer.getInteger("pluginLocationMonitor.sleepTimeInSecs", -1) * 1000L;
    }

    public static String pluginLogLevel(String pluginId) {
        return System.getProperty("plugin." + pluginId + ".log.level", "INFO");
    }

    /** Milliseconds that the start takes longer. No property of GoCD: for tests. */
    public static long startDelay() {
        return Long.getLong("gocd.host.start.delay", 0);
    }

    /** Milliseconds for which a shutdown hook keeps the JVM from ending. No property of GoCD: for tests. */
    public static long endDelay() {
        return Long.getLong("gocd.host.end.delay", 0);
    }

    /** Who has what is in this file may ask for agents. No property of GoCD: for tests. */
    public static File accessToken() {
        return new File(System.getProperty("gocd.host.token.file", "gocd-host-token"));
    }

    /** {@code host:state}, and so on. No property of GoCD: for tests. */
    public static String[] agents() {
        return System.getProperty("gocd.host.agents", "agent:Missing").split(",");
    }

    /** Whether it answers for the old product to everybody, as 20.6 to 21.2 do. No property of GoCD: for tests. */
    public static boolean givesAway() {
        return isYes("gocd.host.gives.away");
    }

    /** How the start fails: {@code database} or {@code late}. No property of GoCD: for tests. */
    public static String failure() {
        return System.getProperty("gocd.host.fail", "");
    }

    /** Whether cruise-config.xml and jetty.xml stay as they are, and are not checked in either. No property of GoCD: for tests. */
    public static boolean keepsFiles() {
        return isYes("gocd.host.keep.files");
    }

    private static boolean isYes(String property) {
        String value = System.getProperty(property, "");
        return value.equalsIgnoreCase("Y") || value.equalsIgnoreCase("true");
    }
}
