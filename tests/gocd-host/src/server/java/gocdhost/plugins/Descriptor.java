package gocdhost.plugins;

import java.io.IOException;
import java.io.InputStream;
import java.util.jar.JarFile;
import java.util.zip.ZipEntry;
import javax.xml.XMLConstants;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.validation.SchemaFactory;
import org.w3c.dom.Document;
import org.xml.sax.SAXException;

/** plugin.xml, checked against the schema that comes with GoCD's plugin API. */
final class Descriptor {
    private Descriptor() {
    }

    /**
     * The plugin's id.
     *
     * @throws IOException when there is no descriptor or it is not valid; the text is GoCD's
     */
    static String id(JarFile jar) throws IOException {
        ZipEntry entry = jar.getEntry("plugin.xml");
        if (entry == null) {
            throw new IOException("Plugin descriptor not found in " + jar.getName());
        }
        try (InputStream in = jar.getInputStream(entry)) {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setNamespaceAware(true);
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            Document document = factory.newDocumentBuilder().parse(in);
            SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI)
                    .newSchema(Descriptor.class.getResource("/plugin-descriptor.xsd")).newValidator()
                    .validate(new DOMSource(document));
            return document.getDocumentElement().getAttribute("id");
        } catch (SAXException | javax.xml.parsers.ParserConfigurationException invalid) {
            throw new IOException("XML Schema validation of Plugin Descriptor(plugin.xml) failed. Cause: "
                    + invalid.getMessage(), invalid);
        }
    }
}
