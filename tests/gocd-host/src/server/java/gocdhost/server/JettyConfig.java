package gocdhost.server;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

import gocdhost.Environment;
import gocdhost.log.ServerLog;

/** jetty.xml: one without the marker of this server's Jetty is replaced by the packaged one. */
final class JettyConfig {
    private static final ServerLog LOG = new ServerLog(JettyConfig.class);
    /** The marker of GoCD 23.5 and later. */
    private static final String MARKER = "jetty-config-gocd-v10";

    private JettyConfig() {
    }

    static void replaceIfOutdated() throws IOException {
        File file = new File(Environment.configDir(), "jetty.xml");
        String text = new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
        if (text.contains(MARKER) || Environment.keepsFiles()) {
            return;
        }
        LOG.warn("Replacing jetty.xml: it has not the marker " + MARKER);
        try (InputStream packaged = JettyConfig.class.getResourceAsStream("/defaultFiles/config/jetty.xml")) {
            Files.copy(packaged, file.toPath(), StandardCopyOption.REPLACE_EXISTING);
        }
    }
}
