package cd.go.contrib.businesscontinuity;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.CodeSource;
import java.util.Map;
import java.util.Properties;

/**
 * Everything that Rust is told about this JVM, as one text in the form of {@link Properties#store}: all system
 * properties, and
 *
 * <table>
 * <caption>what Java adds</caption>
 * <tr><td>{@code bc.face}</td><td>{@code agent} or {@code plugin}</td></tr>
 * <tr><td>{@code bc.jar}</td><td>the absolute path of our own jar, where it can be told</td></tr>
 * <tr><td>{@code bc.launcher}</td><td>the URL of GoCD's Boot class, whose jar tells GoCD's version</td></tr>
 * <tr><td>{@code bc.env.NAME}</td><td>the environment variables with which GoCD's images take options and plugins</td></tr>
 * </table>
 *
 * <p>The text holds whatever secrets the system properties hold; it goes to the library and nowhere else.
 */
final class SettingsText {
    private SettingsText() {
    }

    /** The text for a node of this face. */
    static String of(String face) {
        Properties settings = new Properties();
        Properties system = System.getProperties();
        for (String name : system.stringPropertyNames()) {
            put(settings, name, system.getProperty(name));
        }
        for (Map.Entry<String, String> variable : System.getenv().entrySet()) {
            String name = variable.getKey();
            if (name.equals("GOCD_SERVER_JVM_OPTIONS") || name.equals("GOCD_SERVER_JVM_OPTS")
                    || name.startsWith("GOCD_PLUGIN_INSTALL_")) {
                put(settings, "bc.env." + name, variable.getValue());
            }
        }
        put(settings, "bc.face", face);
        put(settings, "bc.jar", ownJar());
        put(settings, "bc.launcher", launcher());
        // As bytes, not as characters: only then is everything beyond Latin-1 escaped.
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        try {
            settings.store(text, null);
        } catch (IOException impossible) {
            throw new IllegalStateException("a text in memory could not be written", impossible);
        }
        return text.toString(StandardCharsets.ISO_8859_1);
    }

    private static void put(Properties settings, String name, String value) {
        if (value != null) {
            settings.setProperty(name, value);
        }
    }

    /** With {@code java -jar go.jar} and under the wrapper alike, Boot is on the class path of the system loader. */
    private static String launcher() {
        URL boot = ClassLoader.getSystemClassLoader().getResource("com/thoughtworks/gocd/Boot.class");
        return boot == null ? null : boot.toExternalForm();
    }

    /**
     * As an agent we run from the jar itself. As a plugin we run from the folder that GoCD made of it, which has the
     * jar's name (DefaultPluginJarChangeListener); the jar of that name lies where GoCD looks for user plugins.
     */
    private static String ownJar() {
        CodeSource source = SettingsText.class.getProtectionDomain().getCodeSource();
        if (source == null || source.getLocation() == null) {
            return null;
        }
        String location = source.getLocation().toExternalForm();
        int start = location.indexOf("file:");
        if (start < 0) {
            return null;
        }
        int end = location.indexOf('!', start);
        File origin;
        try {
            origin = new File(new URI(location.substring(start, end < 0 ? location.length() : end)));
        } catch (Exception notAFile) {
            return null;
        }
        File jar = origin.isDirectory() ? new File(Layout.externalPlugins(), origin.getName()) : origin;
        return jar.isFile() ? jar.getAbsolutePath() : null;
    }
}
