package com.thoughtworks.gocd;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.MalformedURLException;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;

import com.thoughtworks.gocd.onejar.Handler;

import gocdhost.boot.LauncherInterrupts;

/**
 * The main class of go.jar. It puts the jars of {@code libs/} in the working directory before the jars inside go.jar
 * and runs the class that the manifest names, on this thread. The nested jars are listed now and read later, by path,
 * so a go.jar that is replaced meanwhile breaks the launch, as it does in GoCD.
 */
public final class Boot {
    private static final String MAIN_CLASS = "GoCD-Main-Class";

    private Boot() {
    }

    public static void main(String... arguments) {
        System.err.println("GoCD stand-in " + Boot.class.getPackage().getImplementationVersion()
                + " in " + System.getProperty("user.dir") + " on Java " + System.getProperty("java.version"));
        Handler.register();
        try {
            run(arguments);
        } catch (IOException | ReflectiveOperationException failed) {
            Throwable cause = failed instanceof InvocationTargetException ? failed.getCause() : failed;
            cause.printStackTrace();
            System.exit(1);
        }
    }

    private static void run(String[] arguments) throws IOException, ReflectiveOperationException {
        List<URL> classPath = new ArrayList<>(jarsInWorkingDirectory());
        String mainClass;
        try (JarFile launcher = new JarFile(launcherJar())) {
            mainClass = launcher.getManifest().getMainAttributes().getValue(MAIN_CLASS);
            for (Enumeration<JarEntry> entries = launcher.entries(); entries.hasMoreElements();) {
                String name = entries.nextElement().getName();
                if (name.startsWith("lib/") && name.endsWith(".jar")) {
                    classPath.add(Handler.url(name));
                }
            }
        }
        // Never closed: the server lives in it until the JVM ends.
        @SuppressWarnings("resource")
        ClassLoader loader = new URLClassLoader(classPath.toArray(new URL[0]), Boot.class.getClassLoader());
        Thread.currentThread().setContextClassLoader(loader);
        LauncherInterrupts.beginIfAsked(Thread.currentThread());
        loader.loadClass(mainClass).getMethod("main", String[].class).invoke(null, (Object) arguments);
    }

    private static List<URL> jarsInWorkingDirectory() throws MalformedURLException {
        File[] jars = new File("libs").listFiles((folder, name) -> name.endsWith(".jar"));
        List<URL> urls = new ArrayList<>();
        if (jars != null) {
            Arrays.sort(jars);
            for (File jar : jars) {
                urls.add(jar.toURI().toURL());
            }
        }
        return urls;
    }

    private static File launcherJar() throws IOException {
        try {
            return new File(Boot.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException unreadable) {
            throw new IOException("cannot tell where go.jar is", unreadable);
        }
    }
}
