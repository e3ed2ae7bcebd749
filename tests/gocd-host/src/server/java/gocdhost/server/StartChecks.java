package gocdhost.server;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

import gocdhost.Environment;
import gocdhost.Folders;

/** The checks before the start. All of them run, and any error ends the start without an exception or an exit code. */
final class StartChecks {
    private final List<String> errors = new ArrayList<>();

    /** The errors; none if the server may start. */
    List<String> run() {
        checkPort();
        checkConfigFile(Environment.configFile(), "cruise-config.xml");
        checkConfigFile(new File(Environment.configDir(), "jetty.xml"), "jetty.xml");
        renewWorkFolder();
        return errors;
    }

    /** Whoever answers on loopback has the port, whatever the address that this server would listen on. */
    @SuppressWarnings("try")
    private void checkPort() {
        int port = Environment.port();
        try (Socket answered = new Socket(InetAddress.getLoopbackAddress(), port)) {
            errors.add("Port " + port + " could not be opened. Please Check if it is available");
        } catch (IOException free) {
            // Nobody answers: as it should be.
        }
    }

    private void checkConfigFile(File file, String resource) {
        if (file.exists()) {
            if (!file.canRead() || !file.canWrite()) {
                errors.add("File " + file.getAbsolutePath() + " is not readable or writeable.");
            }
            return;
        }
        try (InputStream packaged = StartChecks.class.getResourceAsStream("/defaultFiles/config/" + resource)) {
            Folders.create(file.getAbsoluteFile().getParentFile());
            String text = new String(packaged.readAllBytes(), StandardCharsets.UTF_8);
            try (OutputStream out = new FileOutputStream(file)) {
                out.write(text.replace("@serverId@", UUID.randomUUID().toString()).getBytes(StandardCharsets.UTF_8));
            }
        } catch (IOException failed) {
            errors.add("Error trying to validate file " + resource + ": " + failed);
        }
    }

    private void renewWorkFolder() {
        try {
            Folders.renew(new File("work"));
            Files.createDirectories(new File("work/jetty").toPath());
        } catch (IOException failed) {
            errors.add("Error trying to renew the folder work: " + failed);
        }
    }
}
