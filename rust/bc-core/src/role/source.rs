//! Which primary a standby follows or asks, and how that one's key is proven.

use crate::{
    basics::Fingerprint,
    settings::{CertificateAuthority, Flag, Mistake, PrimaryUrl, Restriction, Settings},
};

/// The settings that say which primary is followed and how it is proven.
const OF_THE_PRIMARY: [&str; 3] = ["bc.primary.url", "bc.primary.fingerprint", "bc.tls.ca"];

/// A primary, and how its key is proven where the settings say so. Else the peers file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is, as the administrator wrote it.
    pub url: PrimaryUrl,
    /// `bc.primary.fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// `bc.tls.ca`.
    pub authority: Option<CertificateAuthority>,
}

impl Source {
    /// The source, which is the primary that these settings name. None where they name none, or say wrongly how it is
    /// proven: what is known of a former one is worth more then.
    pub fn of(settings: &Settings) -> Option<Self> {
        Some(Self {
            url: settings.primary_url.clone()?,
            fingerprint: given(settings.primary_fingerprint.clone())?,
            authority: given(settings.tls_ca.clone())?,
        })
    }

    /// Makes this source the primary of the settings, proven as it was.
    pub fn prove_by(&self, settings: &mut Settings) {
        settings.primary_url = Some(self.url.clone());
        settings.primary_fingerprint = self.fingerprint.map_or(Restriction::Absent, Restriction::To);
        settings.tls_ca = self.authority.clone().map_or(Restriction::Absent, Restriction::To);
    }

    /// Makes this source, which a standby followed, the primary of `settings` where no flag is left and they name none:
    /// whoever replaced the JVM's options took that away as well. A setting that is wrong is not completed, and what is
    /// left there of how a key is proven counts.
    pub fn complete(&self, settings: &mut Settings, mistakes: &[Mistake]) {
        let is_wrong = mistakes
            .iter()
            .any(|mistake| OF_THE_PRIMARY.contains(&&*mistake.property));
        if settings.flag == Flag::None && settings.primary_url.is_none() && !is_wrong {
            let (pin, authority) = (settings.primary_fingerprint.clone(), settings.tls_ca.clone());
            self.prove_by(settings);
            if pin.is_set() || authority.is_set() {
                (settings.primary_fingerprint, settings.tls_ca) = (pin, authority);
            }
        }
    }

    /// Whom a standby asks whose flag is gone: the primary that it `followed`, and the one that the settings name now
    /// where that is another; each with the settings by which it is proven.
    pub fn asked(settings: &Settings, followed: Option<&Self>) -> Vec<(Self, Settings)> {
        let mut asked = Vec::new();
        if let Some(source) = followed {
            let mut of_record = settings.clone();
            source.prove_by(&mut of_record);
            asked.push((source.clone(), of_record));
        }
        if let Some(source) = Self::of(settings)
            && followed != Some(&source)
        {
            asked.push((source, settings.clone()));
        }
        asked
    }
}

/// What a setting of the source was given; none where it is malformed.
fn given<T>(restriction: Restriction<T>) -> Option<Option<T>> {
    match restriction {
        Restriction::Absent => Some(None),
        Restriction::To(value) => Some(Some(value)),
        Restriction::Malformed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basics::Properties, generation::Role, role::Recorded};

    fn source(url: &str) -> Source {
        Source {
            url: url.parse().expect("an address"),
            fingerprint: None,
            authority: None,
        }
    }

    fn parsed(pairs: &[(&str, &str)]) -> (Settings, Vec<Mistake>) {
        Settings::parse(&Properties::from_iter(pairs.iter().copied()), |_| false)
    }

    #[test]
    fn a_primary_is_noted_as_it_is_proven_and_not_at_all_where_that_is_wrong() {
        let settings = |pairs: &[(&str, &str)]| {
            let all = [("go.server.mode", "standby"), ("bc.primary.url", "https://primarygo")];
            let all = all.iter().chain(pairs).copied();
            Settings::parse(&Properties::from_iter(all), |_| false).0
        };
        let key = Fingerprint::of_public_key(b"key");
        let pinned = settings(&[("bc.primary.fingerprint", &key.to_string()), ("bc.tls.ca", "system")]);
        let noted = Source::of(&pinned).expect("named");
        assert_eq!(
            (&noted.fingerprint, &noted.authority),
            (&Some(key), &Some(CertificateAuthority::System))
        );
        assert_eq!(Source::of(&settings(&[("bc.primary.fingerprint", "ab")])), None);
        let mut bare = settings(&[]);
        noted.prove_by(&mut bare);
        assert_eq!(bare.primary_fingerprint, Restriction::To(key));
        assert_eq!(Source::of(&bare), Some(noted));
        source("https://other").prove_by(&mut bare);
        assert_eq!(
            bare.primary_fingerprint,
            Restriction::Absent,
            "of the other one nothing is pinned"
        );
    }

    #[test]
    fn the_primary_of_the_record_completes_settings_that_lost_theirs() {
        let key = Fingerprint::of_public_key(b"key");
        let recorded = |role| Recorded {
            source: Some(Source {
                fingerprint: Some(key),
                ..source("https://primarygo")
            }),
            ..Recorded::new(role, Flag::Property, 1)
        };
        let completed = |pairs: &[(&str, &str)], recorded: Option<&Recorded>| {
            let (mut settings, mistakes) = parsed(pairs);
            if let Some(recorded) = recorded {
                recorded.complete(&mut settings, &mistakes);
            }
            (
                settings.primary_url.map(|url| url.written()),
                settings.primary_fingerprint,
            )
        };
        let standby = recorded(Role::Standby);
        let (url, pin) = completed(&[], Some(&standby));
        assert_eq!((url, pin), (Some("https://primarygo".to_owned()), Restriction::To(key)));
        assert_eq!(completed(&[], None).0, None);
        assert_eq!(completed(&[], Some(&recorded(Role::Primary))).0, None);
        let other = Fingerprint::of_public_key(b"other");
        let (url, pin) = completed(&[("bc.primary.fingerprint", &other.to_string())], Some(&standby));
        assert!(
            url.is_some() && pin == Restriction::To(other),
            "what is pinned still counts"
        );
        for wrong in ["bc.primary.url", "bc.primary.fingerprint"] {
            assert_eq!(completed(&[(wrong, "::")], Some(&standby)).0, None, "{wrong}");
        }
        let (url, _) = completed(&[("go.server.mode", "standby")], Some(&standby));
        assert_eq!(url, None, "under a flag the settings are what somebody wants");
    }

    #[test]
    fn the_primary_of_the_record_and_another_one_of_the_settings_are_asked() {
        let urls = |pairs: &[(&str, &str)], followed: Option<&str>| -> Vec<String> {
            let asked = Source::asked(&parsed(pairs).0, followed.map(source).as_ref());
            asked.iter().map(|(source, _)| source.url.written()).collect()
        };
        let named = [("bc.primary.url", "https://other")];
        assert_eq!(urls(&[], Some("https://primarygo")), ["https://primarygo"]);
        assert_eq!(
            urls(&named, Some("https://primarygo")),
            ["https://primarygo", "https://other"]
        );
        assert_eq!(urls(&named, Some("https://other")), ["https://other"]);
        assert_eq!(urls(&named, None), ["https://other"]);
        assert!(urls(&[], None).is_empty());
    }
}
