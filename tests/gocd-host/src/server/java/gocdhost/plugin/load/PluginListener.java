package gocdhost.plugin.load;

import gocdhost.plugin.descriptor.PluginDescriptor;

/** Told of each plugin that is loaded or about to be unloaded. */
public interface PluginListener {
    /** What it throws makes the plugin invalid. */
    void loaded(PluginDescriptor plugin);

    /** What it throws is only logged. */
    void unloading(PluginDescriptor plugin);
}
