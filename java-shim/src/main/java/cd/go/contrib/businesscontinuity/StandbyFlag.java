package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.util.Locale;

/**
 * What asks for a standby, told as the library tells it ({@code Settings::parse} in bc-core): {@code property},
 * {@code file} or {@code none}, the words of the record.
 */
final class StandbyFlag {
    private static final String MODE = "go.server.mode";
    private static final int NEAR = 2;

    private StandbyFlag() {
    }

    /** The flag as it is now. */
    static String present() {
        String overridden = Given.property("bc.flag.overridden");
        if (overridden != null) {
            return overridden.equals("property") ? "property" : "file";
        }
        String mode = Given.property(MODE);
        // GoCD's own two, and what the original set-up page says for the other server; any other mode holds.
        if (mode == null ? isMisspelt() : !mode.matches("(?i:production|development|primary)")) {
            return "property";
        }
        return mayBeThere(file()) ? "file" : "none";
    }

    /** The file whose presence asks for a standby. */
    static File file() {
        return new File(Layout.configFolder(), "start.in.standby");
    }

    /** Whether there is a property whose name is that of the mode but for two letters: it may have been meant. */
    private static boolean isMisspelt() {
        for (String name : System.getProperties().stringPropertyNames()) {
            // A character for each byte, since the library counts bytes.
            String bytes = new String(name.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
            if (!name.equals(MODE) && isNear(bytes.toLowerCase(Locale.ROOT), MODE, NEAR)) {
                return true;
            }
        }
        return false;
    }

    /** Whether no more letters than these have to be changed, added or left out to make one of the other. */
    private static boolean isNear(String one, String other, int letters) {
        if (one.isEmpty() || other.isEmpty()) {
            return one.length() + other.length() <= letters;
        }
        String first = one.substring(1);
        String second = other.substring(1);
        if (one.charAt(0) == other.charAt(0)) {
            return isNear(first, second, letters);
        }
        return letters > 0 && (isNear(first, second, letters - 1) || isNear(first, other, letters - 1)
                || isNear(one, second, letters - 1));
    }

    /**
     * Whether something of this name is there, or may be: whatever cannot be looked at may be there. A name below what
     * is no folder is not.
     */
    static boolean mayBeThere(File file) {
        try {
            if (Files.notExists(file.toPath(), LinkOption.NOFOLLOW_LINKS)) {
                return false;
            }
        } catch (RuntimeException untold) {
            // It may be there.
        }
        File above = file.getParentFile();
        while (above != null && !above.exists()) {
            above = above.getParentFile();
        }
        return above == null || above.isDirectory();
    }
}
