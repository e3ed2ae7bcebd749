package gocdhost.http;

/** Answers requests, several at once. */
public interface HttpHandler {
    /** @throws Exception becomes an answer of status 500 that names it */
    HttpResponse handle(HttpRequest request) throws Exception;
}
