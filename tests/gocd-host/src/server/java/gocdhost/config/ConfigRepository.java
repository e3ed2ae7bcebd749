package gocdhost.config;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Optional;

import gocdhost.Folders;

/**
 * The working copy of db/config.git: the plain file cruise-config.xml with the last configuration that was accepted.
 * There is no git behind it; nobody but GoCD reads that.
 */
final class ConfigRepository {
    private final File folder;

    ConfigRepository(File folder) {
        this.folder = folder;
    }

    /** What was checked in last, if anything was. */
    Optional<String> read() throws IOException {
        File file = file();
        if (!file.exists()) {
            return Optional.empty();
        }
        return Optional.of(new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8));
    }

    void checkIn(String text) throws IOException {
        Folders.create(folder);
        Files.write(file().toPath(), text.getBytes(StandardCharsets.UTF_8));
    }

    private File file() {
        return new File(folder, "cruise-config.xml");
    }
}
