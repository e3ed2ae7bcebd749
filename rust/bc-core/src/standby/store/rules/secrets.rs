//! Whether the secrets of a configuration and its key belong together.
//!
//! GoCD reads `cipher.aes` once and keeps the key (`AESCipherProvider`): a primary whose key was lost or replaced runs
//! on, and only the next start, a standby's after promotion for one, would be without its secrets. A configuration with
//! a single variable that cannot be decrypted may not load at all (`EnvironmentVariableConfig`). So a GoCD that runs has no
//! configuration of which nothing decrypts, whatever its values look like. Where no GoCD ever ran beside the primary,
//! as for files that somebody made up to try this out, values that no key could have made say nothing of the key.

use crate::{
    basics::Error,
    generation::Acceptance,
    gocd::{
        cipher::{Attempt, Key},
        cruise_config::{self, Secret},
    },
    standby::store::rules::refused,
};

/// Elements that are named in a message; the rest is counted.
const NAMED: usize = 5;

/// Tries all `secrets` of `config` with the content of the generation's `cipher.aes`. Returns what to warn of when
/// some of them fail, or all where GoCD's acceptance is unknown and no key could have made them.
///
/// # Errors
/// [`crate::basics::Kind::Refused`] when the key is missing or fits none of them.
pub(super) fn check(
    config: &[u8],
    secrets: &[Secret],
    cipher: Option<&[u8]>,
    acceptance: Acceptance,
) -> Result<Option<String>, Error> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let count = secrets.len();
    let Some(cipher) = cipher else {
        return Err(refused(
            format!(
                "cruise-config.xml from the primary has encrypted values ({count}), but the primary has no cipher.aes"
            ),
            format!("GoCD would make a new key and lose them. {MEND}"),
        ));
    };
    let Some(key) = Key::read(cipher) else {
        return Err(refused(
            "cipher.aes from the primary is not a key of 32 hexadecimal digits",
            MEND,
        ));
    };
    let mut failed = Vec::new();
    let (mut fits, mut fits_not) = (false, false);
    for secret in secrets {
        match key.attempt(&secret.value) {
            Attempt::Decrypts => fits = true,
            attempt => {
                fits_not |= attempt == Attempt::OtherKey;
                failed.push(secret.end);
            }
        }
    }
    if failed.is_empty() {
        return Ok(None);
    }
    let names = names(config, &failed);
    if !fits && (fits_not || acceptance != Acceptance::Unknown) {
        return Err(refused(
            format!("no encrypted value in cruise-config.xml from the primary decrypts with its cipher.aes: {names}"),
            MEND,
        ));
    }
    Ok(Some(format!(
        "{} of {count} encrypted values in cruise-config.xml from the primary do not decrypt with its cipher.aes, set \
         them anew there: {names}",
        failed.len()
    )))
}

const MEND: &str = "Restore the cipher.aes on the primary that belongs to its configuration, from a backup; a GoCD \
                    that runs there does not notice before its next start.";

