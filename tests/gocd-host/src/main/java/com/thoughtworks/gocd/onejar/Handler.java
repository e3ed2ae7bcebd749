package com.thoughtworks.gocd.onejar;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLConnection;
import java.net.URLStreamHandler;

/**
 * The protocol {@code onejar:}, for the jars inside go.jar. Java finds this class by its name: a package registered
 * in {@code java.protocol.handler.pkgs}, the protocol, and {@code Handler}.
 */
public final class Handler extends URLStreamHandler {
    private static final String PROTOCOL = "onejar";
    private static final String REGISTRY = "java.protocol.handler.pkgs";

    /** Makes the protocol known to this JVM. */
    public static void register() {
        String known = System.getProperty(REGISTRY, "");
        System.setProperty(REGISTRY, known.isEmpty() ? "com.thoughtworks.gocd" : "com.thoughtworks.gocd|" + known);
    }

    /** The address of an entry of go.jar. */
    public static URL url(String entry) throws MalformedURLException {
        return new URL(PROTOCOL, null, -1, entry);
    }

    @Override
    protected URLConnection openConnection(URL url) {
        return new EntryConnection(url);
    }

    private static final class EntryConnection extends URLConnection {
        EntryConnection(URL url) {
            super(url);
            setUseCaches(false);
        }

        @Override
        public void connect() {
            // The entry is read when the stream is asked for.
        }

        @Override
        public InputStream getInputStream() throws IOException {
            InputStream entry = Handler.class.getResourceAsStream("/" + getURL().getFile());
            if (entry == null) {
                throw new FileNotFoundException(getURL() + " is not in go.jar");
            }
            return entry;
        }
    }
}
