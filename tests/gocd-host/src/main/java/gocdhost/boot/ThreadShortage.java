package gocdhost.boot;

import java.security.Permission;
import java.util.HashMap;
import java.util.Map;

/**
 * A JVM that is short of threads: {@code -Djava.security.manager=gocdhost.boot.ThreadShortage}. Of every thread whose
 * name begins with the system property {@code gocd.host.shortage}, the first three that somebody makes fail as they do
 * when the operating system has no thread left. Everything else is permitted.
 */
@SuppressWarnings({"deprecation", "removal"})
public final class ThreadShortage extends SecurityManager {
    private static final int FAILURES = 3;

    private final Map<String, Integer> failures = new HashMap<>();

    @Override
    public void checkPermission(Permission permission) {
    }

    @Override
    public void checkPermission(Permission permission, Object context) {
    }

    @Override
    public void checkAccess(ThreadGroup group) {
    }

    /** Asked when a new thread is made a daemon. */
    @Override
    public void checkAccess(Thread thread) {
        String prefix = System.getProperty("gocd.host.shortage");
        if (prefix == null || !thread.getName().startsWith(prefix) || thread.getState() != Thread.State.NEW) {
            return;
        }
        synchronized (failures) {
            int failed = failures.merge(thread.getName(), 1, Integer::sum);
            if (failed <= FAILURES) {
                System.err.println("gocd-host: no thread for " + thread.getName());
                throw new OutOfMemoryError("unable to create native thread (provoked)");
            }
        }
    }
}
