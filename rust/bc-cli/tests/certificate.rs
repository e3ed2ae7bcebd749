//! A certificate of the administrator's own, replaced under whole nodes that an authority stands between.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use bc_core::basics::Fingerprint;
use pair::{
    Foreground, comment, folders, listening, primary_with, standby, status, wait_for, wait_until_in_sync,
    wait_until_on_standby,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData};
use support::{NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The authority that the standby relies on.
struct Authority(Issuer<'static, KeyPair>);

/// A certificate for the primary's address, and its key.
struct Issued {
    certificate: String,
    key: KeyPair,
}

impl Authority {
    /// Makes it, with its certificate in `ca.pem`.
    fn new(place: &Place) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut own = CertificateParams::new(Vec::new()).expect("parameters");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).expect("certificate");
        place.file("ca.pem", &certificate.pem(), NOBODY);
        Self(Issuer::new(own, key))
    }

    fn issue(&self) -> Issued {
        let key = KeyPair::generate().expect("key");
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .expect("parameters")
            .signed_by(&key, &self.0)
            .expect("certificate")
            .pem();
        Issued { certificate, key }
    }
}

impl Issued {
    fn write_certificate(&self, place: &Place) {
        place.file("node.pem", &self.certificate, NOBODY);
    }

    fn write_key(&self, place: &Place) {
        place.file("node.key", &self.key.serialize_pem(), NOBODY);
    }

    /// As the status shows it.
    fn fingerprint(&self) -> String {
        Fingerprint::of_public_key(&self.key.subject_public_key_info()).to_string()
    }
}

/// A setting that names a file of the place.
fn names(place: &Place, property: &str, file: &str) -> String {
    format!("{property}={}", place.path(file).display())
}

/// What the primary says about its certificate, with how bad it is.
fn problem(place: &Place) -> Option<(String, String)> {
    let status = status(place, "primary");
    let problems = status["problems"].as_array()?;
    let found = problems.iter().find(|problem| problem["topic"] == "certificate")?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some((text("severity"), text("message")))
}

fn wait_until_shown(place: &Place, issued: &Issued) {
    wait_for("the primary shows the certificate", || {
        (status(place, "primary")["fingerprint"] == issued.fingerprint().as_str()).then_some(())
    });
}

/// A standby that the authority vouches for the primary to.
fn following(place: &Place, url: &str) -> Foreground {
    standby(place, url, &["--property", &names(place, "bc.tls.ca", "ca.pem")])
}

/// Ends the standby and starts it anew: its first connection shows it the primary's key.
fn reconnect(place: &Place, former: Foreground, url: &str, expected: &Issued) -> Foreground {
    drop(former);
    let again = following(place, url);
    wait_for("a new connection sees the certificate", || {
        (status(place, "standby")["primary"]["seen_fingerprint"] == expected.fingerprint().as_str()).then_some(())
    });
    wait_until_in_sync(place);
    again
}

#[test]
fn a_standby_goes_on_over_another_certificate_and_over_one_without_its_key() {
    let place = Place::new();
    folders(&place);
    let authority = Authority::new(&place);
    let [first, second, third] = [authority.issue(), authority.issue(), authority.issue()];
    first.write_certificate(&place);
    first.write_key(&place);
    let settings = [
        names(&place, "bc.tls.certificate", "node.pem"),
        names(&place, "bc.tls.private.key", "node.key"),
    ];
    let settings = ["--property", &settings[0], "--property", &settings[1]];
    let primary = primary_with(&place, "127.0.0.1:0", &settings);
    let url = format!("https://{}", listening(&place));
    let standby = following(&place, &url);
    wait_until_in_sync(&place);
    wait_until_shown(&place, &first);

    second.write_certificate(&place);
    second.write_key(&place);
    wait_until_shown(&place, &second);
    wait_until_on_standby(&place, &comment(&place, "after the change"));
    let standby = reconnect(&place, standby, &url, &second);

    third.write_certificate(&place);
    let (severity, message) = wait_for("the half of a pair is refused", || problem(&place));
    assert_eq!(severity, "WARNING");
    assert!(
        message.contains("node.pem") && message.contains("node.key"),
        "{message}"
    );
    wait_until_on_standby(&place, &comment(&place, "beside half of a pair"));
    let standby = reconnect(&place, standby, &url, &second);

    third.write_key(&place);
    wait_until_shown(&place, &third);
    wait_for("nothing is wrong any more", || problem(&place).is_none().then_some(()));
    let _standby = reconnect(&place, standby, &url, &third);
    wait_until_on_standby(&place, &comment(&place, "under the third"));

    let (_, log) = primary.end();
    let warned = |line: &&str| line.contains(" WARN ") && line.contains("node.key");
    assert_eq!(log.lines().filter(warned).count(), 1, "{log}");
}
