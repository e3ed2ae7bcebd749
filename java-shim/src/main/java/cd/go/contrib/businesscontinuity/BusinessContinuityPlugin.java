package cd.go.contrib.businesscontinuity;

import java.util.Collections;

import com.thoughtworks.go.plugin.api.GoApplicationAccessor;
import com.thoughtworks.go.plugin.api.GoPlugin;
import com.thoughtworks.go.plugin.api.GoPluginIdentifier;
import com.thoughtworks.go.plugin.api.annotation.Extension;
import com.thoughtworks.go.plugin.api.annotation.Load;
import com.thoughtworks.go.plugin.api.annotation.UnLoad;
import com.thoughtworks.go.plugin.api.exceptions.UnhandledRequestTypeException;
import com.thoughtworks.go.plugin.api.info.PluginContext;
import com.thoughtworks.go.plugin.api.request.GoPluginApiRequest;
import com.thoughtworks.go.plugin.api.response.DefaultGoPluginApiResponse;
import com.thoughtworks.go.plugin.api.response.GoPluginApiResponse;

/**
 * The plugin, as GoCD sees it: a notification plugin that asks for no notifications, the least intrusive kind there is.
 * It opens a node when it is loaded and closes it when it is unloaded.
 */
@Extension
public class BusinessContinuityPlugin implements GoPlugin {
    private static final long OPEN_LIMIT = 30_000;
    private static final String SETTINGS = "{\"nothing\":{\"display-name\":\"Nothing to set here\","
            + "\"default-value\":\"\",\"required\":false,\"secure\":false,\"display-order\":\"0\"}}";
    private static final String VIEW = "{\"template\":\"<p>There is nothing to set here. GoCD Business Continuity is set"
            + " up by <code>gocd-bc setup</code> and by system properties of this server's JVM.</p>\"}";

    private final GoPluginIdentifier identifier =
            new GoPluginIdentifier("notification", Collections.singletonList("4.0"));
    private final PluginEvents events = new PluginEvents(identifier);
    private final Node node = new Node("plugin", events);

    /**
     * Opens the node. GoCD loads plugins one after another, so the wait is bounded.
     *
     * @throws Throwable what kept the node from opening; GoCD shows it on its plugin page
     */
    @Load
    public void load(PluginContext context) throws Throwable {
        node.open();
        node.awaitOpen(OPEN_LIMIT);
    }

    /** Closes the node. GoCD does not call this when the server stops; the node has a shutdown hook for that. */
    @UnLoad
    public void unload(PluginContext context) {
        node.close();
    }

    /** Only stores the accessor: GoCD calls this under a lock that all plugins share (DefaultPluginManager). */
    @Override
    public void initializeGoApplicationAccessor(GoApplicationAccessor accessor) {
        events.postTo(accessor);
    }

    /**
     * Answers what GoCD asks such a plugin, always the same. Of notifications the map must be there, the list may be
     * empty; GoCD then never sends anything (NotificationPluginRegistrar). Of settings there are none, but a plugin
     * that says so leaves errors in GoCD's log, and an empty form is one too (PluginSettingsMetadataLoader): so it has a
     * form with a field that nobody reads, and a page that says where the settings are.
     */
    @Override
    public GoPluginApiResponse handle(GoPluginApiRequest request) throws UnhandledRequestTypeException {
        switch (request.requestName()) {
            case "notifications-interested-in":
                return DefaultGoPluginApiResponse.success("{\"notifications\":[]}");
            case "go.plugin-settings.get-configuration":
                return DefaultGoPluginApiResponse.success(SETTINGS);
            case "go.plugin-settings.get-view":
                return DefaultGoPluginApiResponse.success(VIEW);
            case "go.plugin-settings.validate-configuration":
                return DefaultGoPluginApiResponse.success("[]");
            case "go.plugin-settings.plugin-settings-changed":
                return DefaultGoPluginApiResponse.success("{}");
            default:
                throw new UnhandledRequestTypeException(request.requestName());
        }
    }

    @Override
    public GoPluginIdentifier pluginIdentifier() {
        return identifier;
    }
}
