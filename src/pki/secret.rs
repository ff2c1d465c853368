//! The Secret that the replicas share: what its keys mean, and how a change of them is written. Pure; [`super::keep`] talks to the API server.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;

use super::certificate::{Authority, Bundle, Certificate, sorted, to_pem};

/// Says until when `previous.crt` is kept in the bundles, as an RFC 3339 time. An annotation: the data holds certificates and keys only.
pub const PREVIOUS_UNTIL: &str = "probekeeper.dev/previous-until";

const CURRENT: [&str; 2] = ["ca.crt", "ca.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const PREVIOUS: &str = "previous.crt";

/// Most retired certificates that are kept: each is trusted by every API server. A rotation leaves one; more come from accidents.
pub(super) const MOST_PREVIOUS: usize = 8;

/// The data of a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// The place of one authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Slot {
    /// Neither of its keys has a value.
    #[default]
    Empty,
    /// What is there cannot sign.
    Broken {
        /// Its certificate, if at least that can be read: leaves under it may be alive.
        certificate: Option<Certificate>,
        /// What is wrong.
        flaw: String,
    },
    /// An authority.
    Whole(Authority),
}

impl Slot {
    /// The authority, if it can sign something that is valid at `now`.
    pub fn usable(&self, now: SystemTime) -> Option<&Authority> {
        self.authority().filter(|authority| authority.certificate().is_valid(now))
    }

    /// The authority, whatever its validity.
    pub fn authority(&self) -> Option<&Authority> {
        if let Self::Whole(authority) = self { Some(authority) } else { None }
    }

    /// The certificate, also of what cannot sign.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Empty => None,
            Self::Broken { certificate, .. } => certificate.as_ref(),
            Self::Whole(authority) => Some(authority.certificate()),
        }
    }

    fn read(data: &Data, [certificate, key]: [&str; 2]) -> Self {
        let value = |name| data.get(name).map(Vec::as_slice).unwrap_or_default();
        let (certificate_pem, key_pem) = (value(certificate), value(key));
        if certificate_pem.is_empty() && key_pem.is_empty() {
            return Self::Empty;
        }
        match Authority::from_pem(certificate_pem, key_pem) {
            Ok(authority) => Self::Whole(authority),
            Err(flaw) => Self::Broken {
                certificate: Bundle::from_pem(certificate_pem).certificates.pop(),
                flaw: format!("{certificate} and {key}: {flaw}"),
            },
        }
    }

    fn write(&self, data: &mut Data, [certificate, key]: [&str; 2]) {
        match self {
            Self::Empty => {
                data.remove(certificate);
                data.remove(key);
            }
            // What cannot be read is not ours to rewrite; it goes when something whole takes its place.
            Self::Broken { .. } => {}
            Self::Whole(authority) => {
                data.insert(certificate.to_owned(), to_pem(&[authority.certificate().clone()]).into_bytes());
                data.insert(key.to_owned(), authority.key().as_bytes().to_vec());
            }
        }
    }
}

/// What the Secret holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whether there is a Secret at all.
    pub exists: bool,
    /// Signs leaves.
    pub current: Slot,
    /// Takes the place of the current one once every API server trusts it.
    pub next: Slot,
    /// Sign no more; leaves under them may be alive. Oldest first.
    pub previous: Vec<Certificate>,
    /// When no leaf under the previous ones can be alive any more.
    pub previous_until: Option<SystemTime>,
}

impl Stored {
    /// Reads the data and the annotation [`PREVIOUS_UNTIL`].
    pub fn read(data: &Data, previous_until: Option<&str>) -> Self {
        Self {
            exists: true,
            current: Slot::read(data, CURRENT),
            next: Slot::read(data, NEXT),
            previous: data.get(PREVIOUS).map(|text| Bundle::from_pem(text).certificates).unwrap_or_default(),
            previous_until: previous_until.and_then(|text| text.parse::<Timestamp>().ok()).map(SystemTime::from),
        }
    }

