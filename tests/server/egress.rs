//! The program talks to nobody of its own accord: without a cluster it has no socket but the ones that listen and the ones that it accepted.

use std::collections::HashSet;

use crate::client::post_head;
use crate::operations::get;
use crate::process::{Process, REVIEW};
use crate::sockets::sockets;

#[tokio::test]
async fn no_connection_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let own = [process.listen.port(), process.ops.port()];
    let mut kept = process.connect().await;
    let mut seen = HashSet::new();
    for _ in 0..50 {
        assert_eq!(kept.post("/validate?timeout=10s", REVIEW).await.status, 200);
        kept.send(&post_head("/mutate", REVIEW.len())).await;
        for socket in sockets(process.child.id()) {
            let (protocol, here, there) = socket;
            // It looks at its own port to tell whether the right certificate is served.
            let ours = protocol.starts_with("tcp") && (own.contains(&here) || there == process.listen.port());
            assert!(ours, "{socket:?} beside {own:?}");
            seen.insert(socket);
        }
        kept.send(REVIEW).await;
        assert_eq!(kept.reply().await.unwrap().status, 200);
        get(process.ops, "/metrics").await;
    }
    assert!(seen.len() >= 3, "two that listen and one connection: {seen:?}");
}
