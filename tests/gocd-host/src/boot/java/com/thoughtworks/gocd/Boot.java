package com.thoughtworks.gocd;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

/**
 * Main of the launcher jar: puts {@code libs/*.jar} of the working directory before the jars nested in its own, and
 * runs the launcher by name on the same thread.
 */
public final class Boot {
    private Boot() {
    }

    public static void main(String[] arguments) throws Exception {
        Interrupter.startIfAsked();
        File own = new File(Boot.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        List<URL> urls = new ArrayList<>();
        File[] libraries = new File("libs").listFiles((folder, name) -> name.endsWith(".jar"));
        if (libraries != null) {
            Arrays.sort(libraries);
            for (File library : libraries) {
                urls.add(library.toURI().toURL());
            }
        }
        String main;
        try (JarFile jar = new JarFile(own)) {
            main = jar.getManifest().getMainAttributes().getValue("GoCD-Main-Class");
            unpack(jar, urls);
        }
        URLClassLoader loader = new URLClassLoader(urls.toArray(new URL[0]), Boot.class.getClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        try {
            loader.loadClass(main).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException failed) {
            failed.getCause().printStackTrace();
            System.exit(1);
        }
    }

    private static void unpack(JarFile jar, List<URL> urls) throws IOException {
        Path folder = Files.createTempDirectory("gocd-host-lib");
        folder.toFile().deleteOnExit();
        for (Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
            JarEntry entry = entries.nextElement();
            if (!entry.getName().startsWith("lib/") || !entry.getName().endsWith(".jar")) {
                continue;
            }
            Path target = folder.resolve(entry.getName().substring("lib/".length()));
            try (InputStream in = jar.getInputStream(entry)) {
                Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
            }
            target.toFile().deleteOnExit();
            urls.add(target.toUri().toURL());
        }
    }
}
