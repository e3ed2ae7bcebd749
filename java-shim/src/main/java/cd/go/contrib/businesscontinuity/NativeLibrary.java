package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Locale;

/**
 * Loads the native library out of our jar. In this order:
 *
 * <ol>
 * <li>The platform is told from {@code os.name} and {@code os.arch}; one that we do not know is refused by its name.
 * <li>The entries {@code native/PLATFORM/FILE} and {@code FILE.sha256} are found through our own class loader: in the
 *     jar itself as an agent, in the folder that GoCD made of the jar as a plugin.
 * <li>The library is copied to a file of a new name in the private folder {@code native} of the state folder. A new
 *     name, since the JVM loads one file into one class loader only, and agent, plugin and each reload of the plugin
 *     have one each. The state folder and no temporary one, since these are often mounted noexec, and without a state
 *     folder that can be written no node opens.
 * <li>The copy is read again and its SHA-256 compared with the one in the jar, which finds a full disk or a copy cut
 *     short before the JVM crashes over it.
 * <li>The copy is loaded, and then removed; Windows keeps a loaded file, which a later start sweeps.
 * </ol>
 *
 * Copies that an interrupted start or Windows left behind are swept before each load once they are an hour old, so
 * that nothing is swept that another JVM is just about to load.
 */
final class NativeLibrary {
    private static final String COPY_PREFIX = "libgocd_bc-";
    private static final long LEFTOVER_AGE = 60 * 60 * 1000;

    private static boolean loaded;

    private NativeLibrary() {
    }

    /**
     * Loads the library into the class loader of this class; once it is loaded, nothing more happens.
     *
     * @throws IOException when there is none for this platform in the jar, or when the state folder cannot be written
     *     or nothing can be loaded from it
     */
    static synchronized void load() throws IOException, GeneralSecurityException {
        if (loaded) {
            return;
        }
        String entry = entry();
        String digest;
        try (InputStream in = NativeLibrary.class.getResourceAsStream(entry + ".sha256")) {
            digest = new String(in.readAllBytes(), StandardCharsets.US_ASCII).trim();
        }
        File stateFolder = Layout.stateFolder();
        try {
            loadFrom(ownFolder(stateFolder.toPath()), entry, digest);
            loaded = true;
        } catch (IOException | RuntimeException | UnsatisfiedLinkError failed) {
            throw new IOException("the native library could not be loaded from the state folder " + stateFolder + " ("
                    + failed + "). Let the user that runs GoCD write to it, on a file system that has room and is not"
                    + " mounted noexec; -Dbc.state.dir names another folder", failed);
        }
    }

    /** Where the library for this system is in the jar. */
    private static String entry() throws IOException {
        String system = System.getProperty("os.name", "");
        String architecture = System.getProperty("os.arch", "");
        boolean isWindows = system.toLowerCase(Locale.ROOT).startsWith("windows");
        String entry = "/native/" + (isWindows ? "windows" : system.toLowerCase(Locale.ROOT)) + "-"
                + architecture.replace("amd64", "x86_64").replace("arm64", "aarch64")
                + (isWindows ? "/gocd_bc.dll" : "/libgocd_bc.so");
        if (NativeLibrary.class.getResource(entry) == null
                || NativeLibrary.class.getResource(entry + ".sha256") == null) {
            throw new IOException("there is no native library for " + system + " on " + architecture + " in this jar."
                    + " Business Continuity runs on Linux (x86_64, aarch64) and Windows (x86_64); install a jar that"
                    + " was built for this platform");
        }
        return entry;
    }

    /** The folder {@code native} of the state folder, made if need be, open to nobody else, and swept. */
    private static Path ownFolder(Path stateFolder) throws IOException {
        if (!Files.isDirectory(stateFolder)) {
            Files.createDirectories(stateFolder);
            restrict(stateFolder, "rwx--x--x");
        }
        Path folder = stateFolder.resolve("native");
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
            Files.createDirectory(folder);
        }
        restrict(folder, "rwx------");
        File[] leftovers = folder.toFile().listFiles();
        for (File leftover : leftovers == null ? new File[0] : leftovers) {
            if (leftover.getName().startsWith(COPY_PREFIX)
                    && leftover.lastModified() < System.currentTimeMillis() - LEFTOVER_AGE) {
                leftover.delete();
            }
        }
        return folder;
    }

    private static void restrict(Path folder, String permissions) throws IOException {
        if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString(permissions));
        }
    }

    private static void loadFrom(Path folder, String entry, String digest)
            throws IOException, GeneralSecurityException {
        Path copy = Files.createTempFile(folder, COPY_PREFIX, entry.substring(entry.lastIndexOf('.')));
        try {
            try (InputStream in = NativeLibrary.class.getResourceAsStream(entry);
                    OutputStream out = Files.newOutputStream(copy)) {
                in.transferTo(out);
            }
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            try (InputStream in = new DigestInputStream(Files.newInputStream(copy), sha256)) {
                in.transferTo(OutputStream.nullOutputStream());
            }
            String found = String.format("%064x", new BigInteger(1, sha256.digest()));
            if (!found.equals(digest)) {
                throw new IOException("the copy has SHA-256 " + found + " where the jar says " + digest
                        + "; is the disk full, or the jar damaged?");
            }
            System.load(copy.toAbsolutePath().toString());
        } finally {
            // Windows keeps a loaded library; a later load sweeps it.
            copy.toFile().delete();
        }
    }
}
