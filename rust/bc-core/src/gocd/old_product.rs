//! Whether GoCD gives its secrets to anybody on its own port, as 20.6 to 21.2 do (CVE-2021-43287): by what it answers, not
//! by its version.
//!
//! Those releases answer for the original product whoever asks, with `cipher.aes` too. What is asked here is no secret, and
//! is answered by the same class of theirs. Releases from 21.3 on answer 404, those from 23.1 on lead to the login.

/// Asked below the context of GoCD's pages.
const PATH: &str = "/add-on/business-continuity/api/health-check";
/// The whole of their answer.
const SAYS: &str = "OK!";

/// The request to a GoCD whose pages are below `context`: as anybody could ask it, and by HTTP/1.0, so that nothing comes in
/// chunks.
pub fn question(context: &str) -> String {
    format!("GET {context}{PATH} HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
}

/// Whether GoCD gives its secrets away, by the first bytes of its answer to [`question`]. None where it does not say: it is
/// no HTTP, was cut off, or GoCD has no time for anybody, as while it makes a backup.
pub fn gives_secrets_away(answer: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut first = head.lines().next()?.split(' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    match (first.next()?.as_bytes(), body) {
        (b"200", SAYS) => Some(true),
        (b"200", cut) if SAYS.starts_with(cut) => None,
        ([b'2'..=b'4', _, _], _) => Some(false),
        _ => None,
    }
}

/// What is CRITICAL about a GoCD that does, whose pages are at `place`, and the way out.
pub fn message(place: &str) -> String {
    format!(
        "GoCD gives cipher.aes, its configuration and any file that it can read to whoever asks for them below \
         {place}/add-on/business-continuity/api without a login (CVE-2021-43287; this node asked as anybody could). Install \
         GoCD 21.3 or later on both servers. Until then close /go/add-on/ in the proxy before it, and GoCD's own port to \
         everybody but that proxy."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_of_the_original_product_says_that_secrets_are_given_away() {
        for (answer, gives) in [
            ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nOK!", Some(true)),
            ("HTTP/1.0 200 OK\r\n\r\nOK!", Some(true)),
            ("HTTP/1.1 200 OK\r\n\r\n<html>OK!</html>", Some(false)),
            ("HTTP/1.1 302 Found\r\nLocation: /go/auth/login\r\n\r\nOK!", Some(false)),
            ("HTTP/1.1 401 Unauthorized\r\n\r\nbad credentials!", Some(false)),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Some(false)),
            // It starts, makes a backup, or is held.
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nOK!", None),
            ("HTTP/1.1 200 OK\r\n\r\nO", None),
            ("HTTP/1.1 200 OK\r\nContent-Le", None),
            ("HTTP/1.1\r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n200 OK!", None),
            ("OK!", None),
            ("", None),
        ] {
            assert_eq!(gives_secrets_away(answer.as_bytes()), gives, "{answer}");
        }
        assert_eq!(gives_secrets_away(b"\xff\xfe\r\n\r\n"), None);
        let huge = format!("HTTP/1.1 200 OK\r\n\r\nOK!{}", "x".repeat(4000));
        assert_eq!(gives_secrets_away(huge.as_bytes()), Some(false));
    }

    #[test]
    fn it_is_asked_as_anybody_could_and_the_way_out_is_named() {
        let asked = question("/go");
        assert!(
            asked.starts_with("GET /go/add-on/business-continuity/api/health-check HTTP/1.0\r\n"),
            "{asked}"
        );
        assert!(
            !asked.contains("Authorization") && asked.ends_with("\r\n\r\n"),
            "{asked}"
        );
        let said = message("http://127.0.0.1:8153/go");
        assert!(
            said.contains("http://127.0.0.1:8153/go/add-on/") && said.contains("21.3") && said.contains("proxy"),
            "{said}"
        );
    }
}
