package gocdhost;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.StringReader;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Collections;
import javax.xml.parsers.DocumentBuilder;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;

/**
 * cruise-config.xml as GoCD keeps it: rewritten in place, each accepted text also in the repository's plain copy, hand
 * edits taken up by polling.
 */
final class ConfigFile {
    private static final String DEFAULT = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<cruise schemaVersion=\"139\"/>\n";

    private final File file = Settings.configFile();
    private final File accepted = Settings.accepted();
    private String inMemory;

    /** GoCD creates a missing file, and wants an existing one readable and writable. */
    void validate() throws IOException {
        if (!file.exists()) {
            file.getAbsoluteFile().getParentFile().mkdirs();
            Files.write(file.toPath(), DEFAULT.getBytes(StandardCharsets.UTF_8));
        }
        if (!file.canRead() || !file.canWrite()) {
            throw new IOException(file + " file is not readable or not writeable.");
        }
    }

    /** A broken file is replaced by the repository's copy; without one the server does not start. */
    synchronized void load(HealthMessages health) throws IOException {
        String text = read(file);
        String mistake = mistake(text);
        if (mistake != null) {
            if (!accepted.exists()) {
                throw new IOException("cruise-config.xml is invalid and there is no config.git: " + mistake);
            }
            Files.write(new File(file.getPath() + ".invalid." + System.currentTimeMillis()).toPath(),
                    text.getBytes(StandardCharsets.UTF_8));
            health.replace("Invalid Configuration", Collections.singletonList(mistake));
            text = read(accepted);
            write(text);
        }
        inMemory = text;
        accept(text);
    }

    /**
     * Saves as GoCD does, in either of its two orders.
     *
     * @return null, or why the text is not a configuration
     */
    synchronized String save(String text, boolean commitFirst) throws IOException {
        String mistake = mistake(text);
        if (mistake != null) {
            return mistake;
        }
        if (commitFirst) {
            accept(text);
            write(text);
        } else {
            write(text);
            accept(text);
        }
        inMemory = text;
        return null;
    }

    synchronized String inMemory() {
        return inMemory;
    }

    void startPolling(HealthMessages health) {
        Thread poller = new Thread(() -> poll(health), "cruise-config-poller");
        poller.setDaemon(true);
        poller.start();
    }

    private void poll(HealthMessages health) {
        while (true) {
            try {
                Thread.sleep(Settings.configRefresh());
                synchronized (this) {
                    takeUp(read(file), health);
                }
            } catch (InterruptedException ending) {
                return;
            } catch (IOException unreadable) {
                health.replace("Invalid Configuration", Collections.singletonList(unreadable.toString()));
            }
        }
    }

    /** A valid edit is accepted and written again in normalised form; an invalid one leaves the last good in memory. */
    private void takeUp(String text, HealthMessages health) throws IOException {
        if (text.equals(inMemory)) {
            return;
        }
        String mistake = mistake(text);
        if (mistake != null) {
            health.replace("Invalid Configuration", Collections.singletonList(mistake));
            return;
        }
        health.replace("Invalid Configuration", Collections.emptyList());
        String normalised = text.replace("\r\n", "\n");
        accept(normalised);
        write(normalised);
        inMemory = normalised;
    }

    private void accept(String text) throws IOException {
        accepted.getParentFile().mkdirs();
        Files.write(accepted.toPath(), text.getBytes(StandardCharsets.UTF_8));
    }

    /** GoConfigFileWriter: the file itself, locked, truncated, written. No temporary file, no rename. */
    private void write(String text) throws IOException {
        try (RandomAccessFile target = new RandomAccessFile(file, "rw"); FileLock lock = target.getChannel().lock()) {
            target.setLength(0);
            target.write(text.getBytes(StandardCharsets.UTF_8));
        }
    }

    private static String read(File file) throws IOException {
        return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    }

    /** Well-formed, root cruise, no DTD (SafeSaxBuilder); GoCD's own rules are not imitated. */
    private static String mistake(String text) {
        try {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            DocumentBuilder builder = factory.newDocumentBuilder();
            builder.setErrorHandler(null);
            Document document = builder.parse(new InputSource(new StringReader(text)));
            String root = document.getDocumentElement().getTagName();
            return root.equals("cruise") ? null : "the root element is " + root + ", not cruise";
        } catch (Exception malformed) {
            return String.valueOf(malformed.getMessage());
        }
    }
}
