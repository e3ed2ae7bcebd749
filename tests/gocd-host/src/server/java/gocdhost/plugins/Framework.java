package gocdhost.plugins;

import java.io.File;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.felix.framework.FrameworkFactory;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;

/** Apache Felix with GoCD's settings (FelixGoPluginOSGiFramework). */
final class Framework {
    /** Exactly GoCD's list, 20.6 to 26.1: what a plugin sees without asking. */
    private static final String BOOT_DELEGATION = "org.osgi.framework, com.thoughtworks.go.plugin.api, "
            + "com.thoughtworks.go.plugin.api.*, com.thoughtworks.go.plugin.internal.api, javax.*, org.xml.sax, "
            + "org.xml.sax.*, org.w3c.dom, org.w3c.dom.*";

    private final Map<String, List<String>> errors = new ConcurrentHashMap<>();
    private final org.osgi.framework.launch.Framework felix;

    Framework(File cache) throws BundleException {
        Map<String, String> settings = new HashMap<>();
        settings.put(Constants.FRAMEWORK_BUNDLE_PARENT, Constants.FRAMEWORK_BUNDLE_PARENT_FRAMEWORK);
        settings.put(Constants.FRAMEWORK_BOOTDELEGATION, BOOT_DELEGATION);
        settings.put(Constants.FRAMEWORK_STORAGE, cache.getPath());
        settings.put(Constants.FRAMEWORK_STORAGE_CLEAN, "onFirstInit");
        settings.put("felix.cache.locking", "false");
        settings.put("felix.service.urlhandlers", "false");
        felix = new FrameworkFactory().newFramework(settings);
        felix.start();
        felix.getBundleContext().registerService(Map.class.getName(), errors, null);
    }

    /** Installs the exploded plugin by reference and starts it. */
    Bundle start(File folder) throws BundleException {
        Bundle bundle = felix.getBundleContext().installBundle("reference:" + folder.toURI());
        bundle.start();
        return bundle;
    }

    /** What the activator told about a plugin since the last call. */
    List<String> takeErrors(String pluginId) {
        List<String> told = errors.remove(pluginId);
        return told == null ? List.of() : told;
    }
}
