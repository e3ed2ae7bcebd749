package com.thoughtworks.go.plugin.internal.api;

import java.util.List;

/** What the activator inside a plugin asks and tells the server. */
public interface PluginRegistryService {
    void reportErrorAndInvalidate(String bundleSymbolicName, List<String> messages);

    void reportWarning(String bundleSymbolicName, String message);

    String getPluginIDOfFirstPluginInBundle(String bundleSymbolicName);

    /** Null where no plugin of the bundle declares the class. */
    String pluginIDFor(String bundleSymbolicName, String extensionClassCanonicalName);

    /** Empty for a bundle that is described by plugin.xml: there all classes are looked at. */
    List<String> extensionClassesInBundle(String bundleSymbolicName);
}
