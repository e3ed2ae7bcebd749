package cd.go.contrib.businesscontinuity;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * One native node, from opening to closing, and the threads that this takes.
 *
 * <table>
 * <caption>threads</caption>
 * <tr><td>{@code bc-open}</td><td>loads the library, opens the node, ends</td></tr>
 * <tr><td>{@code bc-events}</td><td>drains the node's events into the listener until the node is closed</td></tr>
 * <tr><td>{@code bc-request}</td><td>asks one request, ends</td></tr>
 * <tr><td>{@code bc-close}</td><td>closes the node, ends</td></tr>
 * <tr><td>{@code bc-shutdown}</td><td>closes the node at the JVM's end, since GoCD does not unload plugins then</td></tr>
 * </table>
 *
 * <p>No thread of GoCD's ever enters the library: a thread that lives on would keep the library mapped after its class
 * loader is gone, through whatever thread-local data Rust left on it.
 */
final class Node {
    private static final long EVENT_WAIT = 1_000;
    private static final long PAUSE_AFTER_FAILURE = 1_000;
    private static final long REQUEST_LIMIT = 30_000;
    private static final long CLOSE_LIMIT = 10_000;

    private final String face;
    private final NodeListener listener;
    private Thread opener;
    private Thread events;
    private Thread hook;
    private long handle;
    private boolean open;
    private Throwable failure;
    private volatile boolean closed;

    /** A node that is yet to be opened, for the face {@code agent} or {@code plugin}. */
    Node(String face, NodeListener listener) {
        this.face = face;
        this.listener = listener;
    }

    /**
     * Begins to open the node. Whether it fails is told to the listener, and to {@link #awaitOpen}. May be called again
     * once it has failed; does nothing while the node is opening, open or closed.
     */
    synchronized void open() {
        if (open || closed || opener != null && opener.isAlive()) {
            return;
        }
        Thread thread = DaemonThread.of("bc-open", new Opener());
        thread.start();
        opener = thread;
    }

    /** Whether the library has opened the node, even if it has been closed since. */
    synchronized boolean hasOpened() {
        return open;
    }

    /**
     * Waits until the node is open and the thread that opened it has ended.
     *
     * @throws Exception what kept it from opening, or that this took too long; it is closed then
     */
    void awaitOpen(long milliseconds) throws Exception {
        boolean ended = DaemonThread.join(opener, milliseconds);
        Throwable reason;
        synchronized (this) {
            reason = failure;
            if (reason == null && open) {
                return;
            }
        }
        close();
        if (reason == null) {
            reason = ended ? new IllegalStateException("Business Continuity was closed while it opened")
                    : new TimeoutException("Business Continuity did not open within "
                            + TimeUnit.MILLISECONDS.toSeconds(milliseconds) + " seconds");
        }
        throw asException(reason);
    }

    /**
     * Asks a request of the node.
     *
     * @throws Exception what the library threw, or that the node is not open, or gave no answer in time
     */
    String request(String name, String body) throws Exception {
        if (!hasOpened() || closed) {
            throw new IllegalStateException("Business Continuity is not open, so it cannot answer " + name);
        }
        Requester requester = new Requester(name, body);
        Thread thread = DaemonThread.of("bc-request", requester);
        thread.start();
        if (!DaemonThread.join(thread, REQUEST_LIMIT)) {
            throw new TimeoutException("Business Continuity gave no answer to " + name + " within "
                    + TimeUnit.MILLISECONDS.toSeconds(REQUEST_LIMIT) + " seconds");
        }
        if (requester.failure != null) {
            throw asException(requester.failure);
        }
        return requester.answer;
    }

    /**
     * Closes the node and waits, for a bounded time, until no thread is in the library any more. Never throws: what
     * goes wrong is logged. A node that is still opening closes as soon as it has opened. Closing twice is no error.
     */
    void close() {
        synchronized (this) {
            boolean again = closed;
            closed = true;
            if (again || !open) {
                return;
            }
        }
        try {
            if (hook != null) {
                Runtime.getRuntime().removeShutdownHook(hook);
            }
        } catch (Throwable kept) {
            // The JVM is ending, most likely, and this may be the very hook. One that stays closes nothing twice.
        }
        try {
            closeOnThread();
            if (events != null) {
                DaemonThread.join(events, 2 * EVENT_WAIT);
            }
        } catch (Throwable failed) {
            closeHere(failed);
        }
    }

    private void closeOnThread() {
        Closer closer = new Closer(handle);
        Thread thread = DaemonThread.of("bc-close", closer);
        thread.start();
        if (!DaemonThread.join(thread, CLOSE_LIMIT)) {
            listener.log("WARN", "the node did not close within " + TimeUnit.MILLISECONDS.toSeconds(CLOSE_LIMIT)
                    + " seconds; its ports may still be in use");
        } else if (closer.failure != null) {
            listener.log("WARN", "closing the node failed: " + closer.failure);
        }
    }

