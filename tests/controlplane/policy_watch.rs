//! A watch that dies without a word: the connection stays open, and nothing comes any more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probekeeper::cluster::config_map::{ConfigMapWatch, Pace, Sight, content};
use probekeeper::policy::{ConfigMapName, Content};

use crate::cluster::Cluster;
use crate::policy_live::{HEAD, holding};
use crate::webhook::grant;

/// Passes bytes on to the API server, until a connection is made to go silent.
struct Line {
    address: String,
    accepted: Arc<AtomicUsize>,
    /// Connections with a smaller number get nothing any more, and are not closed.
    silent_below: Arc<AtomicUsize>,
}

impl Line {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let (accepted, silent_below) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let line = Self { address, accepted: Arc::clone(&accepted), silent_below: Arc::clone(&silent_below) };
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&server).expect("API server");
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                for (mut from, mut to) in [(near.try_clone().expect("clone"), far.try_clone().expect("clone")), (far, near)] {
                    let silent_below = Arc::clone(&silent_below);
                    std::thread::spawn(move || {
                        let mut buffer = [0; 16 << 10];
                        while let Ok(length) = from.read(&mut buffer) {
                            let silent = number < silent_below.load(Ordering::SeqCst);
                            // What is swallowed here is what a firewall drops that has forgotten the connection.
                            if length == 0 || (!silent && to.write_all(&buffer[..length]).is_err()) {
                                break;
                            }
                        }
                        if number >= silent_below.load(Ordering::SeqCst) {
                            let _ = to.shutdown(std::net::Shutdown::Write);
                        }
                    });
                }
            }
        });
        line
    }

    /// All connections of now fall silent; later ones work.
    fn silence(&self) {
        self.silent_below.store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_died_in_silence_is_noticed() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("policy-silence");
    grant(&namespace);
    let target = namespace.path("api/v1", "configmaps");
    assert_eq!(cluster.call("POST", &target, &holding(HEAD)).code, 201);

    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig("probekeeper")).expect("kubeconfig");
    let start = kubeconfig.find("https://").expect("a server") + "https://".len();
    let end = start + kubeconfig[start..].find('"').expect("its end");
    let line = Line::to(kubeconfig[start..end].to_owned());
    let kubeconfig =
        kube::config::Kubeconfig::from_yaml(&kubeconfig.replace(&kubeconfig[start..end], &line.address)).expect("kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
        .await
        .expect("configuration");
    let client = kube::Client::try_from(config).expect("client");

    let name = ConfigMapName { namespace: namespace.name.clone(), name: "policy".to_owned() };
    let pace = Pace { list: Duration::from_secs(5), relist: Duration::from_secs(4), ..Pace::default() };
    let mut watch = ConfigMapWatch::new(client, &name, pace);
    let (patience, quiet) = (Duration::from_mins(1), Duration::from_secs(1));
    let Sight::Present(first) = watch.next().await else { panic!("it is there") };
    assert_eq!(content(&name, &first), Content::Text(HEAD.to_owned()));

    // The watch is opened when the next thing to see is waited for.
    assert!(tokio::time::timeout(quiet, watch.next()).await.is_err(), "nothing has changed");
    line.silence();
    let strict = format!("{HEAD}profile: strict\n");
    assert_eq!(cluster.call("PUT", &format!("{target}/policy"), &holding(&strict)).code, 200);
    let noticed = tokio::time::timeout(patience, async {
        loop {
            if let Sight::Present(seen) = watch.next().await
                && content(&name, &seen) == Content::Text(strict.clone())
            {
                return;
            }
        }
    });
    assert!(noticed.await.is_ok(), "the change was not noticed");
}
