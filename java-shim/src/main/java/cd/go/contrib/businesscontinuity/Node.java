package cd.go.contrib.businesscontinuity;

import java.util.concurrent.TimeoutException;

/**
 * One native node, from opening to closing, and the threads that this takes.
 *
 * <table>
 * <caption>threads</caption>
 * <tr><td>{@code bc-open}</td><td>loads the library, opens the node, ends</td></tr>
 * <tr><td>{@code bc-events}</td><td>drains the node's events into the listener until the node is closed</td></tr>
 * <tr><td>{@code bc-close}</td><td>closes the node, ends</td></tr>
 * <tr><td>{@code bc-shutdown}</td><td>closes the node at the JVM's end: GoCD does not unload plugins then. Not at an end
 * that the node has ordered: others take its silence for the end of GoCD, and that may take longer</td></tr>
 * </table>
 *
 * <p>No thread of GoCD's ever enters the library: a thread that lives on would keep the library mapped after its class
 * loader is gone, through whatever thread-local data Rust left on it.
 */
final class Node implements DaemonThread.Work {
    private static final long EVENT_WAIT = 1_000;
    private static final long PAUSE_AFTER_FAILURE = 1_000;
    private static final long CLOSE_LIMIT = 10_000;

    private final String face;
    private final NodeListener listener;
    private DaemonThread opener;
    private DaemonThread events;
    private DaemonThread hook;
    private long handle;
    private boolean open;
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
        if (!open && !closed && (opener == null || !opener.isAlive())) {
            opener = DaemonThread.started("bc-open", this);
        }
    }

    /** Whether the library has opened the node, even if it has been closed since. */
    synchronized boolean hasOpened() {
        return open;
    }

    /**
     * Waits until the node is open and the thread that opened it has ended.
     *
     * @throws Throwable what kept it from opening, or that this took too long; it is closed then
     */
    void awaitOpen(long milliseconds) throws Throwable {
        boolean hasEnded = opener.ends(milliseconds);
        if (hasOpened()) {
            return;
        }
        close();
        throw hasEnded && opener.failure != null ? opener.failure
                : new TimeoutException("Business Continuity did not open within " + milliseconds / 1_000 + " seconds");
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
        outliveHooks();
        try {
            DaemonThread closer = DaemonThread.started("bc-close", this);
            if (!closer.ends(CLOSE_LIMIT)) {
                warn("the node did not close within " + CLOSE_LIMIT / 1_000
                        + " seconds; its ports may still be in use");
            } else if (closer.failure != null) {
                warn("closing the node failed: " + closer.failure);
            }
            if (events != null) {
                events.ends(2 * EVENT_WAIT);
            }
        } catch (Throwable failed) {
            closeHere(failed);
        }
    }

    @Override
    public void on(String thread) throws Throwable {
        switch (thread) {
            case "bc-open":
                try {
                    openNow();
                } catch (Throwable failed) {
                    listener.failed(failed);
                    throw failed;
                }
                break;
            case "bc-events":
                drain();
                break;
            case "bc-close":
                Native.close(handle);
                break;
            default:
                close();
        }
    }

    /** Opens the node, or closes it at once when nobody waits for it any more. */
    private void openNow() throws Exception {
        NativeLibrary.load();
        long opened = Native.open(SettingsText.of(face));
        boolean isWanted;
        synchronized (this) {
            handle = opened;
            isWanted = !closed;
            open = isWanted;
        }
        if (!isWanted) {
            Native.close(opened);
            return;
        }
        boolean isListening = false;
        while (!isListening) {
            try {
                listen();
                isListening = true;
            } catch (Throwable again) {
                // A node without this thread would hold for ever: nobody would hear its release.
                tell(again);
            }
        }
        closeWithJvm();
    }

    private synchronized void listen() {
        if (!closed) {
            events = DaemonThread.started("bc-events", this);
        }
    }

    private void closeWithJvm() {
        try {
            DaemonThread thread = new DaemonThread("bc-shutdown", this);
            synchronized (this) {
                if (!closed) {
                    Runtime.getRuntime().addShutdownHook(thread);
                    hook = thread;
                }
            }
        } catch (IllegalStateException ending) {
            // The JVM is ending; the node must be right after a crash as well.
        } catch (Throwable without) {
            warn("the node will not be closed when the JVM ends, which it outlives as it does a crash: " + without);
        }
    }

    /** Leaves the node open at the JVM's end, until its process is gone. */
    private synchronized void outliveHooks() {
        try {
            if (hook != null) {
                Runtime.getRuntime().removeShutdownHook(hook);
            }
        } catch (Throwable kept) {
            // The JVM is ending, most likely, and this may be the very hook. One that stays closes nothing twice.
        }
    }

    /** Asks for events until the node is closed, whatever happens. */
    private void drain() {
        // Kept until it is handed over: an order must not be lost because there was no memory for that.
        String pending = null;
        while (!closed) {
            try {
                if (pending == null) {
                    pending = Native.nextEvent(handle, EVENT_WAIT);
                }
                if (pending != null) {
                    if (pending.startsWith("exit\n")) {
                        outliveHooks();
                    }
                    int end = pending.indexOf('\n');
                    listener.hear(pending.substring(0, end), pending.substring(end + 1));
                    pending = null;
                }
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

    /** What must not be lost, whatever is in its way: it comes once. */
    private static boolean isOrder(String event) {
        return event != null && (event.startsWith("release\n") || event.startsWith("exit\n"));
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

    private void warn(String message) {
        listener.hear("log", "WARN " + message);
    }

    private void tell(Throwable failed) {
        try {
            listener.failed(failed);
            Thread.sleep(PAUSE_AFTER_FAILURE);
        } catch (Throwable alsoFailed) {
            // Out of memory, most likely. Whoever told is about to try again, and tells again.
        }
    }
}