/// Names the first elements with secrets, and how many more there are.
fn names(config: &[u8], ends: &[u64]) -> String {
    let mut named = cruise_config::paths(config, &ends[..ends.len().min(NAMED)]).join(", ");
    if ends.len() > NAMED {
        named.push_str(&format!(" and {} more", ends.len() - NAMED));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basics::Kind, gocd::cruise_config::CruiseConfig};

    const KEY: &[u8] = b"fdf500c4ec6e51172477145db6be63c5";
    const OTHER_KEY: &[u8] = b"00112233445566778899aabbccddeeff";
    const UNDER_KEY: &str = "AES:lzcCuNSe4vUx+CsWgN11Uw==:DelRFu6mCN7kC/2oYmeLRA==";
    const UNDER_OTHER: &str = "AES:c9Uau9icuBlvDvtokvlNaA==:7ODzdkSdHIoFEI+rFWg0/w==";
    const NO_SECRET: &str = "AES:c9Uau9icuBlvDvto:7ODzdkSdHIoFEI+rFWg0/w==";

    fn config(secrets: &[&str]) -> String {
        let variable = |(number, secret)| {
            format!("<variable name='V{number}' secure='true'><encryptedValue>{secret}</encryptedValue></variable>")
        };
        let variables: String = secrets.iter().enumerate().map(variable).collect();
        format!("<cruise><pipelines group='g'><pipeline name='p'>{variables}</pipeline></pipelines></cruise>")
    }

    fn checked(secrets: &[&str], cipher: Option<&[u8]>) -> Result<Option<String>, Error> {
        checked_where(Acceptance::Unknown, secrets, cipher)
    }

    fn checked_where(acceptance: Acceptance, secrets: &[&str], cipher: Option<&[u8]>) -> Result<Option<String>, Error> {
        let text = config(secrets);
        let read = CruiseConfig::read(text.as_bytes()).expect("whole");
        check(text.as_bytes(), &read.secrets, cipher, acceptance)
    }

    #[test]
    fn what_decrypts_and_what_has_no_secrets_is_silent() {
        assert_eq!(checked(&[UNDER_KEY, UNDER_KEY], Some(KEY)), Ok(None));
        assert_eq!(checked(&[], None), Ok(None));
        assert_eq!(checked(&["a DES value"], Some(b"no key")), Ok(None));
    }

    #[test]
    fn some_that_fail_are_named_and_never_shown() {
        let warning = checked(&[UNDER_KEY, UNDER_OTHER, NO_SECRET], Some(KEY)).expect("applied");
        let warning = warning.expect("a warning");
        assert!(warning.starts_with("2 of 3 encrypted values"), "{warning}");
        for number in [1, 2] {
            let name = format!("pipelines[g]/pipeline[p]/variable[V{number}]/encryptedValue");
            assert!(warning.contains(&name), "{warning}");
        }
        assert!(!warning.contains("V0") && !warning.contains("AES:"), "{warning}");
        let many = [UNDER_KEY; 1].into_iter().chain([UNDER_OTHER; 8]).collect::<Vec<_>>();
        let warning = checked(&many, Some(KEY)).expect("applied").expect("a warning");
        assert!(warning.ends_with("variable[V5]/encryptedValue and 3 more"), "{warning}");
    }

    #[test]
    fn a_key_that_fits_none_is_refused() {
        for (secrets, cipher) in [
            (&[UNDER_OTHER][..], Some(KEY)),
            (&[UNDER_KEY, UNDER_KEY], Some(OTHER_KEY)),
            (&[UNDER_KEY, NO_SECRET], Some(OTHER_KEY)),
            (&[UNDER_KEY], Some(b"no key")),
            (&[UNDER_KEY], None),
        ] {
            let error = checked(secrets, cipher).expect_err("refused");
            assert_eq!(error.kind(), Kind::Refused);
            assert!(error.message().contains("cipher.aes"), "{error}");
            assert!(!error.to_string().contains("AES:"), "{error}");
        }
    }

    #[test]
    fn values_that_no_key_could_have_made_blame_no_key_where_no_gocd_ran() {
        let warning = checked(&[NO_SECRET], Some(KEY)).expect("applied").expect("a warning");
        assert!(warning.contains("variable[V0]"), "{warning}");
        for acceptance in [Acceptance::Accepted, Acceptance::Pending] {
            let error = checked_where(acceptance, &[NO_SECRET], Some(KEY)).expect_err("refused");
            assert!(error.message().contains("variable[V0]"), "{error}");
            let some = checked_where(acceptance, &[NO_SECRET, UNDER_KEY], Some(KEY)).expect("applied");
            assert!(some.expect("a warning").starts_with("1 of 2"));
        }
    }

    #[test]
    fn a_large_configuration_is_checked_while_its_copy_is_written() {
        let text = config(&[UNDER_KEY; 5_000]);
        let began = std::time::Instant::now();
        let read = CruiseConfig::read(text.as_bytes()).expect("whole");
        assert_eq!(read.secrets.len(), 5_000);
        assert_eq!(
            check(text.as_bytes(), &read.secrets, Some(KEY), Acceptance::Accepted),
            Ok(None)
        );
        // Unoptimised, on a busy machine; a few milliseconds else.
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}
