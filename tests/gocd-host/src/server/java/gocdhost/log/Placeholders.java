package gocdhost.log;

/** Messages with {} where an argument belongs. */
final class Placeholders {
    private static final String PLACE = "{}";

    private Placeholders() {
    }

    /** Places without an argument stay, arguments without a place are left out. */
    static String fill(String message, Object... arguments) {
        StringBuilder filled = new StringBuilder();
        int from = 0;
        for (Object argument : arguments) {
            int place = message.indexOf(PLACE, from);
            if (place < 0) {
                break;
            }
            filled.append(message, from, place).append(argument);
            from = place + PLACE.length();
        }
        return filled.append(message.substring(from)).toString();
    }
}
