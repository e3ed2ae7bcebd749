package gocdhost.config;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Collections;
import java.util.Optional;

import gocdhost.Environment;
import gocdhost.health.HealthMessage;
import gocdhost.health.HealthMessages;
import gocdhost.log.ServerLog;

/**
 * The configuration of the server: loaded at the start, and taken up from disk after an edit by hand. What is accepted is
 * in three places: in memory, in the live file and in db/config.git.
 */
public final class ConfigService {
    private static final ServerLog LOG = new ServerLog(ConfigService.class);
    private static final DateTimeFormatter BACKUP_TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd-HH-mm-ss");
    private static final String INVALID = "Invalid Configuration";
    private static final String INVALID_ON_DISK = "configuration on disk";
    private static final String INVALID_AT_START = "configuration at start";

    private final ConfigFile file;
    private final ConfigRepository repository;
    private final HealthMessages health;
    private CruiseConfig current;

    public ConfigService(File file, File repository, HealthMessages health) {
        this.file = new ConfigFile(file);
        this.repository = new ConfigRepository(repository);
        this.health = health;
    }

    /**
     * Loads it at the start. A file that is not accepted is kept beside, and the one in db/config.git takes its place.
     *
     * @throws InvalidConfigException neither is accepted, or there is no db/config.git
     */
    public synchronized void load() throws IOException, InvalidConfigException {
        try {
            accept(CruiseConfig.parse(file.read()), "start");
        } catch (InvalidConfigException broken) {
            LOG.warn("Error upgrading config file, trying to upgrade using the versioned config file.");
            Optional<String> accepted = repository.read();
            if (!accepted.isPresent()) {
                LOG.warn("There is no versioned configuration to fallback for migration.");
                LOG.error("Cruise config file " + file.path() + " is invalid.", broken);
                throw broken;
            }
            String checkedIn = accepted.get();
            File backup = new File(file.path() + ".invalid." + LocalDateTime.now().format(BACKUP_TIME));
            Files.copy(file.path().toPath(), backup.toPath(), StandardCopyOption.REPLACE_EXISTING);
            CruiseConfig restored = CruiseConfig.parse(checkedIn);
            accept(restored, "start");
            String detail = "Go encountered an invalid configuration file while starting up. It has been renamed to "
                    + backup.getAbsolutePath() + " and replaced by the last good configuration. Cause: "
                    + broken.getMessage();
            LOG.warn(detail);
            health.replace(INVALID_AT_START, Collections.singletonList(HealthMessage.warning(INVALID, detail)));
        }
    }

    /** Where artifacts are kept, as it is now: the server asks once, at its start. */
    public synchronized String artifactsDir() {
        return current.artifactsDir();
    }

    /** Takes up an edit by hand. One that is not accepted leaves the last good configuration in memory. */
    public synchronized void takeUpFromDisk() {
        try {
            String text = file.read();
            if (!CruiseConfig.md5(text).equals(current.md5())) {
                CruiseConfig config = CruiseConfig.parse(text);
                // An edit that came meanwhile is not written over; the next look takes it up.
                if (!file.read().equals(text)) {
                    return;
                }
                accept(config, "disk");
            }
            health.replace(INVALID_ON_DISK, Collections.emptyList());
        } catch (InvalidConfigException | IOException notAccepted) {
            LOG.warn("Error loading cruise-config.xml from disk, keeping previous one", notAccepted);
            health.replace(INVALID_ON_DISK,
                    Collections.singletonList(HealthMessage.error(INVALID, notAccepted.getMessage())));
        }
    }

    /**
     * Checks it in and writes the live file in its normal form, even where the form is the same; neither where all files
     * are to stay as they are.
     */
    private void accept(CruiseConfig config, String source) throws IOException {
        if (!Environment.keepsFiles()) {
            repository.checkIn(config.text());
            file.rewrite(config.text());
        }
        remember(config, source);
    }

    private void remember(CruiseConfig config, String source) {
        current = config;
        health.replace(INVALID_AT_START, Collections.emptyList());
        health.replace(INVALID_ON_DISK, Collections.emptyList());
        LOG.info("configuration " + config.md5() + " is accepted (" + source + ")");
    }
}
