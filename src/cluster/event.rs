//! Events: what `kubectl describe` shows about an object.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::pause::Pauses;
use super::plain;

/// `reportingController` of our Events.
const CONTROLLER: &str = "probekeeper.dev/probekeeper";

/// The API server refuses a longer `note`, in bytes.
const NOTE_BYTES: usize = 1024;

/// Events that may wait while the API server is slow or away. What is in force does not wait for them.
const WAITING: usize = 16;

/// Attempts for one Event, and how long each may take. An Event is news: after some seconds the log has to do.
const ATTEMPTS: u32 = 4;
const ATTEMPT: Duration = Duration::from_secs(5);

/// Something to say about an object.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The object. An Event stands in its namespace.
    pub about: ObjectReference,
    /// Whether somebody should act.
    pub warning: bool,
    /// In CamelCase, from a closed set.
    pub reason: &'static str,
    /// What was done or tried, from a closed set.
    pub action: &'static str,
    /// For people; cut at 1024 bytes.
    pub note: String,
}

/// Hands notices over to the task that writes them.
#[derive(Debug, Clone)]
pub struct Notices(mpsc::Sender<Notice>);

impl Notices {
    /// Starts the task that writes Events as this replica (`instance`, the pod's name). It ends with the last clone of what is returned.
    pub fn start(client: Client, instance: String) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Notice>(WAITING);
        tokio::spawn(async move {
            while let Some(notice) = receiver.recv().await {
                write(&client, &instance, notice).await;
            }
        });
        Self(sender)
    }

    /// Never waits: when too many wait already, this one is left to the log.
    pub fn offer(&self, notice: Notice) {
        if let Err(error) = self.0.try_send(notice) {
            tracing::warn!(%error, "an Event was dropped");
        }
    }
}

async fn write(client: &Client, instance: &str, notice: Notice) {
    let namespace = notice.about.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let event = event(instance, notice);
    let mut pauses = Pauses::new(Duration::from_millis(500), Duration::from_secs(4));
    let mut attempt = 1;
    loop {
        let problem = match timeout(ATTEMPT, api.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => return,
            // Another replica was faster: one change makes one Event.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => return,
            Ok(Err(error)) => plain(&error),
            Err(_) => format!("the API server did not answer within {} s", ATTEMPT.as_secs()),
        };
        if attempt == ATTEMPTS {
            let reason = event.reason.as_deref();
            tracing::warn!(
                reason,
                problem,
                "an Event could not be written; the right to create events of events.k8s.io is needed"
            );
            return;
        }
        attempt += 1;
        sleep(pauses.another()).await;
    }
}

/// The same notice about the same state of the same object has the same name, whichever replica says it and however often it starts anew.
fn event(instance: &str, notice: Notice) -> Event {
    let Notice { about, warning, reason, action, note } = notice;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let digest = Sha256::digest([&*part(&about.uid), &*part(&about.resource_version), reason].join("\n"));
    let suffix = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // 253 characters are allowed, of which the suffix takes 17. Names of objects are ASCII.
    let name: String = part(&about.name).chars().take(236).collect();
    Event {
        metadata: ObjectMeta {
            namespace: about.namespace.clone(),
            name: Some(format!("{}.{suffix:016x}", name.trim_end_matches(['.', '-']))),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        note: Some(cut(note)),
        regarding: Some(about),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

fn cut(mut note: String) -> String {
    if note.len() > NOTE_BYTES {
        let end = note.floor_char_boundary(NOTE_BYTES - '…'.len_utf8());
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, version: &str, reason: &'static str) -> Notice {
        let about = ObjectReference {
            name: Some(name.to_owned()),
            namespace: Some("ns".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectReference::default()
        };
        Notice { about, warning: true, reason, action: "Load", note: "é".repeat(600) }
    }

    #[test]
    fn one_change_has_one_name_whoever_reports_it() {
        let name = |instance: &str, notice: Notice| event(instance, notice).metadata.name.unwrap();
        let first = name("a", notice("policy", "7", "Accepted"));
        assert_eq!(first, name("b", notice("policy", "7", "Accepted")));
        assert_ne!(first, name("a", notice("policy", "8", "Accepted")));
        assert_ne!(first, name("a", notice("policy", "7", "Rejected")));
        let long = name("a", notice(&"x".repeat(253), "7", "Accepted"));
        assert!(long.len() <= 253 && long.starts_with("xx"), "{long}");
        assert!(first.starts_with("policy."), "{first}");
    }

    #[test]
    fn a_note_is_cut_where_a_character_ends() {
        let note = event("a", notice("policy", "7", "Rejected")).note.unwrap();
        assert!(note.len() <= NOTE_BYTES && note.ends_with("é…"), "{}", note.len());
    }
}
