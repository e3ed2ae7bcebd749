package gocdhost;

import gocdhost.plugins.PluginManager;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;

/** GoCD's start, in its order: port check, configuration file, port, plugins, configuration, healthy. */
public final class Server {
    public void go() throws Exception {
        if (somethingAnswers(Settings.port())) {
            // As GoCD does: no exit code, no exception; the JVM ends if no thread keeps it.
            System.err.println("Port " + Settings.port() + " could not be opened: something answers there already.");
            return;
        }
        ConfigFile config = new ConfigFile();
        config.validate();
        HealthMessages health = new HealthMessages();
        PluginManager plugins = new PluginManager(health, Settings.externalPlugins(), Settings.pluginsWork(),
                Settings.pluginMonitorSeconds());
        HttpFace http = new HttpFace(config, health, plugins);
        http.open();
        plugins.start();
        config.load(health);
        config.startPolling(health);
        Thread.sleep(Settings.startDelay());
        http.healthy();
        System.out.println("GoCD server started successfully.");
    }

    /** Connects rather than binds, and to loopback only (SystemUtil). */
    private static boolean somethingAnswers(int port) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress("localhost", port), 1000);
            return true;
        } catch (IOException refused) {
            return false;
        }
    }
}
