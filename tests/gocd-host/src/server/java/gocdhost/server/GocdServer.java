package gocdhost.server;

import java.util.List;

import gocdhost.Environment;
import gocdhost.GocdVersion;
import gocdhost.api.Router;
import gocdhost.config.ConfigPoll;
import gocdhost.config.ConfigService;
import gocdhost.health.HealthMessages;
import gocdhost.http.HttpServer;
import gocdhost.log.ServerLog;
import gocdhost.plugin.Plugins;

/**
 * The server, in the order of GoCD's start: checks, port, plugins (which load on a thread of their own while the start
 * goes on), configuration, and then the health answer of 200. Nothing is stopped at the end: the JVM just ends, which a
 * shutdown hook may delay.
 */
public final class GocdServer {
    private static final ServerLog LOG = new ServerLog(GocdServer.class);

    private final Launch launch;

    public GocdServer(Launch launch) {
        this.launch = launch;
    }

    /**
     * Starts it and returns.
     *
     * @throws Exception the start failed; a check that fails is no exception, but lines on standard error
     */
    public void go() throws Exception {
        List<String> errors = new StartChecks().run();
        if (!errors.isEmpty()) {
            errors.forEach(System.err::println);
            return;
        }
        GocdVersion version = GocdVersion.current();
        HealthMessages health = new HealthMessages();
        ConfigService config =
                new ConfigService(Environment.configFile(), Environment.configRepository(), health);
        Plugins plugins = new Plugins(version, health);
        Artifacts artifacts = new Artifacts();
        Router router = new Router(launch, health, plugins, artifacts);

        JettyConfig.replaceIfOutdated();
        new HttpServer(Environment.listenHost(), Environment.port(), router).start();
        plugins.start();
        CipherKey.createIfMissing();
        config.load();
        artifacts.take(config.artifactsDir());
        ConfigPoll.start(config, Environment.configRefreshInterval());
        Thread.sleep(Environment.startDelay());
        if (Environment.endDelay() > 0) {
            Runtime.getRuntime().addShutdownHook(new Thread(GocdServer::endLate, "gocd-host-end"));
        }
        Failure failure = new Failure();
        failure.meetDatabase(plugins);
        router.serverIsUp();
        failure.meetUsers();
        LOG.info("GoCD server started successfully.");
        System.out.println("GoCD server started successfully.");
    }

    /** The server answers meanwhile. */
    private static void endLate() {
        try {
            Thread.sleep(Environment.endDelay());
        } catch (InterruptedException sooner) {
            // It ends all the same.
        }
    }
}
