package com.thoughtworks.go.plugin.activation;

import java.lang.reflect.Modifier;
import java.net.URL;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;

import org.osgi.framework.Bundle;

import com.thoughtworks.go.plugin.api.annotation.Extension;

/**
 * The classes of a bundle that are extensions. With gocd-bundle.xml they are declared; with plugin.xml every class
 * outside lib/ and META-INF/ is loaded, and each one that cannot be loaded is an error, used or not.
 */
final class ExtensionClasses {
    private final Bundle bundle;
    private final List<String> errors;

    ExtensionClasses(Bundle bundle, List<String> errors) {
        this.bundle = bundle;
        this.errors = errors;
    }

    List<Class<?>> find(List<String> declared) {
        return declared.isEmpty() ? annotated() : named(declared);
    }

    private List<Class<?>> named(List<String> declared) {
        List<Class<?>> classes = new ArrayList<>();
        for (String name : declared) {
            try {
                classes.add(Class.forName(name));
            } catch (ClassNotFoundException missing) {
                errors.add("Extension class declared in plugin bundle is not found: " + name);
            }
        }
        return classes;
    }

    private List<Class<?>> annotated() {
        List<Class<?>> classes = new ArrayList<>();
        Enumeration<URL> files = bundle.findEntries("/", "*.class", true);
        for (URL file : files == null ? Collections.<URL>emptyList() : Collections.list(files)) {
            String path = file.getPath();
            if (path.startsWith("/lib/") || path.startsWith("/META-INF/")) {
                continue;
            }
            Class<?> type = load(path.substring(1, path.length() - ".class".length()).replace('/', '.'));
            if (type != null && type.getAnnotation(Extension.class) != null && isUsable(type)) {
                classes.add(type);
            }
        }
        return classes;
    }

    private Class<?> load(String name) {
        try {
            return bundle.loadClass(name);
        } catch (Throwable failed) {
            errors.add(String.format("Class [%s] could not be loaded. Message: [%s].", name, failed.getMessage()));
            return null;
        }
    }

    private boolean isUsable(Class<?> type) {
        String fault = null;
        if (Modifier.isAbstract(type.getModifiers())) {
            fault = "is abstract.";
        } else if (!Modifier.isPublic(type.getModifiers())) {
            fault = "is not public.";
        }
        if (fault != null) {
            errors.add(String.format("Class [%s] is annotated with @Extension but %s", type.getSimpleName(), fault));
            return false;
        }
        if (!hasConstructor(type)) {
            errors.add(String.format("Class [%s] is annotated with @Extension but cannot be constructed. "
                    + "Make sure it and all of its parent classes have a default constructor.", type.getSimpleName()));
            return false;
        }
        return true;
    }

    private static boolean hasConstructor(Class<?> type) {
        try {
            if (!ExtensionInstance.isInner(type)) {
                type.getConstructor();
                return true;
            }
            type.getConstructor(type.getDeclaringClass());
            return hasConstructor(type.getDeclaringClass());
        } catch (NoSuchMethodException missing) {
            return false;
        }
    }
}
