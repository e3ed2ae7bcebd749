package gocdhost;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/** Folders that come and go as a whole. */
public final class Folders {
    private Folders() {
    }

    /** Creates it and what is above it. Does nothing if it is there. */
    public static void create(File folder) throws IOException {
        Files.createDirectories(folder.toPath());
    }

    /** Removes it and all in it. Does nothing if it is not there. */
    public static void delete(File folder) throws IOException {
        if (!Files.exists(folder.toPath())) {
            return;
        }
        try (Stream<Path> paths = Files.walk(folder.toPath())) {
            paths.sorted(Comparator.reverseOrder()).forEach(path -> {
                try {
                    Files.delete(path);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            });
        } catch (UncheckedIOException failed) {
            throw failed.getCause();
        }
    }

    /** Empties it, and creates it if it is not there. */
    public static void renew(File folder) throws IOException {
        delete(folder);
        create(folder);
    }
}
