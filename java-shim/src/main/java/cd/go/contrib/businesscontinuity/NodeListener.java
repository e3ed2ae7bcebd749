package cd.go.contrib.businesscontinuity;

/** What a {@link Node} asks of the face that opened it. All calls come from the node's own threads. */
interface NodeListener {
    /** A line for the log; the level is ERROR, WARN, INFO or DEBUG. */
    void log(String level, String message);

    /** All health messages of this node, in the place of all earlier ones: a body for GoCD. */
    void health(String messages);

    /** GoCD must wait, for this reason. Comes again every few seconds for as long as the node holds. */
    void hold(String reason);

    /** GoCD may go on, with these system properties. */
    void release(String properties);

    /** The JVM is to end with this code. */
    void exit(int code);

    /** The node could not be opened, or could not be asked for events. It is asked again while it is open. */
    void failed(Throwable failure);

    /** The node has just been asked for events and answered. Comes about once a second and after every event. */
    void working();
}