    /**
     * Where no thread can be had. The library stays in memory for as long as this thread lives, and that is better than
     * ports that stay in use, since GoCD does not start then. Closing twice is no error.
     */
    private void closeHere(Throwable reason) {
        try {
            Native.close(handle);
            listener.failed(reason);
        } catch (Throwable failed) {
            // There is nobody left who could do more.
        }
    }

    private void tell(Throwable failed) {
        try {
            listener.failed(failed);
            Thread.sleep(PAUSE_AFTER_FAILURE);
        } catch (Throwable alsoFailed) {
            // Out of memory, most likely. Whoever told is about to try again, and tells again.
        }
    }

    private static Exception asException(Throwable failure) {
        if (failure instanceof Error) {
            throw (Error) failure;
        }
        return (Exception) failure;
    }

    /** Opens the node, or closes it at once when nobody waits for it any more. */
    final class Opener implements Runnable {
        @Override
        public void run() {
            try {
                NativeLibrary.load();
                long opened = Native.open(SettingsText.of(face));
                if (!accept(opened)) {
                    Native.close(opened);
                }
            } catch (Throwable failed) {
                synchronized (Node.this) {
                    failure = failed;
                }
                listener.failed(failed);
            }
        }

        /** Whether somebody still waits for the node. If so it is not left before its events are asked for. */
        private boolean accept(long opened) {
            synchronized (Node.this) {
                if (closed) {
                    return false;
                }
                handle = opened;
                open = true;
            }
            boolean listening = false;
            while (!listening) {
                try {
                    listen();
                    listening = true;
                } catch (Throwable again) {
                    // A node without this thread would hold for ever: nobody would hear its release.
                    tell(again);
                }
            }
            closeWithJvm();
            return true;
        }

        private void listen() {
            synchronized (Node.this) {
                if (!closed) {
                    Thread thread = DaemonThread.of("bc-events", new EventLoop());
                    thread.start();
                    events = thread;
                }
            }
        }

        private void closeWithJvm() {
            try {
                Thread thread = DaemonThread.of("bc-shutdown", new Shutdown());
                synchronized (Node.this) {
                    if (!closed) {
                        Runtime.getRuntime().addShutdownHook(thread);
                        hook = thread;
                    }
                }
            } catch (IllegalStateException ending) {
                // The JVM is ending; the node must be right after a crash as well.
            } catch (Throwable without) {
                listener.log("WARN", "the node will not be closed when the JVM ends, which it outlives as it does a"
                        + " crash: " + without);
            }
        }
    }

    /** Asks for events until the node is closed, whatever happens. */
    final class EventLoop implements Runnable {
        /** Kept until it is handed over: an order must not be lost because there was no memory for that. */
        private String pending;

        @Override
        public void run() {
            while (!closed) {
                try {
                    if (pending == null) {
                        pending = Native.nextEvent(handle, EVENT_WAIT);
                    }
                    if (pending != null) {
                        hand(pending);
                        pending = null;
                    }
                    listener.working();
                } catch (VirtualMachineError again) {
                    tell(again);
                } catch (Throwable failed) {
                    if (!(failed instanceof Error && isOrder(pending))) {
                        pending = null;
                    }
                    tell(failed);
                }
            }
        }

        private void hand(String event) {
            int end = event.indexOf('\n');
            String word = end < 0 ? event : event.substring(0, end);
            String payload = event.substring(end + 1);
            switch (word) {
                case "log":
                    int blank = payload.indexOf(' ');
                    listener.log(payload.substring(0, Math.max(blank, 0)), payload.substring(blank + 1));
                    break;
                case "health":
                    listener.health(payload);
                    break;
                case "hold":
                    listener.hold(payload);
                    break;
                case "release":
                    listener.release(payload);
                    break;
                case "exit":
                    listener.exit(Integer.parseInt(payload.trim()));
                    break;
                default:
                    throw new IllegalStateException("the native library asks for \"" + word
                            + "\", which this jar does not know");
            }
        }

        /** What must not be lost, whatever is in its way: it comes once. */
        private boolean isOrder(String event) {
            return event != null && (event.startsWith("release\n") || event.startsWith("exit\n"));
        }
    }

    /** One request. */
    final class Requester implements Runnable {
        private final String name;
        private final String body;
        private String answer;
        private Throwable failure;

        private Requester(String name, String body) {
            this.name = name;
            this.body = body == null ? "" : body;
        }

        @Override
        public void run() {
            try {
                answer = Native.request(handle, name, body);
            } catch (Throwable failed) {
                failure = failed;
            }
        }
    }

    /** The one call of close; holds on to nothing but the handle. */
    static final class Closer implements Runnable {
        private final long handle;
        private Throwable failure;

        private Closer(long handle) {
            this.handle = handle;
        }

        @Override
        public void run() {
            try {
                Native.close(handle);
            } catch (Throwable failed) {
                failure = failed;
            }
        }
    }

    /** What the JVM runs at its end. */
    final class Shutdown implements Runnable {
        @Override
        public void run() {
            close();
        }
    }
}
