package cd.go.contrib.businesscontinuity;

/**
 * How every thread of ours is made: a daemon, since GoCD's main may return without ending the JVM, and with our own
 * class loader as its context loader. That is the system loader in the agent and the bundle's in the plugin; the
 * loader of whichever GoCD thread asked would otherwise be kept alive, or be used by accident.
 */
final class DaemonThread extends Thread {
    /** What threads of ours do. */
    interface Work {
        /** Does what the thread of this name is for. */
        void on(String thread) throws Throwable;
    }

    private final Work work;
    /** What its work threw, once it has ended; null where that was nothing. */
    volatile Throwable failure;

    /** A thread that is yet to be started. */
    DaemonThread(String name, Work work) {
        super(null, null, name, 0, false);
        this.work = work;
        setDaemon(true);
        setContextClassLoader(DaemonThread.class.getClassLoader());
    }

    /** A thread that has been started. */
    static DaemonThread started(String name, Work work) {
        DaemonThread thread = new DaemonThread(name, work);
        thread.start();
        return thread;
    }

    @Override
    public void run() {
        try {
            work.on(getName());
        } catch (Throwable failed) {
            failure = failed;
        }
    }

    /**
     * Waits until the thread has ended, at most {@code milliseconds}. An interrupt does not shorten the wait; it is
     * kept for the caller.
     *
     * @return whether it has ended
     */
    boolean ends(long milliseconds) {
        long deadline = System.nanoTime() + milliseconds * 1_000_000;
        boolean interrupted = false;
        for (long left = milliseconds; isAlive() && left > 0; left = (deadline - System.nanoTime()) / 1_000_000) {
            try {
                join(left);
            } catch (InterruptedException kept) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return !isAlive();
    }
}
