package gocdhost.plugin.osgi;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

import org.apache.felix.framework.FrameworkFactory;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.launch.Framework;

import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.GoPluginIdentifier;
import com.thoughtworks.go.plugin.internal.api.LoggingService;
import com.thoughtworks.go.plugin.internal.api.PluginRegistryService;

import gocdhost.log.PluginLogs;
import gocdhost.plugin.descriptor.BundleDescriptor;

/** Apache Felix with GoCD's settings. It is never stopped: at the end of the server the JVM just ends. */
public final class OsgiFramework {
    /** The packages that plugins get from the server and the JDK, in 20.6 to 26.1. Of all else they bring their own. */
    private static final String BOOT_DELEGATION = String.join(", ", "org.osgi.framework",
            "com.thoughtworks.go.plugin.api", "com.thoughtworks.go.plugin.api.*",
            "com.thoughtworks.go.plugin.internal.api", "javax.*", "org.xml.sax", "org.xml.sax.*",
            "org.w3c.dom", "org.w3c.dom.*");

    private final PluginRegistryService registry;
    private Framework framework;

    /** The service is what the activators ask and tell. */
    public OsgiFramework(PluginRegistryService registry) {
        this.registry = registry;
    }

    /** @throws PluginException Felix does not start */
    public void start() {
        Map<String, String> settings = new HashMap<>();
        settings.put(Constants.FRAMEWORK_BUNDLE_PARENT, Constants.FRAMEWORK_BUNDLE_PARENT_FRAMEWORK);
        settings.put(Constants.FRAMEWORK_BOOTDELEGATION, BOOT_DELEGATION);
        settings.put(Constants.FRAMEWORK_STORAGE_CLEAN, Constants.FRAMEWORK_STORAGE_CLEAN_ONFIRSTINIT);
        settings.put("felix.cache.locking", "false");
        settings.put("felix.service.urlhandlers", "false");
        try {
            framework = new FrameworkFactory().newFramework(settings);
            framework.start();
        } catch (BundleException failed) {
            throw new PluginException("Failed to initialize OSGi framework", failed);
        }
        BundleContext context = framework.getBundleContext();
        context.registerService(PluginRegistryService.class, registry, null);
        context.registerService(LoggingService.class, new PluginLogs(), null);
    }

    /** Installs and starts an exploded bundle. What its activator finds wrong is told to the registry, not thrown. */
    public void load(BundleDescriptor descriptor) {
        try {
            Bundle bundle = framework.getBundleContext()
                    .installBundle("reference:" + descriptor.jar().location().getAbsoluteFile().toURI());
            descriptor.installedAs(bundle);
            bundle.start();
        } catch (BundleException failed) {
            throw new PluginException(String.valueOf(failed.getMessage()), failed);
        }
    }

    /** Stops and uninstalls a bundle, if it is not uninstalled yet. */
    public void unload(BundleDescriptor descriptor) {
        Bundle bundle = descriptor.bundle();
        if (bundle == null || bundle.getState() == Bundle.UNINSTALLED) {
            return;
        }
        try {
            bundle.stop();
            bundle.uninstall();
        } catch (BundleException failed) {
            throw new PluginException("Failed to unload plugin: " + bundle, failed);
        }
    }

    /** The extension types of a plugin, each with the versions it supports. */
    public Map<String, List<String>> extensions(String pluginId) {
        Map<String, List<String>> extensions = new HashMap<>();
        Set<ServiceReference<GoPlugin>> services = new HashSet<>(services("(PLUGIN_ID=" + pluginId + ")"));
        for (ServiceReference<GoPlugin> service : services) {
            GoPluginIdentifier identifier = call(service, GoPlugin::pluginIdentifier);
            if (extensions.putIfAbsent(identifier.getExtension(), identifier.getSupportedExtensionVersions()) != null) {
                throw new PluginException("Duplicate key " + identifier.getExtension());
            }
        }
        return extensions;
    }

    /** Whether a plugin has an extension of this type. */
    public boolean has(String pluginId, String extension) {
        return !services(filter(pluginId, extension)).isEmpty();
    }

    /**
     * Calls the one extension of this type in a plugin, with its class loader as the context class loader.
     *
     * @throws PluginException there is not exactly one, or it threw
     */
    public <T> T call(String pluginId, String extension, Function<GoPlugin, T> action) {
        List<ServiceReference<GoPlugin>> services = services(filter(pluginId, extension));
        if (services.isEmpty()) {
            throw new PluginException("No reference found for the given Service Reference: " + GoPlugin.class.getName()
                    + " and Plugin Id " + pluginId + ". It is likely that the plugin is missing.");
        }
        if (services.size() > 1) {
            throw new PluginException("More than one reference found for the given Service Reference: "
                    + GoPlugin.class.getName() + " and Plugin Id " + pluginId + "; References: " + services);
        }
        return call(services.get(0), action);
    }

    private <T> T call(ServiceReference<GoPlugin> reference, Function<GoPlugin, T> action) {
        GoPlugin plugin = framework.getBundleContext().getService(reference);
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        thread.setContextClassLoader(plugin.getClass().getClassLoader());
        try {
            return action.apply(plugin);
        } catch (Throwable thrown) {
            throw new PluginException(thrown.getMessage(), thrown);
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    private List<ServiceReference<GoPlugin>> services(String filter) {
        try {
            return new ArrayList<>(framework.getBundleContext().getServiceReferences(GoPlugin.class, filter));
        } catch (InvalidSyntaxException wrong) {
            throw new PluginException("no plugin can be found with " + filter, wrong);
        }
    }

    private static String filter(String pluginId, String extension) {
        return "(&(PLUGIN_ID=" + pluginId + ")(" + Constants.BUNDLE_CATEGORY + "=" + extension + "))";
    }
}
