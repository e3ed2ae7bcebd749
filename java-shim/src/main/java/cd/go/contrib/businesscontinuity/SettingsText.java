package cd.go.contrib.businesscontinuity;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Properties;

/**
 * Everything that Rust is told about this JVM, as one text in the form of {@link Properties#store}: all system
 * properties, and
 *
 * <table>
 * <caption>what Java adds</caption>
 * <tr><td>{@code bc.face}</td><td>{@code agent} or {@code plugin}</td></tr>
 * <tr><td>{@code bc.launcher}</td><td>the URL of GoCD's Boot class, whose jar tells GoCD's version</td></tr>
 * <tr><td>{@code bc.env.NAME}</td><td>the environment variable that people set and no GoCD reads</td></tr>
 * </table>
 *
 * <p>The text holds whatever secrets the system properties hold; it goes to the library and nowhere else.
 */
final class SettingsText {
    private static final String UNREAD = "GOCD_SERVER_JVM_OPTIONS";

    private SettingsText() {
    }

    /** The text for a node of this face. */
    static String of(String face) throws IOException {
        Properties settings = new Properties();
        for (String name : System.getProperties().stringPropertyNames()) {
            put(settings, name, System.getProperty(name));
        }
        put(settings, "bc.env." + UNREAD, System.getenv(UNREAD));
        put(settings, "bc.face", face);
        // With java -jar go.jar and under the wrapper alike, Boot is on the class path of the system loader.
        URL boot = ClassLoader.getSystemClassLoader().getResource("com/thoughtworks/gocd/Boot.class");
        put(settings, "bc.launcher", boot == null ? null : boot.toExternalForm());
        // As bytes, not as characters: only then is everything beyond Latin-1 escaped.
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        settings.store(text, null);
        return text.toString(StandardCharsets.ISO_8859_1);
    }

    private static void put(Properties settings, String name, String value) {
        if (value != null) {
            settings.setProperty(name, value);
        }
    }
}
