package gocdhost;

import java.io.File;

/** GoCD's system properties and their defaults (SystemEnvironment). */
final class Settings {
    private Settings() {
    }

    static int port() {
        return Integer.getInteger("cruise.server.port", 8153);
    }

    static String host() {
        return System.getProperty("cruise.listen.host", "");
    }

    static File configDir() {
        return new File(System.getProperty("cruise.config.dir", "config"));
    }

    static File configFile() {
        return new File(System.getProperty("cruise.config.file", new File(configDir(), "cruise-config.xml").getPath()));
    }

    /** The plain copy of the accepted configuration in GoCD's repository of it. */
    static File accepted() {
        return new File("db/config.git/cruise-config.xml");
    }

    static long configRefresh() {
        return Long.getLong("cruise.config.refresh.interval", 5000);
    }

    static File externalPlugins() {
        return new File(System.getProperty("plugins.external.provided.path", "plugins/external"));
    }

    static File pluginsWork() {
        return new File(System.getProperty("plugins.work.path", "plugins_work"));
    }

    /** Seconds; nothing above 0 means that the folder is read once. */
    static int pluginMonitorSeconds() {
        return Integer.getInteger("pluginLocationMonitor.sleepTimeInSecs", -1);
    }

    static long startDelay() {
        return Long.getLong("gocd.host.start.delay", 0);
    }
}
