//! One ConfigMap, followed: every change of it, and nothing of any other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout_at};

use super::pause::{Pauses, by_chance};
use super::plain;
use crate::policy::{ConfigMapName, Content, KEY, without_key};

/// How patiently a ConfigMap is followed. Tests shorten it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest wait for a list of one object, from connecting on.
    pub list: Duration,
    /// After this long, the watch is begun anew with a list: one that died in silence (a dropped connection, a proxy that keeps it open) is then
    /// noticed whatever broke it.
    pub relist: Duration,
    /// Pause after a first failure.
    pub first_pause: Duration,
    /// Longest pause: it also bounds how late a change is seen that was made while the API server could not be reached.
    pub longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            list: Duration::from_secs(15),
            relist: Duration::from_mins(2),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(4),
        }
    }
}

/// What was seen of the ConfigMap.
#[derive(Debug)]
pub enum Sight {
    /// It is there, like this; the same may be seen again.
    Present(Box<ConfigMap>),
    /// It is not there; with its last state, where the deletion itself was seen.
    Absent(Option<Box<ConfigMap>>),
    /// The API server could not be asked, and why. What was seen last may have changed since; it is asked again after a pause.
    Lost(String),
}

/// Follows one ConfigMap. It needs the rights to list and watch that one name: both requests select it by `metadata.name`, and RBAC takes such a
/// selector for the name.
pub struct ConfigMapWatch {
    api: Api<ConfigMap>,
    config: watcher::Config,
    pace: Pace,
    pauses: Pauses,
    state: State,
}

enum State {
    /// Not asking; to begin after this pause.
    Idle(Duration),
    Watching {
        events: BoxStream<'static, watcher::Result<Event<ConfigMap>>>,
        began: Instant,
        /// Whether the list is still to be answered.
        listing: bool,
        /// Whether the list held the object.
        listed: bool,
        /// When to begin anew.
        until: Instant,
    },
}

impl ConfigMapWatch {
    /// Asks nothing yet.
    pub fn new(client: Client, name: &ConfigMapName, pace: Pace) -> Self {
        Self {
            api: Api::namespaced(client, &name.namespace),
            config: watcher::Config::default().fields(&format!("metadata.name={}", name.name)),
            pace,
            pauses: Pauses::new(pace.first_pause, pace.longest_pause),
            state: State::Idle(Duration::ZERO),
        }
    }

    /// Waits for what there is to see next. After a failure the next call begins anew: with a list, so that no change is missed.
    pub async fn next(&mut self) -> Sight {
        loop {
            let (events, began, listing, listed, until) = match &mut self.state {
                State::Watching { events, began, listing, listed, until } => (events, began, listing, listed, until),
                State::Idle(pause) => {
                    sleep(*pause).await;
                    let began = Instant::now();
                    self.state = State::Watching {
                        events: watcher(self.api.clone(), self.config.clone()).boxed(),
                        began,
                        listing: true,
                        listed: false,
                        until: began + self.pace.list,
                    };
                    continue;
                }
            };
            match timeout_at(*until, events.next()).await {
                Ok(Some(Ok(Event::Init))) => {}
                Ok(Some(Ok(Event::InitApply(config_map)))) => {
                    *listed = true;
                    return Sight::Present(Box::new(config_map));
                }
                Ok(Some(Ok(Event::InitDone))) => {
                    *listing = false;
                    *until = Instant::now() + by_chance(self.pace.relist);
                    if !*listed {
                        return Sight::Absent(None);
                    }
                }
                Ok(Some(Ok(Event::Apply(config_map)))) => return Sight::Present(Box::new(config_map)),
                Ok(Some(Ok(Event::Delete(config_map)))) => return Sight::Absent(Some(Box::new(config_map))),
                Ok(Some(Err(error))) => {
                    // A watch that is refused again and again after a list that succeeds must not make a tight loop of the two.
                    if began.elapsed() > self.pace.longest_pause {
                        self.pauses.reset();
                    }
                    self.state = State::Idle(self.pauses.another());
                    return Sight::Lost(explain(error));
                }
                Ok(None) => self.state = State::Idle(self.pauses.another()),
                Err(_) if *listing => {
                    self.state = State::Idle(self.pauses.another());
                    return Sight::Lost(format!("the API server did not answer within {} s", self.pace.list.as_secs()));
                }
                Err(_) => {
                    self.pauses.reset();
                    self.state = State::Idle(Duration::ZERO);
                }
            }
        }
    }
}

/// What a ConfigMap holds as a policy.
pub fn content(name: &ConfigMapName, config_map: &ConfigMap) -> Content {
    match config_map.data.as_ref().and_then(|data| data.get(KEY)) {
        Some(text) => Content::Text(text.clone()),
        None => Content::Missing(format!(
            "ConfigMap {name}: {}",
            without_key(keys(config_map.data.as_ref()), keys(config_map.binary_data.as_ref()))
        )),
    }
}

fn keys<V>(map: Option<&BTreeMap<String, V>>) -> impl Iterator<Item = &str> {
    map.into_iter().flat_map(BTreeMap::keys).map(String::as_str)
}

fn explain(error: watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => plain(&error),
        WatchError(status) => status.message,
        NoResourceVersion => "the API server's answer has no resourceVersion".to_owned(),
    }
}
