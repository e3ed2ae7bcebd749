package com.thoughtworks.go.plugin.activation;

import java.util.ArrayList;
import java.util.Dictionary;
import java.util.Hashtable;
import java.util.List;

import org.osgi.framework.Bundle;
import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;
import org.osgi.framework.Constants;

import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.logging.Logger;
import com.thoughtworks.go.plugin.internal.api.LoggingService;
import com.thoughtworks.go.plugin.internal.api.PluginRegistryService;

/**
 * The activator that the server puts into every plugin: finds the extension classes, makes one instance of each,
 * calls its load method and registers it as a service. Any error makes the whole plugin invalid.
 */
public final class DefaultGoPluginActivator implements BundleActivator {
    /** Read by name from the plugin API's Logger, which writes to the log of this plugin. */
    @SuppressWarnings("unused")
    private static String pluginId;

    private final List<String> errors = new ArrayList<>();
    private final List<ExtensionInstance> loaded = new ArrayList<>();
    private PluginRegistryService registry;
    private String bundleName;

    @Override
    public void start(BundleContext context) {
        Bundle bundle = context.getBundle();
        bundleName = bundle.getSymbolicName();
        registry = context.getService(context.getServiceReference(PluginRegistryService.class));
        pluginId = registry.getPluginIDOfFirstPluginInBundle(bundleName);
        Logger.initialize(context.getService(context.getServiceReference(LoggingService.class)));

        List<Class<?>> classes =
                new ExtensionClasses(bundle, errors).find(registry.extensionClassesInBundle(bundleName));
        if (errors.isEmpty()) {
            for (ExtensionInstance instance : load(classes)) {
                register(context, instance);
            }
        }
        if (!errors.isEmpty()) {
            registry.reportErrorAndInvalidate(bundleName, errors);
        }
    }

    @Override
    public void stop(BundleContext context) {
        for (ExtensionInstance instance : loaded) {
            instance.unload(errors);
        }
        if (!errors.isEmpty()) {
            registry.reportErrorAndInvalidate(bundleName, errors);
        }
    }

    private List<ExtensionInstance> load(List<Class<?>> classes) {
        List<ExtensionInstance> instances = new ArrayList<>();
        for (Class<?> type : classes) {
            ExtensionInstance instance = ExtensionInstance.construct(type, errors);
            if (instance == null) {
                continue;
            }
            // An instance whose load method failed is never unloaded.
            if (instance.load(errors, warning -> registry.reportWarning(bundleName, warning))) {
                loaded.add(instance);
            }
            if (!instance.services().isEmpty()) {
                instances.add(instance);
            }
        }
        if (instances.isEmpty()) {
            errors.add("No extensions found in this plugin. Please check for @Extension annotations");
        }
        return instances;
    }

    private void register(BundleContext context, ExtensionInstance instance) {
        String extension = extensionOf(instance);
        String className = instance.object().getClass().getCanonicalName();
        String owner = registry.pluginIDFor(bundleName, className);
        if (owner == null) {
            errors.add("Unable to find plugin ID for extension class (" + className + ") in bundle " + bundleName);
            return;
        }
        if (extension == null) {
            return;
        }
        Dictionary<String, String> properties = new Hashtable<>();
        properties.put(Constants.BUNDLE_SYMBOLICNAME, bundleName);
        properties.put(Constants.BUNDLE_CATEGORY, extension);
        properties.put("PLUGIN_ID", owner);
        String[] services = instance.services().stream().map(Class::getName).toArray(String[]::new);
        context.registerService(services, instance.object(), properties);
    }

    private String extensionOf(ExtensionInstance instance) {
        try {
            return ((GoPlugin) instance.object()).pluginIdentifier().getExtension();
        } catch (Throwable unknown) {
            errors.add("Unable to find extension type from plugin identifier in class "
                    + instance.object().getClass().getCanonicalName() + ". Error: \"" + unknown.getMessage() + "\".");
            return null;
        }
    }
}
