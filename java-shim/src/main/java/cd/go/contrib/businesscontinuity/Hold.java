package cd.go.contrib.businesscontinuity;

import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;

/**
 * The wait of a node before GoCD runs. Rust decides; Java waits for its release.
 *
 * <p>Silence is no decision. Rust says {@code hold} when it holds, and says it again every few seconds; once Java has
 * heard anything of Rust, only a release of Rust's ends the wait, whatever flag and record look like here. Where a hold
 * is no longer renewed, this node stays held and says so every minute.
 *
 * <p>Where Java has never heard anything (the library does not load, a native throws or hangs, no decision comes), it
 * goes by flag and record, as far as they can be read. A node that they hold fails closed: it waits for ever, repeats
 * the reason every minute, and tries again to open the node. It never ends the JVM, since a wrapper would start it
 * again. Any other node fails open: a hang of ours must not keep a primary down.
 *
 * <table>
 * <caption>without the library</caption>
 * <tr><th>record</th><th>flag now</th><th></th></tr>
 * <tr><td>none</td><td>none</td><td>released</td></tr>
 * <tr><td>none</td><td>any</td><td>held</td></tr>
 * <tr><td>primary</td><td>the recorded one</td><td>released: it was promoted under this flag</td></tr>
 * <tr><td>primary</td><td>none, where one is recorded</td><td>released: nothing asks for a standby any more</td></tr>
 * <tr><td>primary</td><td>another than the recorded one</td><td>held: a flag that appeared is an order</td></tr>
 * <tr><td>standby</td><td>any, or none</td><td>held: of a flag that is gone the library asks the primary, and nobody
 *     else can</td></tr>
 * <tr><td>fenced</td><td>any, or none</td><td>held: another node has taken over</td></tr>
 * <tr><td>cannot be read or understood</td><td>any, or none</td><td>held</td></tr>
 * </table>
 *
 * <p>A flag that cannot be looked at counts as one that is there. The same table, with what the library itself does, is
 * {@code tests/fixtures/hold/starts.txt}; both languages are tested with it. What was read when the JVM started and held
 * then never fails open later, since the record changes in the middle of a promotion; a node that was a primary then is
 * held nevertheless if the record says by now that it must be.
 *
 * <p>Memory may run out at any point. What a standby needs to stay held is therefore made in the constructor, and
 * every step of the wait may fail and is then tried again.
 */
final class Hold implements NodeListener {
    private static final long SECOND = 1_000_000_000L;
    private static final long OPEN_LIMIT = 10 * SECOND;
    private static final long PAUSE_BETWEEN_OPENS = 30 * SECOND;
    private static final long REMINDER = 60 * SECOND;
    /** Many times as long as Rust takes to renew a hold. */
    private static final long RENEWAL_LIMIT = 60 * SECOND;
    private static final long DECISION_GRACE = 30 * SECOND;
    private static final long GUARD_WAIT_MILLISECONDS = 60_000;

    private final LastKnownRole roleAtStart;
    private final Node node;
    private final long decisionLimit;
    private final byte[] staysHeldByRecord;
    private final byte[] staysHeldByRust;

    private boolean mustHold;
    private boolean heard;
    private boolean heldByRust;
    private long heldByRustAt;
    private boolean begun;
    private boolean tried;
    private boolean releasing;
    private boolean over;
    private long begunAt;
    private long triedAt;
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
        String staysHeld = "GoCD Business Continuity: ERROR GoCD stays held: something failed, and ";
        staysHeldByRecord = (staysHeld + "this node is " + role + ".\n").getBytes(StandardCharsets.UTF_8);
        staysHeldByRust = (staysHeld + "nobody but the native library, which has spoken, may let GoCD run.\n")
                .getBytes(StandardCharsets.UTF_8);
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
        hear();
        StandardError.say(level + " " + message);
    }

    /** GoCD is not there yet to be told; the plugin's own node tells it later. */
    @Override
    public void health(String messages) {
        hear();
    }

    @Override
    public synchronized void hold(String reason) {
        heard = true;
        heldByRust = true;
        heldByRustAt = System.nanoTime();
    }

    @Override
    public synchronized void release(String properties) {
        ordered = properties;
        notifyAll();
    }

    /** Ending the JVM is for running primaries: a wrapper would start this one again and again. */
    @Override
    public void exit(int code) {
        hear();
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

    private synchronized void hear() {
        heard = true;
    }

    /** Opens the node, and again after a while where that failed: what is held by record alone nobody could promote. */
    private void begin() {
        synchronized (this) {
            if (!begun) {
                begun = true;
                begunAt = System.nanoTime();
            }
            if (releasing || node.hasOpened() || tried && System.nanoTime() - triedAt < PAUSE_BETWEEN_OPENS) {
                return;
            }
            failure = null;
        }
        node.open();
        synchronized (this) {
            tried = true;
            triedAt = System.nanoTime();
        }
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
        long now = System.nanoTime();
        String trouble = trouble(now);
        if (trouble == null) {
            return null;
        }
        if (heard || mustHold()) {
            remind(now, trouble);
            return null;
        }
        // A node that has opened is given its whole time: what fails once may work the next time.
        if (node.hasOpened() && now - begunAt < decisionLimit) {
            return null;
        }
        releasing = true;
        StandardError.say("ERROR " + trouble + ". This node is " + roleAtStart
                + ", so GoCD starts now, without the guard against a second active server.");
        return roleAtStart.propertiesForRelease();
    }

    /** What keeps Rust from being heard, or null while there is nothing to complain of. */
    private String trouble(long now) {
        if (failure != null) {
            return failure instanceof Exception && failure.getMessage() != null ? failure.getMessage()
                    : failure.toString();
        }
        if (!node.hasOpened()) {
            return now - begunAt < OPEN_LIMIT ? null
                    : "the node did not open within " + OPEN_LIMIT / SECOND + " seconds";
        }
        if (heldByRust) {
            return now - heldByRustAt < RENEWAL_LIMIT ? null : "the native library holds GoCD, but has not said so again"
                    + " for " + (now - heldByRustAt) / SECOND + " seconds";
        }
        return now - begunAt < decisionLimit ? null
                : "no decision came within " + decisionLimit / SECOND + " seconds";
    }

    private boolean mustHold() {
        if (!mustHold) {
            try {
                mustHold = LastKnownRole.read().holds();
            } catch (Throwable untold) {
                // It is read again in a second.
                return true;
            }
        }
        return mustHold;
    }

    private void remind(long now, String trouble) {
        if (reminded && now - remindedAt < REMINDER) {
            return;
        }
        reminded = true;
        remindedAt = now;
        StandardError.sayPrepared(mustHold ? staysHeldByRecord : staysHeldByRust);
        StandardError.say("ERROR " + trouble + ". Remove the cause and restart this server.");
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
            String property = Given.property("bc.guard.wait");
            long given = property == null ? 0 : Long.parseLong(property);
            milliseconds = given > 0 ? Math.min(given, 24 * 60 * GUARD_WAIT_MILLISECONDS) : milliseconds;
        } catch (NumberFormatException defaultIsUsed) {
            // The node reports the mistake with all others.
        }
        return milliseconds * 1_000_000;
    }
}
