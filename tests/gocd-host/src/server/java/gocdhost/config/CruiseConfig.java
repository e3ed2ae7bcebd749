package gocdhost.config;

import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashSet;
import java.util.Set;

import javax.xml.parsers.DocumentBuilder;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;

import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.xml.sax.ErrorHandler;
import org.xml.sax.InputSource;
import org.xml.sax.SAXException;
import org.xml.sax.SAXParseException;

/**
 * A configuration that the server accepts: well-formed, no DTD, root {@code cruise}, not of a schema version that is newer
 * than the server's, and no two pipeline groups of one name.
 */
public final class CruiseConfig {
    /** The newest schema that GoCD 26.1 knows. */
    private static final int SCHEMA_VERSION = 139;

    private final String text;
    private final String artifactsDir;

    private CruiseConfig(String text, String artifactsDir) {
        this.text = text;
        this.artifactsDir = artifactsDir;
    }

    /** @throws InvalidConfigException says why the server does not accept it */
    public static CruiseConfig parse(String text) throws InvalidConfigException {
        Element root = parsed(text);
        if (!root.getTagName().equals("cruise")) {
            throw new InvalidConfigException("the root element is " + root.getTagName() + ", not cruise");
        }
        String version = root.getAttribute("schemaVersion");
        try {
            if (!version.isEmpty() && Integer.parseInt(version) > SCHEMA_VERSION) {
                throw new InvalidConfigException(
                        "Go config file with version " + version + " is invalid. Unable to upgrade.");
            }
        } catch (NumberFormatException unreadable) {
            throw new InvalidConfigException("schemaVersion is no number: " + version);
        }
        checkGroups(root);
        return new CruiseConfig(normal(text), artifactsDir(root));
    }

    private static String artifactsDir(Element root) {
        Node named = root.getElementsByTagName("artifactsDir").item(0);
        String folder = named == null ? "" : named.getTextContent().trim();
        return folder.isEmpty() ? "artifacts" : folder;
    }

    private static void checkGroups(Element root) throws InvalidConfigException {
        Set<String> names = new HashSet<>();
        for (Node child = root.getFirstChild(); child != null; child = child.getNextSibling()) {
            if (child.getNodeName().equals("pipelines")) {
                String name = ((Element) child).getAttribute("group");
                if (!names.add(name)) {
                    throw new InvalidConfigException("Duplicate unique value [" + name
                            + "] declared for identity constraint of element \"cruise\".");
                }
            }
        }
    }

    /** MD5 of the UTF-8 bytes, as GoCD identifies a configuration. */
    public static String md5(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("MD5").digest(text.getBytes(StandardCharsets.UTF_8));
            StringBuilder hex = new StringBuilder();
            for (byte part : digest) {
                hex.append(String.format("%02x", part));
            }
            return hex.toString();
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java has MD5", impossible);
        }
    }

    /** The form in which the server writes it: line feeds alone, one at the end. Otherwise the text stays as it is. */
    public String text() {
        return text;
    }

    /** Where artifacts are kept, relative to the working directory or absolute. */
    public String artifactsDir() {
        return artifactsDir;
    }

    public String md5() {
        return md5(text);
    }

    private static String normal(String text) {
        String lines = text.replace("\r\n", "\n").replace('\r', '\n');
        return lines.replaceAll("\n+$", "") + "\n";
    }

    private static Element parsed(String text) throws InvalidConfigException {
        try {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            DocumentBuilder builder = factory.newDocumentBuilder();
            builder.setErrorHandler(new Strict());
            return builder.parse(new InputSource(new StringReader(text))).getDocumentElement();
        } catch (SAXParseException malformed) {
            throw new InvalidConfigException(
                    "Error on line " + malformed.getLineNumber() + ": " + malformed.getMessage());
        } catch (SAXException | IOException unreadable) {
            throw new InvalidConfigException(unreadable.getMessage());
        } catch (ParserConfigurationException impossible) {
            throw new IllegalStateException("this Java has no usable XML parser", impossible);
        }
    }

    /** Keeps the parser from printing to standard error. */
    private static final class Strict implements ErrorHandler {
        @Override
        public void warning(SAXParseException warning) {
            // Not a reason to refuse a configuration.
        }

        @Override
        public void error(SAXParseException error) throws SAXException {
            throw error;
        }

        @Override
        public void fatalError(SAXParseException error) throws SAXException {
            throw error;
        }
    }
}
