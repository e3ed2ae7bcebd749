package gocdhost.plugin.load;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.BundleDescriptor;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.osgi.OsgiFramework;
import gocdhost.plugin.osgi.PluginException;

/** Starts and stops the bundles of plugins and tells the listeners. */
final class PluginLoader {
    private static final ServerLog LOG = new ServerLog(PluginLoader.class);

    private final OsgiFramework framework;
    private final ExtensionCheck check;
    private final List<PluginListener> listeners = new ArrayList<>();

    PluginLoader(OsgiFramework framework, ExtensionCheck check) {
        this.framework = framework;
        this.check = check;
    }

    void add(PluginListener listener) {
        listeners.add(listener);
    }

    /**
     * Starts a bundle: activator, check of the extensions, listeners. One that the activator finds invalid is stopped
     * and uninstalled again.
     *
     * @throws PluginException it could not be started or a listener failed; then it is invalid, stopped and uninstalled
     */
    void load(BundleDescriptor bundle) {
        try {
            framework.load(bundle);
            if (bundle.isInvalid()) {
                giveUp(bundle);
                return;
            }
            for (PluginDescriptor plugin : bundle.plugins()) {
                Optional<String> fault = check.fault(plugin.id(), framework.extensions(plugin.id()));
                if (fault.isPresent()) {
                    // The bundle goes on running: GoCD does not stop it here.
                    bundle.invalidate(Collections.singletonList(fault.get()));
                    LOG.error(fault.get());
                    return;
                }
            }
            for (PluginDescriptor plugin : bundle.plugins()) {
                listeners.forEach(listener -> listener.loaded(plugin));
                plugin.markLoaded();
            }
        } catch (RuntimeException failed) {
            bundle.invalidate(Collections.singletonList(String.valueOf(failed.getMessage())));
            giveUp(bundle);
            throw new PluginException("Failed to load plugin: " + bundle.jar().location(), failed);
        }
    }

    /** Stops and uninstalls a bundle; nothing to do for one that was never installed. */
    void unload(BundleDescriptor bundle) {
        if (bundle.bundle() == null) {
            return;
        }
        for (PluginDescriptor plugin : bundle.plugins()) {
            for (PluginListener listener : listeners) {
                try {
                    listener.unloading(plugin);
                } catch (RuntimeException failed) {
                    LOG.warn("A plugin unload listener failed: " + plugin.id(), failed);
                }
            }
        }
        framework.unload(bundle);
    }

    private void giveUp(BundleDescriptor bundle) {
        LOG.error("Failed to load plugin: " + bundle.jar().location() + ". Plugin is invalid. Reasons "
                + bundle.messages());
        unload(bundle);
    }
}
