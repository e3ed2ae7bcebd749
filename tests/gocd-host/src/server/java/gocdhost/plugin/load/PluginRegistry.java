package gocdhost.plugin.load;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

import gocdhost.plugin.descriptor.BundleDescriptor;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.osgi.PluginException;

/** The plugins that the server knows, valid or not. Ids are unique, ignoring case. */
public final class PluginRegistry {
    private final Map<String, PluginDescriptor> plugins = new TreeMap<>();

    public synchronized Collection<PluginDescriptor> all() {
        return new ArrayList<>(plugins.values());
    }

    public synchronized Optional<PluginDescriptor> plugin(String id) {
        return Optional.ofNullable(plugins.get(key(id)));
    }

    /** The plugin of this id, or else one of a jar of this name. */
    synchronized Optional<PluginDescriptor> plugin(String id, String jarName) {
        Optional<PluginDescriptor> found = id == null ? Optional.empty() : plugin(id);
        return found.isPresent() ? found
                : plugins.values().stream().filter(one -> one.bundle().jar().name().equals(jarName)).findFirst();
    }

    public synchronized Optional<BundleDescriptor> bundle(String symbolicName) {
        return plugins.values().stream().map(PluginDescriptor::bundle)
                .filter(bundle -> bundle.symbolicName().equals(symbolicName)).findFirst();
    }

    /** @throws PluginException another plugin has an id of this bundle */
    synchronized void add(BundleDescriptor bundle) {
        for (String id : bundle.ids()) {
            if (plugins.containsKey(key(id))) {
                throw new PluginException("Found another plugin with ID: " + id);
            }
        }
        bundle.plugins().forEach(plugin -> plugins.put(key(plugin.id()), plugin));
    }

    /**
     * Removes the bundle that the first plugin of the given one names, by id or by jar, and returns it.
     *
     * @throws PluginException there is none
     */
    synchronized BundleDescriptor remove(BundleDescriptor bundle) {
        PluginDescriptor first = bundle.plugins().get(0);
        BundleDescriptor removed = plugin(first.id(), bundle.jar().name())
                .orElseThrow(() -> new PluginException("Could not find existing plugin with ID: " + first.id()))
                .bundle();
        removed.ids().forEach(id -> plugins.remove(key(id)));
        return removed;
    }

    private static String key(String id) {
        return id.toLowerCase(Locale.ROOT);
    }
}