    /// Writes the data, and returns the value of the annotation [`PREVIOUS_UNTIL`]; without one it is to be removed. Other keys stay as they are.
    pub fn write(&self, data: &mut Data) -> Option<String> {
        self.current.write(data, CURRENT);
        self.next.write(data, NEXT);
        if self.previous.is_empty() {
            data.remove(PREVIOUS);
            return None;
        }
        data.insert(PREVIOUS.to_owned(), to_pem(&self.previous).into_bytes());
        let until = Timestamp::try_from(self.previous_until?).ok()?;
        Some(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// Every certificate in it.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.current.certificate().into_iter().chain(self.next.certificate()).chain(&self.previous)
    }

    /// This with `authority` as the current one, and the given ones retired until `until`.
    #[must_use]
    pub fn succeeded(&self, authority: Authority, retired: Vec<Certificate>, until: SystemTime) -> Self {
        let next = if self.next.authority() == Some(&authority) { Slot::Empty } else { self.next.clone() };
        Self { current: Slot::Whole(authority), next, ..self.retired(retired, until) }
    }

    /// This with `authority` to come next.
    #[must_use]
    pub fn prepared(&self, authority: Authority) -> Self {
        Self { next: Slot::Whole(authority), ..self.clone() }
    }

    /// This with the given ones retired until `until`, and no others.
    #[must_use]
    pub fn retired(&self, retired: Vec<Certificate>, until: SystemTime) -> Self {
        let previous_until = if retired.is_empty() { None } else { Some(until) };
        Self { exists: true, previous: retired, previous_until, ..self.clone() }
    }

    /// The retired ones together with `more`, as far as there is room: the newest stay. None that is still in office is among them.
    pub(super) fn with_retired(&self, more: impl IntoIterator<Item = Certificate>) -> Vec<Certificate> {
        let in_office = [self.current.certificate(), self.next.certificate()];
        let more = more.into_iter().filter(|certificate| !in_office.contains(&Some(certificate)));
        let mut all = sorted(more.chain(self.previous.iter().cloned()));
        all.drain(..all.len().saturating_sub(MOST_PREVIOUS));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::issue;
    use std::time::Duration;

    fn authority(hours: u64) -> Authority {
        issue::authority(Duration::from_hours(9), SystemTime::UNIX_EPOCH + Duration::from_hours(hours)).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_other_keys_stay() {
        let [one, two, three] = [10, 20, 30].map(authority);
        let until = SystemTime::UNIX_EPOCH + Duration::from_hours(40);
        let mut data = Data::from([("mine".to_owned(), b"x".to_vec())]);
        let mut stored = Stored::read(&data, None);
        assert_eq!(stored, Stored { exists: true, ..Stored::default() });
        for (next, keys) in [
            (stored.succeeded(one.clone(), vec![], until), "ca.crt ca.key mine"),
            (stored.succeeded(one.clone(), vec![], until).prepared(two.clone()), "ca.crt ca.key mine next.crt next.key"),
            (
                stored.succeeded(one.clone(), vec![], until).prepared(two.clone()).succeeded(
                    two.clone(),
                    vec![one.certificate().clone()],
                    until,
                ),
                "ca.crt ca.key mine previous.crt",
            ),
            (stored.succeeded(three.clone(), vec![], until).retired(vec![], until), "ca.crt ca.key mine"),
        ] {
            stored = next;
            let annotation = stored.write(&mut data);
            assert_eq!(annotation.as_deref(), (!stored.previous.is_empty()).then_some("1970-01-02T16:00:00Z"));
            assert_eq!(data.keys().map(String::as_str).collect::<Vec<_>>().join(" "), keys);
            assert_eq!(Stored::read(&data, annotation.as_deref()), stored);
        }
    }

    #[test]
    fn what_cannot_sign_says_why_and_still_gives_its_certificate() {
        let (one, two) = (authority(10), authority(20));
        let mut data = Data::new();
        Stored::default().succeeded(one.clone(), vec![], SystemTime::UNIX_EPOCH).write(&mut data);
        data.insert("ca.key".to_owned(), two.key().into());
        data.insert("next.crt".to_owned(), b"nonsense".to_vec());
        let stored = Stored::read(&data, Some("tomorrow"));
        let Slot::Broken { certificate: Some(certificate), flaw } = &stored.current else { panic!("{stored:?}") };
        assert_eq!(certificate, one.certificate());
        assert_eq!(flaw, "ca.crt and ca.key: the key does not belong to the certificate");
        let Slot::Broken { certificate: None, flaw } = &stored.next else { panic!("{stored:?}") };
        assert_eq!(flaw, "next.crt and next.key: one PEM certificate is needed, 0 can be read");
        assert_eq!(stored.previous_until, None);
    }

    #[test]
    fn only_so_many_are_retired() {
        let made: Vec<_> = (10..20).map(|hours| authority(hours).certificate().clone()).collect();
        let stored = Stored::default().succeeded(authority(1), made[..5].to_vec(), SystemTime::UNIX_EPOCH);
        assert_eq!(stored.with_retired(made[5..].to_vec()), made[2..]);
        assert_eq!(stored.with_retired([]), made[..5]);
        let in_office = stored.current.certificate().cloned();
        assert_eq!(stored.with_retired(in_office), made[..5]);
    }
}
