package gocdhost.plugin.load;

import java.io.IOException;

import gocdhost.Environment;
import gocdhost.Folders;
import gocdhost.GocdVersion;
import gocdhost.plugin.descriptor.Compatibility;
import gocdhost.plugin.osgi.OsgiFramework;

/** Everything between the plugin folders and the OSGi framework. */
public final class PluginDeployment {
    private final OsgiFramework framework;
    private final PluginLoader loader;
    private final PluginMonitor monitor;

    public PluginDeployment(
            PluginRegistry registry, OsgiFramework framework, ExtensionCheck check, GocdVersion version) {
        this.framework = framework;
        this.loader = new PluginLoader(framework, check);
        this.monitor = new PluginMonitor(new PluginDeployer(registry, loader, new Compatibility(version)));
    }

    /** Listeners are told in the order in which they were added. */
    public void add(PluginListener listener) {
        loader.add(listener);
    }

    /**
     * Wipes the work folder, starts the framework and the monitor, and returns before any plugin is loaded.
     *
     * @throws IOException a folder cannot be made
     */
    public void start() throws IOException {
        Folders.create(Environment.bundledPlugins());
        Folders.create(Environment.externalPlugins());
        Folders.renew(Environment.pluginWork());
        framework.start();
        monitor.start();
    }

    /** Waits until the monitor has seen all folders once. */
    public void awaitFirstLook() throws InterruptedException {
        monitor.awaitFirstLook();
    }
}
