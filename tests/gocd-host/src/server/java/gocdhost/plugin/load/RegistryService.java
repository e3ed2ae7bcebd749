package gocdhost.plugin.load;

import java.util.ArrayList;
import java.util.List;

import com.thoughtworks.go.plugin.internal.api.PluginRegistryService;

import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.BundleDescriptor;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.osgi.PluginException;

/** The registry, as the activators inside the plugins see it. */
public final class RegistryService implements PluginRegistryService {
    private static final ServerLog LOG = new ServerLog(RegistryService.class);

    private final PluginRegistry registry;

    public RegistryService(PluginRegistry registry) {
        this.registry = registry;
    }

    @Override
    public void reportErrorAndInvalidate(String bundleSymbolicName, List<String> messages) {
        // After an unload the bundle is known no more.
        registry.bundle(bundleSymbolicName).ifPresentOrElse(bundle -> bundle.invalidate(messages),
                () -> LOG.warn("Bundle " + bundleSymbolicName + ", which is not known, reports " + messages));
    }

    @Override
    public void reportWarning(String bundleSymbolicName, String message) {
        LOG.warn("Bundle " + bundleSymbolicName + " reports: " + message);
    }

    @Override
    public String getPluginIDOfFirstPluginInBundle(String bundleSymbolicName) {
        return bundle(bundleSymbolicName).ids().get(0);
    }

    @Override
    public String pluginIDFor(String bundleSymbolicName, String extensionClassCanonicalName) {
        List<PluginDescriptor> plugins = bundle(bundleSymbolicName).plugins();
        if (plugins.get(0).extensionClasses().isEmpty()) {
            return plugins.get(0).id();
        }
        return plugins.stream().filter(plugin -> plugin.extensionClasses().contains(extensionClassCanonicalName))
                .map(PluginDescriptor::id).findFirst().orElse(null);
    }

    @Override
    public List<String> extensionClassesInBundle(String bundleSymbolicName) {
        List<String> classes = new ArrayList<>();
        bundle(bundleSymbolicName).plugins().forEach(plugin -> classes.addAll(plugin.extensionClasses()));
        return classes;
    }

    private BundleDescriptor bundle(String symbolicName) {
        return registry.bundle(symbolicName)
                .orElseThrow(() -> new PluginException("no bundle is known as " + symbolicName));
    }
}
