package gocdhost.plugin.load;

import java.io.File;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;

import gocdhost.Environment;
import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.PluginJar;
import gocdhost.plugin.osgi.PluginException;

/**
 * The thread that looks at the plugin folders, bundled first, and loads, reloads and unloads one jar after another.
 * The start of the server does not wait for it; a plugin that blocks it blocks every plugin behind. An Error that
 * escapes a plugin ends it, as in GoCD up to 26.1.
 */
final class PluginMonitor extends Thread {
    private static final ServerLog LOG = new ServerLog(PluginMonitor.class);

    private final PluginDeployer deployer;
    private final CountDownLatch firstLook = new CountDownLatch(1);
    private Map<File, PluginJar> bundled = new TreeMap<>();
    private Map<File, PluginJar> external = new TreeMap<>();

    PluginMonitor(PluginDeployer deployer) {
        super("goPluginLocationMonitor");
        setDaemon(true);
        setUncaughtExceptionHandler((thread, thrown) -> LOG.error("the plugin monitor has ended", thrown));
        this.deployer = deployer;
    }

    @Override
    public void run() {
        do {
            try {
                bundled = look(Environment.bundledPlugins(), true, bundled);
                external = look(Environment.externalPlugins(), false, external);
            } catch (RuntimeException failed) {
                LOG.error("Failed to check plugin location for changes", failed);
            } finally {
                firstLook.countDown();
            }
        } while (waitForNextLook());
    }

    void awaitFirstLook() throws InterruptedException {
        firstLook.await();
    }

    /** What is seen now counts as known afterwards, also where it could not be loaded: it is not tried again. */
    private Map<File, PluginJar> look(File folder, boolean isBundled, Map<File, PluginJar> known) {
        Map<File, PluginJar> current = new TreeMap<>();
        File[] files = folder.listFiles((parent, name) -> name.endsWith(".jar"));
        if (files == null) {
            throw new PluginException("cannot list the folder " + folder.getAbsolutePath());
        }
        Arrays.stream(files).filter(File::isFile)
                .map(file -> new PluginJar(file, isBundled)).forEach(jar -> current.put(jar.file(), jar));

        known.values().stream().filter(jar -> !current.containsKey(jar.file())).forEach(guarded(deployer::removed));
        for (PluginJar jar : current.values()) {
            PluginJar before = known.get(jar.file());
            if (before == null) {
                guarded(deployer::added).accept(jar);
            } else if (before.modified() != jar.modified()) {
                guarded(deployer::updated).accept(jar);
            }
        }
        return current;
    }

    private static Consumer<PluginJar> guarded(Consumer<PluginJar> action) {
        return jar -> {
            try {
                action.accept(jar);
            } catch (RuntimeException failed) {
                LOG.warn("Plugin listener failed: " + jar, failed);
            }
        };
    }

    private static boolean waitForNextLook() {
        long interval = Environment.pluginMonitorInterval();
        if (interval <= 0) {
            return false;
        }
        try {
            Thread.sleep(interval);
            return true;
        } catch (InterruptedException stopped) {
            return false;
        }
    }
}
