package gocdhost.plugin.descriptor;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One plugin: what its descriptor says, and whether it is valid. */
public final class PluginDescriptor {
    private final String id;
    private final About about;
    private final List<String> extensionClasses;
    private volatile List<String> messages = Collections.emptyList();
    private volatile boolean invalid;
    private volatile boolean loaded;
    private BundleDescriptor bundle;

    PluginDescriptor(String id, About about, List<String> extensionClasses) {
        this.id = id;
        this.about = about;
        this.extensionClasses = extensionClasses;
    }

    public String id() {
        return id;
    }

    /** Null where the descriptor has no such part. */
    public About about() {
        return about;
    }

    /** The classes that gocd-bundle.xml declares; none with plugin.xml. */
    public List<String> extensionClasses() {
        return extensionClasses;
    }

    public BundleDescriptor bundle() {
        return bundle;
    }

    public boolean isInvalid() {
        return invalid;
    }

    /** Whether all of its loading is done and went well. */
    public boolean isActive() {
        return loaded && !invalid;
    }

    /** Invalid, loading or active. */
    public String state() {
        if (invalid) {
            return "invalid";
        }
        return loaded ? "active" : "loading";
    }

    /** Why it is invalid. */
    public List<String> messages() {
        return messages;
    }

    /** All of its loading is done. */
    public void markLoaded() {
        loaded = true;
    }

    void belongsTo(BundleDescriptor owner) {
        bundle = owner;
    }

    /** The reasons take the place of earlier ones. */
    void invalidate(List<String> reasons) {
        messages = new ArrayList<>(reasons);
        invalid = true;
    }
}
