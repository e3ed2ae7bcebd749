package gocdhost.plugin.descriptor;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

import javax.xml.XMLConstants;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamException;
import javax.xml.transform.TransformerException;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMResult;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stax.StAXSource;
import javax.xml.validation.Schema;
import javax.xml.validation.SchemaFactory;

import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.xml.sax.SAXException;

import com.thoughtworks.go.plugin.api.GoPluginApiMarker;

/** A kind of descriptor, with the schema for it in GoCD's plugin API. */
final class DescriptorXml {
    private final String name;
    private final Schema schema;

    /** The name is the one in messages. */
    DescriptorXml(String name, String schemaResource) {
        this.name = name;
        try {
            SchemaFactory factory = SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI);
            schema = factory.newSchema(GoPluginApiMarker.class.getResource(schemaResource));
        } catch (SAXException broken) {
            throw new IllegalStateException("the plugin API has no usable " + schemaResource, broken);
        }
    }

    /** The root element. Document types are not looked at. */
    Element parse(byte[] text) throws InvalidDescriptorException {
        XMLInputFactory readers = XMLInputFactory.newInstance();
        readers.setProperty(XMLInputFactory.SUPPORT_DTD, false);
        DOMResult tree = new DOMResult();
        try {
            TransformerFactory.newInstance().newTransformer()
                    .transform(new StAXSource(readers.createXMLStreamReader(new ByteArrayInputStream(text))), tree);
            schema.newValidator().validate(new DOMSource(tree.getNode()));
        } catch (XMLStreamException | TransformerException | SAXException | IOException wrong) {
            throw new InvalidDescriptorException("XML Schema validation of Plugin Descriptor(" + name
                    + ") failed. Cause: " + wrong.getMessage(), wrong);
        }
        return ((Document) tree.getNode()).getDocumentElement();
    }

    static List<Element> children(Element parent, String name) {
        List<Element> children = new ArrayList<>();
        for (Node child = parent.getFirstChild(); child != null; child = child.getNextSibling()) {
            if (child instanceof Element && name.equals(child.getLocalName())) {
                children.add((Element) child);
            }
        }
        return children;
    }

    /** The text of a child; null where there is none. */
    static String text(Element parent, String name) {
        List<Element> children = children(parent, name);
        return children.isEmpty() ? null : children.get(0).getTextContent().trim();
    }
}
