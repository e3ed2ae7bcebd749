package cd.go.contrib.businesscontinuity;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.attribute.BasicFileAttributes;
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
        if (mode == null ? isMisspelt() : !letsRun(mode)) {
            return "property";
        }
        return mayBeThere(file()) ? "file" : "none";
    }

    /** The file whose presence asks for a standby. */
    static File file() {
        return new File(Layout.configFolder(), "start.in.standby");
    }

    /** GoCD's own two, and what the original set-up page says for the other server; any other mode holds. */
    private static boolean letsRun(String mode) {
        String known = mode.toLowerCase(Locale.ROOT);
        return known.equals("production") || known.equals("development") || known.equals("primary");
    }

    /** Whether there is a property whose name is that of the mode but for two letters: it may have been meant. */
    private static boolean isMisspelt() {
        for (String name : System.getProperties().stringPropertyNames()) {
            if (!name.equals(MODE) && isNear(name)) {
                return true;
            }
        }
        return false;
    }

    /** By the bytes that have to be changed, added or left out (Levenshtein), as the library counts them. */
    private static boolean isNear(String name) {
        byte[] one = name.getBytes(StandardCharsets.UTF_8);
        byte[] other = MODE.getBytes(StandardCharsets.UTF_8);
        if (Math.abs(one.length - other.length) > NEAR) {
            return false;
        }
        int[] row = new int[other.length + 1];
        for (int column = 0; column <= other.length; column++) {
            row[column] = column;
        }
        for (int index = 0; index < one.length; index++) {
            int diagonal = row[0];
            row[0] = index + 1;
            for (int column = 0; column < other.length; column++) {
                byte letter = one[index] >= 'A' && one[index] <= 'Z' ? (byte) (one[index] - 'A' + 'a') : one[index];
                int replaced = diagonal + (letter == other[column] ? 0 : 1);
                diagonal = row[column + 1];
                row[column + 1] = Math.min(replaced, Math.min(diagonal, row[column]) + 1);
            }
        }
        return row[other.length] <= NEAR;
    }

    /**
     * Whether something of this name is there, or may be: whatever cannot be looked at may be there. A name below what
     * is no folder is not.
     */
    static boolean mayBeThere(File file) {
        try {
            Files.readAttributes(file.toPath(), BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
            return true;
        } catch (NoSuchFileException nothing) {
            return false;
        } catch (IOException | RuntimeException untold) {
            return !isBelowNoFolder(file);
        }
    }

    private static boolean isBelowNoFolder(File file) {
        for (File above = file.getParentFile(); above != null; above = above.getParentFile()) {
            if (above.exists()) {
                return !above.isDirectory();
            }
        }
        return false;
    }
}
