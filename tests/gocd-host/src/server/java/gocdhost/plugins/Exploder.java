package gocdhost.plugins;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Enumeration;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.Manifest;
import java.util.stream.Stream;

/** Makes a folder of a plugin's jar, with the activator and the OSGi headers that GoCD adds (GoPluginOSGiManifest). */
final class Exploder {
    private Exploder() {
    }

    static void explode(JarFile jar, String pluginId, Path folder) throws IOException {
        delete(folder);
        Files.createDirectories(folder);
        for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
            JarEntry entry = entries.nextElement();
            Path target = folder.resolve(entry.getName()).normalize();
            if (!target.startsWith(folder)) {
                throw new IOException("the entry " + entry.getName() + " leaves the plugin's folder");
            }
            if (entry.isDirectory()) {
                Files.createDirectories(target);
                continue;
            }
            Files.createDirectories(target.getParent());
            try (InputStream in = jar.getInputStream(entry)) {
                Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
            }
        }
        Path libraries = Files.createDirectories(folder.resolve("lib"));
        try (InputStream in = Exploder.class.getResourceAsStream("/lib/go-plugin-activator.jar")) {
            Files.copy(in, libraries.resolve("go-plugin-activator.jar"), StandardCopyOption.REPLACE_EXISTING);
        }
        addHeaders(jar.getManifest(), pluginId, folder);
    }

    static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path one : (Iterable<Path>) all.sorted(java.util.Comparator.reverseOrder())::iterator) {
                Files.deleteIfExists(one);
            }
        }
    }

    private static void addHeaders(Manifest manifest, String pluginId, Path folder) throws IOException {
        if (manifest == null) {
            throw new IOException("the jar has no manifest");
        }
        Attributes headers = manifest.getMainAttributes();
        if (headers.getValue("Bundle-SymbolicName") != null) {
            throw new IOException("manifest.mf in Plugin OSGi Manifest already has Bundle-SymbolicName");
        }
        StringBuilder classPath = new StringBuilder("lib/go-plugin-activator.jar,.");
        File[] libraries = folder.resolve("lib").toFile().listFiles((in, name) -> name.endsWith(".jar"));
        for (File library : libraries == null ? new File[0] : libraries) {
            if (!library.getName().equals("go-plugin-activator.jar")) {
                classPath.append(",lib/").append(library.getName());
            }
        }
        headers.putValue("Bundle-SymbolicName", pluginId);
        headers.putValue("Bundle-ClassPath", classPath.toString());
        headers.putValue("Bundle-Activator", "com.thoughtworks.go.plugin.activation.DefaultGoPluginActivator");
        try (OutputStream out = Files.newOutputStream(folder.resolve("META-INF/MANIFEST.MF"))) {
            manifest.write(out);
        }
    }
}
