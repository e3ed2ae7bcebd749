//! Which protocol somebody speaks, by the first bytes that came: on our ports, and from a port that we took for the
//! primary's.

use std::fmt;

/// How many bytes are enough to tell it.
pub(crate) const ENOUGH: usize = 16;

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// TLS, or what begins like it.
    Tls,
    /// SSL of an age before TLS.
    OldTls,
    /// The header of the PROXY protocol, of this version.
    ProxyHeader(u8),
    /// A request in plain HTTP.
    HttpRequest,
    /// An answer in plain HTTP.
    HttpAnswer,
    /// HTTP/2 without TLS, which gRPC speaks too.
    Http2,
    /// SSH.
    Ssh,
    /// A mail server, or the like.
    Mail,
    /// Something else.
    Other,
}

impl Speech {
    /// Tells a protocol by the first bytes that came. Fewer than [`ENOUGH`] may be too few to tell.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        const METHODS: [&[u8]; 9] = [
            b"GET ",
            b"POST ",
            b"HEAD ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"PATCH ",
            b"TRACE ",
            b"CONNECT ",
        ];
        let begins = |with: &[u8]| bytes.starts_with(with);
        match bytes {
            [0x16, 0x03, ..] | [0x16] | [0x15, 0x03, ..] => Speech::Tls,
            // Two bytes of length, and a ClientHello of SSL 2.
            [first, _, 0x01, 0x00 | 0x03, ..] if first & 0x80 != 0 => Speech::OldTls,
            // A frame of settings on stream 0: whoever speaks HTTP/2 begins with that.
            [0, 0, _, 4, _, 0, 0, 0, 0, ..] => Speech::Http2,
            _ if begins(b"PRI * HTTP/2") => Speech::Http2,
            _ if begins(b"PROXY ") => Speech::ProxyHeader(1),
            _ if begins(b"\r\n\r\n\0\r\nQUIT\n") => Speech::ProxyHeader(2),
            _ if begins(b"HTTP/1.") => Speech::HttpAnswer,
            _ if METHODS.iter().any(|method| begins(method)) => Speech::HttpRequest,
            _ if begins(b"SSH-") => Speech::Ssh,
            _ if begins(b"220 ") || begins(b"220-") || begins(b"* OK") || begins(b"+OK") => Speech::Mail,
            _ => Speech::Other,
        }
    }
}

/// As administrators call it.
impl fmt::Display for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speech::Tls => f.write_str("TLS"),
            Speech::OldTls => f.write_str("SSL 2 or 3, which nobody should speak any more"),
            Speech::ProxyHeader(version) => write!(f, "a PROXY protocol header (version {version})"),
            Speech::HttpRequest | Speech::HttpAnswer => f.write_str("plain HTTP"),
            Speech::Http2 => f.write_str("HTTP/2 without TLS, as gRPC does"),
            Speech::Ssh => f.write_str("SSH"),
            Speech::Mail => f.write_str("the protocol of a mail or FTP server"),
            Speech::Other => f.write_str("something that is neither TLS nor HTTP"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_by_how_they_begin() {
        for (bytes, speech) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Speech::Tls),
            (b"\x15\x03\x03\x00\x02\x02\x28", Speech::Tls),
            (b"\x80\x2e\x01\x00\x02", Speech::OldTls),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", Speech::ProxyHeader(1)),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Speech::ProxyHeader(2)),
            (b"GET / HTTP/1.1\r\n", Speech::HttpRequest),
            (b"CONNECT a:1 HTTP/1.1", Speech::HttpRequest),
            (b"HTTP/1.1 400 Bad Request", Speech::HttpAnswer),
            (b"PRI * HTTP/2.0\r\n\r\nSM", Speech::Http2),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Speech::Http2),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Speech::Ssh),
            (b"220 mail.example.com ESMTP", Speech::Mail),
            (b"GETAWAY", Speech::Other),
            (b"\r\n\r\n", Speech::Other),
            (b"\xff", Speech::Other),
            (b"", Speech::Other),
        ] {
            assert_eq!(Speech::of(bytes), speech, "{bytes:?}");
        }
    }
}
