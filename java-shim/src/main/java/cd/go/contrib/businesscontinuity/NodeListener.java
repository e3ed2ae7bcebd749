package cd.go.contrib.businesscontinuity;

/** What a {@link Node} tells the face that opened it. All calls come from the node's own threads. */
interface NodeListener {
    /** The library wants something: one of the words of {@link Native#nextEvent}, and what belongs to it. */
    void hear(String word, String payload);

    /** The node could not be opened, or could not be asked for events. It is asked again while it is open. */
    void failed(Throwable failure);
}
