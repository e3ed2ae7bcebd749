package gocdhost.http;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

import gocdhost.log.ServerLog;

/**
 * A small HTTP server: one request per connection. It is our own because com.sun.net.httpserver is in a module that
 * some Java runtimes leave out. Its accepting thread is no daemon: it is what keeps the JVM up, as Jetty's threads do.
 */
public final class HttpServer {
    private static final ServerLog LOG = new ServerLog(HttpServer.class);
    private static final int BACKLOG = 128;

    private final ServerSocket listener = new ServerSocket();
    private final HttpHandler handler;
    private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "gocd-host-http");
        thread.setDaemon(true);
        return thread;
    });

    /**
     * Opens the port.
     *
     * @param host null for all addresses
     * @throws IOException another program has the port
     */
    public HttpServer(String host, int port, HttpHandler handler) throws IOException {
        this.handler = handler;
        listener.setReuseAddress(true);
        listener.bind(host == null ? new InetSocketAddress(port)
                : new InetSocketAddress(InetAddress.getByName(host), port), BACKLOG);
    }

    /** Answers from now on, until the JVM ends. */
    public void start() {
        new Thread(this::accept, "gocd-host-accept").start();
    }

    private void accept() {
        while (true) {
            try {
                Socket socket = listener.accept();
                threads.execute(() -> new HttpExchange(socket, handler).run());
            } catch (IOException failed) {
                LOG.warn("a connection could not be accepted", failed);
            }
        }
    }
}
