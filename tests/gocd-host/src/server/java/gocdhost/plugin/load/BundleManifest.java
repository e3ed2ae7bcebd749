package gocdhost.plugin.load;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Arrays;
import java.util.Collections;
import java.util.jar.Attributes;
import java.util.jar.Manifest;

import org.osgi.framework.Constants;

import gocdhost.plugin.descriptor.BundleDescriptor;
import gocdhost.plugin.osgi.PluginException;

/** Makes the exploded jar an OSGi bundle: three headers are added to its manifest, all others stay. */
final class BundleManifest {
    static final String LIBRARIES = "lib";
    static final String ACTIVATOR_JAR = "go-plugin-activator.jar";
    private static final String ACTIVATOR = "com.thoughtworks.go.plugin.activation.DefaultGoPluginActivator";

    private BundleManifest() {
    }

    /**
     * Adds the headers. A manifest that names a bundle already makes the plugin invalid.
     *
     * @throws PluginException the manifest cannot be read or written
     */
    static void update(BundleDescriptor bundle) {
        File folder = bundle.jar().location();
        File file = new File(folder, "META-INF/MANIFEST.MF");
        try {
            file.getParentFile().mkdirs();
            file.createNewFile();
            Manifest manifest;
            try (InputStream in = new FileInputStream(file)) {
                manifest = new Manifest(in);
            }
            Attributes headers = manifest.getMainAttributes();
            if (headers.getValue(Constants.BUNDLE_SYMBOLICNAME) != null) {
                bundle.invalidate(Collections.singletonList(
                        "Plugin JAR is invalid. MANIFEST.MF already contains header: " + Constants.BUNDLE_SYMBOLICNAME));
                return;
            }
            headers.putValue(Constants.BUNDLE_SYMBOLICNAME, bundle.symbolicName());
            headers.putValue(Constants.BUNDLE_CLASSPATH, classPath(new File(folder, LIBRARIES)));
            headers.putValue(Constants.BUNDLE_ACTIVATOR, ACTIVATOR);
            try (OutputStream out = new FileOutputStream(file)) {
                manifest.write(out);
            }
        } catch (IOException failed) {
            throw new PluginException("Failed to update MANIFEST.MF", failed);
        }
    }

    /** The activator, the folder itself and each jar directly in lib. */
    private static String classPath(File libraries) {
        StringBuilder path = new StringBuilder(LIBRARIES + "/" + ACTIVATOR_JAR + ",.");
        String[] jars = libraries.list((folder, name) -> name.endsWith(".jar") && !name.equals(ACTIVATOR_JAR));
        if (jars != null) {
            Arrays.sort(jars);
            for (String jar : jars) {
                path.append(',').append(LIBRARIES).append('/').append(jar);
            }
        }
        return path.toString();
    }
}
