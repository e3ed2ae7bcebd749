package gocdhost.plugin.descriptor;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

import org.osgi.framework.Bundle;

/** The plugins of one jar: one with plugin.xml, one or more with gocd-bundle.xml. They are invalid together. */
public final class BundleDescriptor {
    private final PluginJar jar;
    private final List<PluginDescriptor> plugins;
    private volatile Bundle bundle;

    BundleDescriptor(PluginJar jar, List<PluginDescriptor> plugins) {
        this.jar = jar;
        this.plugins = plugins;
        plugins.forEach(plugin -> plugin.belongsTo(this));
    }

    public PluginJar jar() {
        return jar;
    }

    public List<PluginDescriptor> plugins() {
        return plugins;
    }

    public List<String> ids() {
        return plugins.stream().map(PluginDescriptor::id).collect(Collectors.toList());
    }

    /** Its name in the OSGi framework. */
    public String symbolicName() {
        return String.join("--", ids());
    }

    public boolean isInvalid() {
        return plugins.stream().anyMatch(PluginDescriptor::isInvalid);
    }

    /** Why it is invalid. */
    public List<String> messages() {
        List<String> messages = new ArrayList<>();
        plugins.forEach(plugin -> messages.addAll(plugin.messages()));
        return messages;
    }

    /** The reasons take the place of earlier ones. */
    public void invalidate(List<String> reasons) {
        plugins.forEach(plugin -> plugin.invalidate(reasons));
    }

    /** Null until it is installed in the OSGi framework. */
    public Bundle bundle() {
        return bundle;
    }

    public void installedAs(Bundle installed) {
        bundle = installed;
    }
}
