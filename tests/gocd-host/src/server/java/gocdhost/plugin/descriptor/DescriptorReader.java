package gocdhost.plugin.descriptor;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

import org.w3c.dom.Element;

import gocdhost.log.ServerLog;

/**
 * Reads the descriptor in the root of a jar: gocd-bundle.xml if there is one, else plugin.xml. A jar with none, or with
 * a wrong one, becomes an invalid plugin whose id is the name of the jar.
 */
public final class DescriptorReader {
    private static final ServerLog LOG = new ServerLog(DescriptorReader.class);

    private final DescriptorXml pluginXml = new DescriptorXml("plugin.xml", "/plugin-descriptor.xsd");
    private final DescriptorXml bundleXml = new DescriptorXml("bundle.xml", "/gocd-bundle-descriptor.xsd");

    public BundleDescriptor read(PluginJar jar) {
        try {
            Optional<byte[]> bundle = jar.entry("gocd-bundle.xml");
            if (bundle.isPresent()) {
                return bundle(jar, bundleXml.parse(bundle.get()));
            }
            Optional<byte[]> plugin = jar.entry("plugin.xml");
            if (plugin.isPresent()) {
                return new BundleDescriptor(jar, Collections.singletonList(plugin(pluginXml.parse(plugin.get()))));
            }
            return invalid(jar, "Plugin with ID (%s) is not valid. "
                    + "The plugin does not seem to contain plugin.xml or gocd-bundle.xml");
        } catch (InvalidDescriptorException broken) {
            LOG.warn("Unable to load the jar file " + jar, broken);
            return invalid(jar, "Plugin with ID (%s) is not valid: " + broken.getMessage().replace("%", "%%"));
        }
    }

    private static BundleDescriptor invalid(PluginJar jar, String form) {
        PluginDescriptor plugin = new PluginDescriptor(jar.name(), null, Collections.emptyList());
        BundleDescriptor bundle = new BundleDescriptor(jar, Collections.singletonList(plugin));
        bundle.invalidate(Collections.singletonList(String.format(form, jar.name())));
        return bundle;
    }

    private static BundleDescriptor bundle(PluginJar jar, Element root) {
        List<PluginDescriptor> plugins = new ArrayList<>();
        for (Element list : DescriptorXml.children(root, "plugins")) {
            DescriptorXml.children(list, "plugin").forEach(plugin -> plugins.add(plugin(plugin)));
        }
        return new BundleDescriptor(jar, plugins);
    }

    private static PluginDescriptor plugin(Element element) {
        List<String> classes = new ArrayList<>();
        for (Element list : DescriptorXml.children(element, "extensions")) {
            DescriptorXml.children(list, "extension").forEach(one -> classes.add(one.getAttribute("class")));
        }
        List<Element> about = DescriptorXml.children(element, "about");
        String id = element.getAttribute("id").trim();
        return new PluginDescriptor(id, about.isEmpty() ? null : about(about.get(0)), classes);
    }

    private static About about(Element about) {
        List<String> systems = new ArrayList<>();
        for (Element list : DescriptorXml.children(about, "target-os")) {
            DescriptorXml.children(list, "value").forEach(value -> systems.add(value.getTextContent().trim()));
        }
        List<Element> vendor = DescriptorXml.children(about, "vendor");
        return new About(DescriptorXml.text(about, "name"), DescriptorXml.text(about, "version"),
                DescriptorXml.text(about, "target-go-version"), DescriptorXml.text(about, "description"), systems,
                vendor.isEmpty() ? null : DescriptorXml.text(vendor.get(0), "name"),
                vendor.isEmpty() ? null : DescriptorXml.text(vendor.get(0), "url"));
    }
}
