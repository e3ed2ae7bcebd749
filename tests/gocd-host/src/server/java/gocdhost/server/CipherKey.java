package gocdhost.server;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.SecureRandom;

import gocdhost.Environment;

/** cipher.aes: 16 random bytes as hexadecimal digits, without a line end; made when it is missing. */
final class CipherKey {
    private static final int BYTES = 16;

    private CipherKey() {
    }

    static void createIfMissing() throws IOException {
        File file = new File(Environment.configDir(), "cipher.aes");
        if (file.exists()) {
            return;
        }
        byte[] key = new byte[BYTES];
        new SecureRandom().nextBytes(key);
        StringBuilder hex = new StringBuilder();
        for (byte part : key) {
            hex.append(String.format("%02x", part));
        }
        Files.write(file.toPath(), hex.toString().getBytes(StandardCharsets.US_ASCII));
    }
}
