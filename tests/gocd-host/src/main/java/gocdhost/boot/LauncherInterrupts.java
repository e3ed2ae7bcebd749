package gocdhost.boot;

/**
 * Interrupts the launching thread every 100 ms for as long as the launcher has not started, if the system property
 * {@code gocd.host.interrupt} is {@code true}. With it, tests prove that nobody who waits on that thread gives up.
 */
public final class LauncherInterrupts {
    private static final long PERIOD = 100;
    private static final Object LOCK = new Object();
    private static boolean ended;

    private LauncherInterrupts() {
    }

    /** Begins, on a daemon thread, if the property asks for it. */
    public static void beginIfAsked(Thread launching) {
        if (!Boolean.getBoolean("gocd.host.interrupt")) {
            return;
        }
        Thread interrupter = new Thread(() -> interruptUntilEnd(launching), "gocd-host-interrupts");
        interrupter.setDaemon(true);
        interrupter.start();
    }

    /** Ends. No interrupt comes after the return, and the one that the calling thread may have pending is cleared. */
    public static void end() {
        synchronized (LOCK) {
            ended = true;
        }
        Thread.interrupted();
    }

    private static void interruptUntilEnd(Thread launching) {
        while (true) {
            synchronized (LOCK) {
                if (ended) {
                    return;
                }
                launching.interrupt();
            }
            try {
                Thread.sleep(PERIOD);
            } catch (InterruptedException stopped) {
                return;
            }
        }
    }
}
