package gocdhost.plugin.descriptor;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.Optional;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;

import gocdhost.Environment;
import gocdhost.log.ServerLog;

/** A jar in a plugin folder, as it was when the folder was looked at. */
public final class PluginJar {
    private static final ServerLog LOG = new ServerLog(PluginJar.class);

    private final File file;
    private final boolean bundled;
    private final long modified;

    public PluginJar(File file, boolean bundled) {
        this.file = file.getAbsoluteFile();
        this.bundled = bundled;
        this.modified = file.lastModified();
    }

    public File file() {
        return file;
    }

    public String name() {
        return file.getName();
    }

    /** Whether it came with the server. */
    public boolean isBundled() {
        return bundled;
    }

    /** Milliseconds since 1970. */
    public long modified() {
        return modified;
    }

    /** Where it is exploded. */
    public File location() {
        return new File(Environment.pluginWork(), file.getName());
    }

    /** An entry of it. Empty also where the jar cannot be read. */
    Optional<byte[]> entry(String name) {
        try (JarFile jar = new JarFile(file)) {
            ZipEntry entry = jar.getEntry(name);
            if (entry == null) {
                return Optional.empty();
            }
            try (InputStream content = jar.getInputStream(entry)) {
                return Optional.of(content.readAllBytes());
            }
        } catch (IOException unreadable) {
            LOG.warn("Could not load jar " + file, unreadable);
            return Optional.empty();
        }
    }

    @Override
    public String toString() {
        return file.toString();
    }
}
