package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
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
 *     have one each. The state folder first, since temporary folders are often mounted noexec.
 * <li>The copy is read again and its SHA-256 compared with the one in the jar, which finds a full disk or a copy cut
 *     short before the JVM crashes over it.
 * <li>The copy is loaded, and then removed; Windows keeps a loaded file, which a later start sweeps.
 * <li>If any of this fails in the state folder it is tried once more in a new folder in {@code java.io.tmpdir}. If
 *     that fails too, one exception has both reasons.
 * </ol>
 *
 * Copies that an interrupted start or Windows left behind are swept before each load once they are an hour old, so
 * that nothing is swept that another JVM is just about to load.
 */
final class NativeLibrary {
    private static final String COPY_PREFIX = "libgocd_bc-";
    private static final String TEMPORARY_PREFIX = "gocd-bc-native-";
    private static final long LEFTOVER_AGE = 60 * 60 * 1000;

    private static boolean loaded;

    private NativeLibrary() {
    }

    /**
     * Loads the library into the class loader of this class; once it is loaded, nothing more happens.
     *
     * @throws IOException when there is none for this platform in the jar, or when it can be loaded from neither folder
     */
    static synchronized void load() throws IOException {
        if (loaded) {
            return;
        }
        String entry = entry(System.getProperty("os.name", ""), System.getProperty("os.arch", ""));
        String digest = digest(entry);
        File stateFolder = Layout.stateFolder();
        String first;
        try {
            loadFrom(ownFolder(stateFolder.toPath()), entry, digest);
            loaded = true;
            return;
        } catch (IOException | RuntimeException | UnsatisfiedLinkError failed) {
            first = reason(failed);
        }
        File temporary = new File(System.getProperty("java.io.tmpdir", "."));
        try {
            loadFromTemporary(temporary.toPath(), entry, digest);
            loaded = true;
        } catch (IOException | RuntimeException | UnsatisfiedLinkError failed) {
            throw new IOException("the native library could not be loaded from " + stateFolder + " (" + first
                    + ") nor from " + temporary + " (" + reason(failed) + "). Let the user that runs GoCD write to one"
                    + " of the two, on a file system that is not mounted noexec; -Dbc.state.dir and -Djava.io.tmpdir"
                    + " name others", failed);
        }
    }

    /** Where the library for this system is in the jar. */
    static String entry(String system, String architecture) throws IOException {
        String os = system.toLowerCase(Locale.ROOT);
        boolean linux = os.equals("linux");
        boolean windows = os.startsWith("windows");
        boolean x86 = architecture.equals("amd64") || architecture.equals("x86_64");
        boolean arm = architecture.equals("aarch64") || architecture.equals("arm64");
        if (linux && x86) {
            return "/native/linux-x86_64/libgocd_bc.so";
        }
        if (linux && arm) {
            return "/native/linux-aarch64/libgocd_bc.so";
        }
        if (windows && x86) {
            return "/native/windows-x86_64/gocd_bc.dll";
        }
        throw new IOException("there is no native library for " + system + " on " + architecture
                + "; Business Continuity runs on Linux (x86_64, aarch64) and Windows (x86_64)");
    }

    private static String digest(String entry) throws IOException {
        try (InputStream in = resource(entry + ".sha256")) {
            return new String(in.readAllBytes(), StandardCharsets.US_ASCII).trim();
        }
    }

    private static InputStream resource(String entry) throws IOException {
        InputStream in = NativeLibrary.class.getResourceAsStream(entry);
        if (in == null) {
            throw new IOException("this jar has no " + entry.substring(1)
                    + "; install a jar that was built for this platform");
        }
        return in;
    }

    /** The folder {@code native} of the state folder, made if need be, open to nobody else. */
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
        sweep(folder);
        return folder;
    }

    private static void restrict(Path folder, String permissions) throws IOException {
        if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString(permissions));
        }
    }

    private static void loadFromTemporary(Path temporary, String entry, String digest) throws IOException {
        Path folder = Files.createTempDirectory(temporary, TEMPORARY_PREFIX);
        try {
            sweepTemporary(temporary, folder);
            loadFrom(folder, entry, digest);
        } finally {
            deleteIfPossible(folder);
        }
    }

    private static void loadFrom(Path folder, String entry, String digest) throws IOException {
        Path copy = Files.createTempFile(folder, COPY_PREFIX, entry.substring(entry.lastIndexOf('.')));
        try {
            try (InputStream in = resource(entry);
                    OutputStream out = Files.newOutputStream(copy, StandardOpenOption.WRITE)) {
                in.transferTo(out);
            }
            String found = sha256(copy);
            if (!found.equals(digest)) {
                throw new IOException("the copy in " + folder + " has SHA-256 " + found + " where the jar says "
                        + digest + "; is the disk full, or the jar damaged?");
            }
            System.load(copy.toAbsolutePath().toString());
        } finally {
            deleteIfPossible(copy);
        }
    }

    /** The JVM's own message names the file and says why; other exceptions may have nothing but a path to say. */
    private static String reason(Throwable failed) {
        return failed instanceof UnsatisfiedLinkError ? failed.getMessage() : failed.toString();
    }

    private static String sha256(Path file) throws IOException {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IOException("this Java has no SHA-256", impossible);
        }
        byte[] buffer = new byte[1 << 16];
        try (InputStream in = Files.newInputStream(file)) {
            for (int length = in.read(buffer); length >= 0; length = in.read(buffer)) {
                digest.update(buffer, 0, length);
            }
        }
        StringBuilder hex = new StringBuilder();
        for (byte value : digest.digest()) {
            hex.append(Character.forDigit(value >> 4 & 15, 16)).append(Character.forDigit(value & 15, 16));
        }
        return hex.toString();
    }

    private static void sweep(Path folder) throws IOException {
        try (DirectoryStream<Path> leftovers = Files.newDirectoryStream(folder, COPY_PREFIX + "*")) {
            for (Path leftover : leftovers) {
                if (isOld(leftover)) {
                    deleteIfPossible(leftover);
                }
            }
        }
    }

    /** Anyone may write to a temporary folder, so only what has the owner of {@code own} is entered. */
    private static void sweepTemporary(Path temporary, Path own) {
        try (DirectoryStream<Path> leftovers = Files.newDirectoryStream(temporary, TEMPORARY_PREFIX + "*")) {
            Object owner = Files.getOwner(own, LinkOption.NOFOLLOW_LINKS);
            for (Path leftover : leftovers) {
                if (Files.isDirectory(leftover, LinkOption.NOFOLLOW_LINKS) && isOld(leftover)
                        && owner.equals(Files.getOwner(leftover, LinkOption.NOFOLLOW_LINKS))) {
                    sweep(leftover);
                    deleteIfPossible(leftover);
                }
            }
        } catch (IOException | RuntimeException failed) {
            // Leftovers cost a little disk; that must not keep the library from loading.
        }
    }

    private static boolean isOld(Path file) throws IOException {
        long modified = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).toMillis();
        return modified < System.currentTimeMillis() - LEFTOVER_AGE;
    }

    private static void deleteIfPossible(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException | RuntimeException kept) {
            // Windows keeps a loaded library, and so its folder; a later load sweeps them.
        }
    }
}
