package gocdhost.log;

/** How loud a line is. */
enum Level {
    DEBUG, INFO, WARN, ERROR
}
