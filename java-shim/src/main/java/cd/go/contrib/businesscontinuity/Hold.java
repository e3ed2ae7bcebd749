package cd.go.contrib.businesscontinuity;

import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;

/**
 * The wait of a node before GoCD runs. Rust decides; Java waits for its release.
 *
 * <p>When Rust cannot be heard (the library does not load, a native throws or hangs, no decision comes), a standby or
 * fenced node fails closed: it waits for ever and repeats the reason every minute. It never ends the JVM, since a
 * wrapper would start it again. A primary fails open: a hang of ours must not keep it down. Which of the two a node is
 * was read when the JVM started, and a node that held then never fails open later, since the record changes in the
 * middle of a promotion. A node that was a primary then is held nevertheless if the record says by now that it must be.
 *
 * <p>Memory may run out at any point. What a standby needs to stay held is therefore made in the constructor, and
 * every step of the wait may fail and is then tried again.
 */
final class Hold implements NodeListener {
    private static final long SECOND = 1_000_000_000L;
    private static final long OPEN_LIMIT = 10 * SECOND;
    private static final long REMINDER = 60 * SECOND;
    private static final long DECISION_GRACE = 30 * SECOND;
    private static final long GUARD_WAIT_MILLISECONDS = 60_000;

    private final LastKnownRole roleAtStart;
    private final Node node;
    private final long decisionLimit;
    private final byte[] staysHeld;

    private boolean mustHold;
    private boolean begun;
    private boolean releasing;
    private boolean over;
    private long begunAt;
    private boolean reminded;
    private long remindedAt;
    private Throwable failure;
    private String ordered;

    /** A hold that is yet to begin. */
    Hold(LastKnownRole role) {
        roleAtStart = role;
        mustHold = role.holds();
        node = new Node("agent", this);
        decisionLimit = guardWait() + DECISION_GRACE;
        staysHeld = ("GoCD Business Continuity: ERROR GoCD stays held: something failed, and this node is " + role
                + ".\n").getBytes(StandardCharsets.UTF_8);
    }

    /**
     * Opens the node and returns once GoCD may run. Never throws; an interrupt does not end the wait and is kept for
     * the caller. Several threads may wait at once.
     */
    void untilReleased() {
        boolean interrupted = false;
        boolean released = false;
        while (!released) {
            try {
                begin();
                released = proceed();
            } catch (InterruptedException kept) {
                interrupted = true;
            } catch (Throwable failed) {
                failed(failed);
                LockSupport.parkNanos(SECOND);
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void log(String level, String message) {
        StandardError.say(level + " " + message);
    }

    /** GoCD is not there yet to be told; the plugin's own node tells it later. */
    @Override
    public void health(String messages) {
    }

    @Override
    public synchronized void release(String properties) {
        ordered = properties;
        notifyAll();
    }

    /** Ending the JVM is for running primaries: a wrapper would start this one again and again. */
    @Override
    public void exit(int code) {
        StandardError.say("WARN the native library asked for exit code " + code + "; a held node never exits");
    }

    @Override
    public synchronized void failed(Throwable reason) {
        failure = reason;
        notifyAll();
    }

    @Override
    public synchronized void working() {
        failure = null;
    }

    private void begin() {
        synchronized (this) {
            if (begun) {
                return;
            }
            begun = true;
            begunAt = System.nanoTime();
        }
        node.open();
    }

    /** One step of the wait, about a second long. Returns whether GoCD may go on. */
    private boolean proceed() throws InterruptedException {
        String properties = decide();
        if (properties != null) {
            letGo(properties);
        }
        synchronized (this) {
            if (!over && (ordered == null || releasing)) {
                wait(1_000);
            }
            return over;
        }
    }

    /** The system properties to release with, or null while this node stays held. */
    private synchronized String decide() {
        if (releasing) {
            return null;
        }
        if (ordered != null) {
            releasing = true;
            return ordered;
        }
        long waited = System.nanoTime() - begunAt;
        boolean silent = failure != null || !node.hasOpened() && waited >= OPEN_LIMIT;
        if (!silent && waited < decisionLimit) {
            return null;
        }
        if (mustHold()) {
            if (silent) {
                remind();
            }
            return null;
        }
        releasing = true;
        StandardError.say("ERROR " + reason() + ". This node is " + roleAtStart
                + ", so GoCD starts now, without the guard against a second active server.");
        return roleAtStart.propertiesForRelease();
    }

    /** Why Rust is not waited for. */
    private String reason() {
        if (failure != null) {
            return failure instanceof Exception && failure.getMessage() != null ? failure.getMessage()
                    : failure.toString();
        }
        if (!node.hasOpened()) {
            return "the node did not open within " + OPEN_LIMIT / SECOND + " seconds";
        }
        return "no decision came within " + decisionLimit / SECOND + " seconds";
    }

    private boolean mustHold() {
        if (!mustHold) {
            try {
                mustHold = LastKnownRole.read().holds();
            } catch (Throwable unknown) {
                return false;
            }
        }
        return mustHold;
    }

    private void remind() {
        long now = System.nanoTime();
        if (reminded && now - remindedAt < REMINDER) {
            return;
        }
        reminded = true;
        remindedAt = now;
        StandardError.sayPrepared(staysHeld);
        StandardError.say("ERROR " + reason() + ". Remove the cause and restart this server.");
    }

    /** Closes our node first, so that GoCD finds its port free and the plugin finds the state folder unlocked. */
    private void letGo(String properties) {
        try {
            node.close();
            Properties given = new Properties();
            given.load(new StringReader(properties));
            for (String name : given.stringPropertyNames()) {
                System.setProperty(name, given.getProperty(name));
            }
        } catch (Throwable failed) {
            StandardError.say("ERROR the release was not complete, GoCD starts nevertheless: " + failed);
        } finally {
            synchronized (this) {
                over = true;
                notifyAll();
            }
        }
    }

    private static long guardWait() {
        long milliseconds = GUARD_WAIT_MILLISECONDS;
        try {
            long given = Long.parseLong(System.getProperty("bc.guard.wait", "").trim());
            milliseconds = given > 0 ? Math.min(given, 24 * 60 * GUARD_WAIT_MILLISECONDS) : milliseconds;
        } catch (NumberFormatException defaultIsUsed) {
            // The node reports the mistake with all others.
        }
        return milliseconds * 1_000_000;
    }
}
