package gocdhost.server;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Optional;

import gocdhost.Folders;

/** The artifacts of earlier runs, in the folder that the configuration named when the server started. */
public final class Artifacts {
    private volatile File folder;

    /** Takes the folder, once; an edit of the configuration changes nothing. */
    void take(String named) throws IOException {
        File taken = new File(named).getAbsoluteFile();
        Folders.create(taken);
        folder = taken;
    }

    /** The content of one of them; nothing if it is not there. */
    public Optional<byte[]> read(String name) throws IOException {
        File file = new File(folder, name);
        boolean isInFolder = file.getCanonicalFile().toPath().startsWith(folder.getCanonicalFile().toPath());
        return isInFolder && file.isFile() ? Optional.of(Files.readAllBytes(file.toPath())) : Optional.empty();
    }
}
