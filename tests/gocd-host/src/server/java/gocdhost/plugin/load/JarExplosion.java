package gocdhost.plugin.load;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Collections;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

import gocdhost.Environment;
import gocdhost.Folders;
import gocdhost.plugin.descriptor.PluginJar;
import gocdhost.plugin.osgi.PluginException;

/** Unpacks a whole plugin jar into its folder under plugins_work, and puts the activator beside its libraries. */
final class JarExplosion {
    private JarExplosion() {
    }

    /** @throws PluginException the jar cannot be read, or the folder not be written */
    static void explode(PluginJar jar) {
        try {
            Folders.renew(jar.location());
            unpack(jar.file(), jar.location().getCanonicalFile().toPath());
            installActivator(jar.location());
        } catch (IOException failed) {
            throw new PluginException(
                    "Failed to copy plugin jar " + jar + " to bundle location " + jar.location(), failed);
        }
    }

    private static void unpack(File jar, Path folder) throws IOException {
        try (ZipFile zip = new ZipFile(jar)) {
            for (ZipEntry entry : Collections.list(zip.entries())) {
                Path target = folder.resolve(entry.getName()).normalize();
                if (!target.startsWith(folder)) {
                    throw new IOException("the entry " + entry.getName() + " of " + jar + " leads out of its folder");
                }
                if (entry.isDirectory()) {
                    Files.createDirectories(target);
                } else {
                    Files.createDirectories(target.getParent());
                    try (InputStream content = zip.getInputStream(entry)) {
                        Files.copy(content, target, StandardCopyOption.REPLACE_EXISTING);
                    }
                }
            }
        }
    }

    private static void installActivator(File folder) throws IOException {
        File libraries = new File(folder, BundleManifest.LIBRARIES);
        Folders.create(libraries);
        String resource = Environment.pluginActivator();
        try (InputStream activator = JarExplosion.class.getClassLoader().getResourceAsStream(resource)) {
            if (activator == null) {
                throw new FileNotFoundException(resource + " is not on the class path");
            }
            Files.copy(activator, new File(libraries, BundleManifest.ACTIVATOR_JAR).toPath(),
                    StandardCopyOption.REPLACE_EXISTING);
        }
    }
}
