/* The natives of the plugin jar. Made by `cargo xtask codegen`; do not edit. */

#ifndef GOCD_BC_H
#define GOCD_BC_H

#include <jni.h>

/**
 * Opens a node from the text of a `java.util.Properties` and returns its handle.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.open`.
 */
jlong Java_cd_go_contrib_businesscontinuity_Native_open(JNIEnv* env,
                                                        jclass _class,
                                                        jstring settings);

/**
 * The next event of a node, or null when none came within `ms` milliseconds.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.nextEvent`.
 */
jstring Java_cd_go_contrib_businesscontinuity_Native_nextEvent(JNIEnv* env,
                                                               jclass _class,
                                                               jlong node,
                                                               jlong ms);

/**
 * Answers a plugin request: the code, a newline and the body.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.request`.
 */
jstring Java_cd_go_contrib_businesscontinuity_Native_request(JNIEnv* env,
                                                             jclass _class,
                                                             jlong node,
                                                             jstring name,
                                                             jstring body);

/**
 * Closes a node; a handle that is not open is left alone.
 *
 * # Safety
 * Called by the JVM with the arguments of `Native.close`.
 */
void Java_cd_go_contrib_businesscontinuity_Native_close(JNIEnv* env, jclass _class, jlong node);

#endif  /* GOCD_BC_H */
