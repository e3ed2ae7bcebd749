package gocdhost.api;

import gocdhost.GocdVersion;
import gocdhost.http.HttpRequest;
import gocdhost.server.ServerMode;

/** On a passive server, before 23.1, whatever is not a read is sent away: agents cannot register, nobody can edit. */
final class PassiveFilter {
    private final GocdVersion version;

    PassiveFilter(GocdVersion version) {
        this.version = version;
    }

    boolean refuses(HttpRequest request) {
        return !request.isRead() && !request.path().equals("/go/auth/security_check")
                && !request.path().equals("/go/api/state/active") && ServerMode.isPassive(version);
    }
}
