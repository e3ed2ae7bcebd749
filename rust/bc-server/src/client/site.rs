//! Asks at the address at which people reach GoCD whether one runs there. Nothing of ours is sent, and no answer is trusted
//! with more than to refuse a promotion.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::Fingerprint,
    keys::Trust,
    role::inquiry::Site,
    settings::{CertificateAuthority, Restriction, Settings, SiteUrl},
};
use tokio::time::timeout;

use super::client;
use crate::tls::client::{TrustSource, Verifier};

/// The longest answer that is read.
const LONGEST: usize = 4 << 10;

/// Asks GoCD's health at `site`, within this time; by `bc.tls.ca`, else by the operating system's authorities, on behalf of
/// a node with this key.
pub(crate) async fn ask(site: &SiteUrl, settings: &Settings, own: Option<Fingerprint>, within: Duration) -> Site {
    match timeout(within, ask_slowly(site, settings, own, within)).await {
        Ok(heard) => heard,
        Err(_) => Site::Not(format!("no answer within {} s", within.as_secs())),
    }
}

async fn ask_slowly(site: &SiteUrl, settings: &Settings, own: Option<Fingerprint>, within: Duration) -> Site {
    let authority = match &settings.tls_ca {
        Restriction::To(authority) => authority.clone(),
        Restriction::Absent | Restriction::Malformed => CertificateAuthority::System,
    };
    let trust: TrustSource = Arc::new(move || Trust::Authority(authority.clone()).into());
    let verifier = Verifier::new(trust, own.unwrap_or_else(|| Fingerprint::of_public_key(b"")));
    let client = match client(&site.to_string(), site.is_secure(), &verifier, within) {
        Ok(client) => client,
        Err(error) => return Site::Not(error.to_string()),
    };
    let mut response = match client.get(site.health()).send().await {
        Ok(response) => response,
        // Whoever has shown a key was there, and it was not accepted.
        Err(_) if verifier.saw_own() => return Site::Not("it leads to this server itself".to_owned()),
        Err(_) if verifier.seen().is_some() => return Site::Unproven("its certificate is not accepted".to_owned()),
        Err(error) => {
            return Site::Not(
                if error.is_timeout() {
                    "no answer"
                } else {
                    "no connection"
                }
                .to_owned(),
            );
        }
    };
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Some(part)) = response.chunk().await {
        body.extend_from_slice(&part);
        if body.len() > LONGEST {
            break;
        }
    }
    let health = serde_json::from_slice::<serde_json::Value>(&body).ok();
    match health.as_ref().and_then(|health| health["health"].as_str()) {
        Some("OK") if status.is_success() => Site::Runs,
        _ => Site::Not(format!("it answers {} and is no GoCD that runs", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use bc_core::basics::Properties;

    use super::*;

    /// A site that answers each connection with this.
    fn answering(answer: &'static str) -> SiteUrl {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let mut request = [0; 1024];
                let _ = connection.read(&mut request);
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        url.parse().expect("an address")
    }

    #[tokio::test]
    async fn only_a_gocd_that_runs_is_one() {
        let settings = Settings::parse(&Properties::from_iter([("user.dir", "/go")]), |_| false).0;
        let ask = |site: SiteUrl| {
            let settings = settings.clone();
            async move { ask(&site, &settings, None, Duration::from_secs(20)).await }
        };
        let runs = answering("HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"health\":\"OK\"}");
        assert_eq!(ask(runs).await, Site::Runs);
        for other in [
            "HTTP/1.1 503 No\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{\"health\":\"STANDBY\"}",
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n{\"health\":\"STANDBY\"}",
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "nonsense",
        ] {
            let heard = ask(answering(other)).await;
            assert!(matches!(heard, Site::Not(_)), "{other}: {heard:?}");
        }
    }
}
