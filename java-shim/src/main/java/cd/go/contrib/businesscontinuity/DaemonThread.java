package cd.go.contrib.businesscontinuity;

/**
 * How every thread of ours is made: a daemon, since GoCD's main may return without ending the JVM, and with our own
 * class loader as its context loader. That is the system loader in the agent and the bundle's in the plugin; the
 * loader of whichever GoCD thread asked would otherwise be kept alive, or be used by accident.
 */
final class DaemonThread {
    private DaemonThread() {
    }

    /** A thread that is yet to be started. */
    static Thread of(String name, Runnable work) {
        Thread thread = new Thread(null, work, name, 0, false);
        thread.setDaemon(true);
        thread.setContextClassLoader(DaemonThread.class.getClassLoader());
        return thread;
    }

    /**
     * Waits until the thread has ended, at most {@code milliseconds}. An interrupt does not shorten the wait; it is
     * kept for the caller.
     *
     * @return whether it has ended
     */
    static boolean join(Thread thread, long milliseconds) {
        long deadline = System.nanoTime() + milliseconds * 1_000_000;
        boolean interrupted = false;
        while (thread.isAlive()) {
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                break;
            }
            try {
                thread.join(left);
            } catch (InterruptedException kept) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return !thread.isAlive();
    }
}
