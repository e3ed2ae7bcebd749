package gocdhost.plugin.load;

import java.io.IOException;
import java.util.Optional;

import gocdhost.Folders;
import gocdhost.log.ServerLog;
import gocdhost.plugin.descriptor.BundleDescriptor;
import gocdhost.plugin.descriptor.Compatibility;
import gocdhost.plugin.descriptor.DescriptorReader;
import gocdhost.plugin.descriptor.PluginDescriptor;
import gocdhost.plugin.descriptor.PluginJar;
import gocdhost.plugin.osgi.PluginException;

/** Takes a jar from the plugin folder to a running plugin, and back. Used by one thread only. */
final class PluginDeployer {
    private static final ServerLog LOG = new ServerLog(PluginDeployer.class);

    private final DescriptorReader reader = new DescriptorReader();
    private final PluginRegistry registry;
    private final PluginLoader loader;
    private final Compatibility compatibility;

    PluginDeployer(PluginRegistry registry, PluginLoader loader, Compatibility compatibility) {
        this.registry = registry;
        this.loader = loader;
        this.compatibility = compatibility;
    }

    /** @throws PluginException it is not loaded; if it was exploded, it stays so */
    void added(PluginJar jar) {
        LOG.info("Plugin load starting: " + jar);
        BundleDescriptor bundle = reader.read(jar);
        refuseToReplaceBundled(bundle);
        compatibility.check(bundle);
        deploy(bundle);
        LOG.info("Plugin load finished: " + jar);
    }

    /** @throws PluginException the new one is not loaded; the old one may be gone */
    void updated(PluginJar jar) {
        LOG.info("Plugin update starting: " + jar);
        BundleDescriptor bundle = reader.read(jar);
        refuseToReplaceBundled(bundle);
        refuseOtherJarWithSameId(bundle);
        compatibility.check(bundle);
        remove(bundle);
        deploy(bundle);
        LOG.info("Plugin update finished: " + jar);
    }

    /** @throws PluginException its folder cannot be removed */
    void removed(PluginJar jar) {
        Optional<PluginDescriptor> known = registry.plugin(null, jar.name());
        if (known.isEmpty()) {
            return;
        }
        if (known.get().bundle().jar().isBundled() && !jar.isBundled()) {
            LOG.info("External plugin file " + jar + " has the name of a bundled one, which stays");
            return;
        }
        remove(known.get().bundle());
        LOG.info("Plugin removed: " + jar);
    }

    private void deploy(BundleDescriptor bundle) {
        JarExplosion.explode(bundle.jar());
        registry.add(bundle);
        if (bundle.isInvalid()) {
            LOG.error("Plugin is invalid: " + bundle.messages());
            return;
        }
        BundleManifest.update(bundle);
        // A bundle whose manifest made it invalid is started all the same, and given up at once.
        loader.load(bundle);
    }

    private void remove(BundleDescriptor bundle) {
        BundleDescriptor removed = registry.remove(bundle);
        loader.unload(removed);
        try {
            Folders.delete(removed.jar().location());
        } catch (IOException failed) {
            throw new PluginException("Failed to remove bundle jar " + removed.jar() + " from bundle location "
                    + removed.jar().location(), failed);
        }
    }

    private void refuseToReplaceBundled(BundleDescriptor bundle) {
        for (String id : bundle.ids()) {
            Optional<PluginDescriptor> known = registry.plugin(id, bundle.jar().name());
            if (known.isPresent() && known.get().bundle().jar().isBundled() && !bundle.jar().isBundled()) {
                throw new PluginException("Found bundled plugin with ID: [" + known.get().id()
                        + "], external plugin could not be loaded");
            }
        }
    }

    private void refuseOtherJarWithSameId(BundleDescriptor bundle) {
        for (String id : bundle.ids()) {
            Optional<PluginDescriptor> known = registry.plugin(id, bundle.jar().name());
            if (known.isPresent() && !known.get().bundle().jar().name().equals(bundle.jar().name())) {
                throw new PluginException("Found another plugin with ID: " + known.get().id());
            }
        }
    }
}
