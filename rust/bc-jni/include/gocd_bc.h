/* The natives of the plugin jar. Made by `cargo xtask codegen`; do not edit. */

#ifndef GOCD_BC_H
#define GOCD_BC_H

#include <jni.h>

/**
 * The native `open` of Java: opens a node from the text of a `java.util.Properties` and returns its handle.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.open`.
 */
jlong Java_cd_go_contrib_businesscontinuity_Native_open(JNIEnv* env,
                                                        jclass _class,
                                                        jstring settings);

/**
 * The native `nextEvent` of Java: the next event of a node, or null when none came within `ms` milliseconds.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.nextEvent`.
 */
jstring Java_cd_go_contrib_businesscontinuity_Native_nextEvent(JNIEnv* env,
                                                               jclass _class,
                                                               jlong node,
                                                               jlong ms);

/**
 * The native `close` of Java: closes a node; a handle that is not open is left alone.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.close`.
 */
void Java_cd_go_contrib_businesscontinuity_Native_close(JNIEnv* env, jclass _class, jlong node);

#endif  /* GOCD_BC_H */
