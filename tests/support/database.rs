//! A database of one test, made from a template that the program itself has migrated.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use tokio::{runtime, sync::OnceCell};

use super::{
    cluster::{self, Server},
    process::ires_chat,
};

/// A database that goes when it is dropped.
pub struct Database {
    url: String,
    name: String,
    /// A cluster of the test's own goes as a whole.
    shared: bool,
}

impl Database {
    /// A migrated database in the cluster of all tests.
    pub async fn migrated() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(make_template).await;
        Self::create(cluster::shared(), Some(template), true).await
    }

    /// An empty database in the cluster of all tests.
    pub async fn empty() -> Self {
        Self::create(cluster::shared(), None, true).await
    }

    /// An empty database in a cluster of the test's own.
    pub async fn on(server: &Server) -> Self {
        Self::create(server, None, false).await
    }

    async fn create(server: &Server, template: Option<&str>, shared: bool) -> Self {
        let name = new_name();
        server.create_database(&name, template).await;
        Self { url: server.url(&name), name, shared }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts a copy of another database in the place of this one, cutting whoever is connected. Both are in the cluster of all tests.
    pub async fn replace_with(&self, other: &Self) {
        let server = cluster::shared();
        server.drop_database(&self.name).await;
        server.create_database(&self.name, Some(&other.name)).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.shared {
            // Dropping is not async, so a thread of its own waits for the database server.
            let name = self.name.clone();
            let dropping = thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(cluster::shared().drop_database(&name));
            });
            _ = dropping.join();
        }
    }
}

/// A name that no other run of the tests uses, should they share a server.
fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("chat_test_{}_{number}", std::process::id())
}

async fn make_template() -> String {
    let name = new_name();
    let server = cluster::shared();
    server.create_database(&name, None).await;
    let migrated = ires_chat(&["migrate", "run"], &[("DATABASE_URL", &server.url(&name))]);
    assert_eq!(migrated.code, Some(0), "`migrate run` failed: {}", migrated.stderr);
    name
}
